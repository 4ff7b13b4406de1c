"""What the C library keeps of freed memory: given back to the system, and kept in few places."""

from __future__ import annotations

import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8  # mallopt's numbers for them
FEW, LARGE, SPARE = 2, 4 * 2**20, 8 * 2**20


def trim() -> bool:
    """Give back what was freed; whether there was any. Nothing happens where the C library is not glibc.

    glibc keeps for each thread what that has freed, but for blocks of more than 32 MB: of a snapshot, whose arrays are
    that large together, twice as much as it has bytes, for each thread that ever made one, and more as it grows.
    """
    give_back = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return give_back is not None and bool(give_back(0))


def keep_little() -> bool:
    """Keep little of what is freed, from now on; whether the C library is one that can be told so. Call it before there
    are threads.

    glibc gives each thread an arena of its own, up to eight a core, and what is free in one is of no use to another:
    here all share ``FEW``. Blocks of ``LARGE`` bytes and more are mapped by themselves and gone when freed, and an
    arena keeps at most ``SPARE`` at its end. glibc raises both limits, to 32 and 64 MB, once such a block was freed,
    and ``trim`` does not reach the end of an arena that is not the first.
    """
    change = getattr(ctypes.CDLL(None), "mallopt", None)
    told = ((ARENA_MAX, FEW), (MMAP_THRESHOLD, LARGE), (TRIM_THRESHOLD, SPARE))
    return change is not None and all(bool(change(name, value)) for name, value in told)

"""What the C library keeps of freed memory: given back to the system, and kept in few places."""

from __future__ import annotations

import ctypes

ARENA_MAX = -8  # mallopt's number for it
FEW = 2


def trim() -> bool:
    """Give back what was freed; whether there was any. Nothing happens where the C library is not glibc.

    glibc keeps for each thread what that has freed, but for blocks of more than 32 MB: of a snapshot, whose arrays are
    that large together, twice as much as it has bytes, for each thread that ever made one, and more as it grows.
    """
    give_back = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return give_back is not None and bool(give_back(0))


def share_arenas() -> bool:
    """Let all threads allocate from ``FEW`` arenas, before there are many; whether the C library is one that has them.

    glibc gives each thread an arena of its own, up to eight a core, and what is free in one is of no use to another.
    """
    change = getattr(ctypes.CDLL(None), "mallopt", None)
    return change is not None and bool(change(ARENA_MAX, FEW))

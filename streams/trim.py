"""Memory that was freed is given back to the system, where the C library keeps it."""

from __future__ import annotations

import ctypes


def trim() -> bool:
    """Give back what was freed; whether there was any. Nothing happens where the C library is not glibc.

    glibc keeps for each thread what that has freed, but for blocks of more than 32 MB: of a snapshot, whose arrays are
    that large together, twice as much as it has bytes, for each thread that ever made one, and more as it grows.
    """
    give_back = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return give_back is not None and bool(give_back(0))

"""What was freed goes back to the system."""

from __future__ import annotations

import os
import platform

import pytest

from streams.stage import rss_mb
from streams.trim import trim

BLOCK, BLOCKS = 64 * 1024, 1_600  # each below what is ever mapped by itself


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps it and can be asked")
def test_freed_memory_goes_back_even_from_below_what_is_still_in_use() -> None:
    blocks = [bytes([1]) * BLOCK for _ in range(BLOCKS)]
    kept = bytes([1]) * BLOCK  # lies above them, so that the heap cannot shrink by itself
    del blocks
    before = rss_mb([os.getpid()])
    assert trim()
    assert before - rss_mb([os.getpid()]) > 0.8 * BLOCK * BLOCKS / 2**20
    assert len(kept) == BLOCK

"""What was freed goes back to the system, and threads share what is free."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from streams.malloc import FEW, LARGE, trim
from streams.stage import rss_mb

BLOCK, BLOCKS = 64 * 1024, 1_600  # each below what is ever mapped by itself


glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps it and can be asked")

THREADS, ARENA_MB = 12, 64  # what glibc reserves for an arena, on 64 bits
RESERVED = f"""
import sys, threading
from pathlib import Path
from streams.malloc import keep_little

def size_mb():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmSize")) // 1024

if sys.argv[1] == "shared":
    assert keep_little()
threading.stack_size(2**20)
started, done = threading.Barrier({THREADS + 1}), threading.Event()

def work():
    held = bytearray(10_000)
    started.wait()
    done.wait()

threads = [threading.Thread(target=work) for _ in range({THREADS})]
before = size_mb()
for thread in threads:
    thread.start()
started.wait()
print(size_mb() - before)
done.set()
"""


@glibc
def test_freed_memory_goes_back_even_from_below_what_is_still_in_use() -> None:
    blocks = [bytes([1]) * BLOCK for _ in range(BLOCKS)]
    kept = bytes([1]) * BLOCK  # lies above them, so that the heap cannot shrink by itself
    del blocks
    before = rss_mb([os.getpid()])
    assert trim()
    assert before - rss_mb([os.getpid()]) > 0.8 * BLOCK * BLOCKS / 2**20
    assert len(kept) == BLOCK


@glibc
def test_threads_that_keep_little_take_no_other() -> None:
    apart, shared = (_reserved_mb(how) for how in ("apart", "shared"))
    assert apart >= min(THREADS, 8 * (os.cpu_count() or 1) - 1) * ARENA_MB
    assert shared < (FEW + 1) * ARENA_MB  # the first is not reserved; and the threads' stacks


FREED = """
import sys, threading
from pathlib import Path
from streams.malloc import LARGE, keep_little

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

if sys.argv[1] == "little":
    assert keep_little()

def work():
    first = b"1" * (7 * LARGE)  # once it is freed, glibc maps nothing smaller by itself
    del first
    blocks = [b"1" * (2 * LARGE) for _ in range(6)]
    del blocks
    print(resident_mb() - before)

before = resident_mb()
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


@glibc
def test_large_blocks_that_a_thread_freed_are_gone() -> None:
    usual, little = (float(_printed(FREED, how)) for how in ("usual", "little"))
    assert usual > 2 * LARGE / 2**20
    assert little < LARGE / 2**20


def _reserved_mb(how: str) -> int:
    return int(_printed(RESERVED, how))


def _printed(program: str, how: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    found = subprocess.run([sys.executable, "-c", program, how], capture_output=True, text=True, env=environment)
    assert found.returncode == 0, found.stderr
    return found.stdout

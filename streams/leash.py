"""Run a program that dies with this process, however this process dies.

On Linux the kernel sees to it: ``PR_SET_PDEATHSIG`` (prctl(2)) survives ``exec``, so the program takes the launcher's
place. It fires when the *thread* that started the program ends, so start it from one that lives long enough. Elsewhere
the launcher stays, asks five times a second whether it still has its parent, and passes SIGTERM on.

This file is run as a script by an isolated interpreter, so it imports nothing but the standard library.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from types import FrameType

PR_SET_PDEATHSIG = 1
POLL_S = 0.2


def leashed(program: Sequence[str], watch: bool = sys.platform != "linux") -> list[str]:
    """The command line that runs ``program`` (its first word a path) so that it dies with the calling process."""
    return [sys.executable, "-I", "-S", __file__, "watch" if watch else "bind", str(os.getpid()), *program]


def _bind(parent: int, program: list[str]) -> int:
    """Become ``program``; return only if there is nobody to become it for."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() == parent:  # else it died before the kernel was told
        os.execv(program[0], program)
    return 1


def _watch(parent: int, program: list[str]) -> int:
    child = subprocess.Popen(program)

    def stop(number: int, frame: FrameType | None) -> None:
        child.terminate()

    signal.signal(signal.SIGTERM, stop)
    while os.getppid() == parent:
        try:
            return child.wait(POLL_S)
        except subprocess.TimeoutExpired:
            continue
    child.kill()
    return child.wait()


if __name__ == "__main__":
    mode, parent_pid, *words = sys.argv[1:]
    sys.exit((_watch if mode == "watch" else _bind)(int(parent_pid), words))

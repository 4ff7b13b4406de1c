"""The wall clock: chosen where a role is assembled, handed to whoever asks the time, and not to be trusted.

It may jump, ahead or back. So what happens again and again inside a process goes by the monotonic clock, and whoever
must compare with a time that was stored asks ``passed``.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

SHIFT = "CURRERE_TEST_CLOCK"  # names a file of eight bytes: seconds that are added to the time, a native double
_SECONDS = struct.Struct("d")


def passed(since: float, now: float) -> float:
    """Seconds from one reading of the wall clock to a later one.

    If the clock was set back between them it is what it went back by: who waits for a second may then find that it has
    passed too soon, but never waits for an hour until the clock has caught up.
    """
    return abs(now - since)


def wall_clock() -> Callable[[], float]:
    """The wall clock of this process, epoch seconds: the machine's, or in a fault test one that the test moves."""
    if SHIFT not in os.environ:
        return time.time
    with Path(os.environ[SHIFT]).open("rb") as file:
        shift = mmap.mmap(file.fileno(), _SECONDS.size, access=mmap.ACCESS_READ)
    return lambda: time.time() + float(_SECONDS.unpack(shift)[0])


class Shift:
    """The file that moves the clocks of those processes whose environment is ``environment``, also while they run."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.environment = {SHIFT: str(path)}
        path.write_bytes(_SECONDS.pack(0.0))

    def set(self, seconds: float) -> None:
        """Let the clocks be ``seconds`` ahead of the machine's; less than nothing is behind."""
        with self._path.open("r+b") as file:  # in place: others have it mapped
            file.write(_SECONDS.pack(seconds))

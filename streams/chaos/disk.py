"""A small disk that can be filled up and freed again under whoever writes to it."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

MNT_DETACH = 2  # umount2(2): gone from the tree now, freed when nobody has it open any more
PIECE = 1 << 16
FILLER = "filler"


class Disk(Protocol):
    """Where files lie that may find no room. ``how`` says in words what plays the disk."""

    folder: Path
    how: str

    def fill(self) -> None:
        """Leave no room for one byte more."""

    def free(self) -> None:
        """Give the room back."""


class MountedDisk:
    """A tmpfs of its own under ``folder``: writing to it when it is full fails as on any full disk (ENOSPC)."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        self.folder, self.how = folder, f"tmpfs of {megabytes} MB"
        folder.mkdir(parents=True, exist_ok=True)
        _call("mount", b"tmpfs", os.fsencode(folder), b"tmpfs", 0, f"size={megabytes}m,mode=755".encode())

    def fill(self) -> None:
        """See ``Disk.fill``."""
        piece = bytes(PIECE)
        with suppress(OSError), (self.folder / FILLER).open("ab", buffering=0) as filler:
            while filler.write(piece):
                pass
        if shutil.disk_usage(self.folder).free:
            raise OSError(errno.EIO, f"{self.folder} could not be filled")

    def free(self) -> None:
        """See ``Disk.free``."""
        (self.folder / FILLER).unlink(missing_ok=True)

    def close(self) -> None:
        """Take the disk out of the tree."""
        with suppress(FileNotFoundError):  # the folder is gone, and with it what was mounted there
            _call("umount2", os.fsencode(self.folder), MNT_DETACH)


class RationedDisk:
    """Where nothing can be mounted: those processes that write are not allowed to make a file longer (EFBIG).

    ``writers`` says who they are when the disk is filled; whoever starts later may write. They must ignore SIGXFSZ, as
    Python does, and whatever Python's leash becomes.
    """

    def __init__(self, folder: Path, writers: Iterable[int] = ()) -> None:
        self.folder, self.how = folder, "RLIMIT_FSIZE of the processes that write"
        folder.mkdir(parents=True, exist_ok=True)
        self.writers = list(writers)
        self._before: dict[int, tuple[int, int]] = {}

    def fill(self) -> None:
        """See ``Disk.fill``."""
        for pid in self.writers:
            _, most = before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            self._before[pid] = before
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, most))

    def free(self) -> None:
        """See ``Disk.free``."""
        for pid, before in self._before.items():
            with suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
        self._before.clear()


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[MountedDisk | RationedDisk]:
    """A disk at ``folder`` until the block ends: a mounted one where that is allowed, else a rationed one."""
    try:
        disk = MountedDisk(folder, megabytes)
    except OSError:
        yield RationedDisk(folder)
        return
    try:
        yield disk
    finally:
        disk.close()


def _call(name: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")

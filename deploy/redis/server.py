"""A real Redis as a child that dies with its parent: to kill, to start again, to starve, to follow another.

It keeps its data (append-only file, written out every second, as operators are told to) and its port over ``kill`` and
``start``. Imports only the standard library and the broker's way of keeping children.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final

from deploy.kafka.broker import START_SECONDS, end_child, free_port, start_child

KEEPS: Final = {"save": "", "appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction"}


class RedisFailed(RuntimeError):
    """The server cannot start or stopped by itself; the message says why and what to do."""


class RedisServer:
    """A Redis whose data lies in ``folder``.

    ``settings`` go over ``KEEPS``, in Redis' own names. ``binary`` is any Redis-compatible server, by default the
    redis-server on PATH. Raises RedisFailed when there is none.
    """

    def __init__(
        self, folder: Path, binary: str = "", *, port: int = 0, settings: Mapping[str, str] | None = None
    ) -> None:
        binary = binary or shutil.which("redis-server") or ""
        if not binary:
            raise RedisFailed("no redis-server on PATH (Debian: apt-get install redis-server)")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder: Final = folder
        self.port: Final = port or free_port()
        self.url: Final = f"redis://127.0.0.1:{self.port}/0"
        self.log: Final = folder / "redis.log"
        given = {"bind": "127.0.0.1", "port": str(self.port), "dir": str(folder), **KEEPS, **(settings or {})}
        self._argv: Final = [binary, *(word for name, value in given.items() for word in (f"--{name}", value))]
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the running server. Raises RedisFailed when it was not started."""
        if self._child is None:
            raise RedisFailed("the server is not running; call start()")
        return self._child.pid

    def start(self) -> None:
        """Start the server and return once it has loaded its data. Raises RedisFailed, with its log, if it does not."""
        self._child = start_child(self._argv, self.log)
        deadline = time.monotonic() + START_SECONDS
        while not pongs(self.port):
            if self._child.poll() is not None or time.monotonic() > deadline:
                raise RedisFailed(f"{self._argv[0]} did not start:\n{self.log.read_text(errors='replace')}")
            time.sleep(0.01)

    def stop(self) -> None:
        """End the server in order; what was written is on disk."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the server at once; up to a second of what it had acknowledged may not be on disk."""
        self._end(signal.SIGKILL)

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _end(self, how: signal.Signals) -> None:
        if self._child is not None:
            end_child(self._child, how)
            self._child = None


def pongs(port: int) -> bool:
    """Whether a Redis answers at a port of loopback and has loaded its data."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")  # while it loads its data it answers -LOADING
    except OSError:
        return False

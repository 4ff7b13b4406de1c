"""The servers under a fault: a real Kafka and a real Redis that can be killed, and that keep what they acknowledged."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from schemas.errors import ConfigurationError, CurrereError
from streams.embedded import free_port

if TYPE_CHECKING:
    from deploy.kafka.broker import Broker

START_S = 30.0


class ServerFailed(CurrereError):
    """A server does not start; its log says why."""


class RedisServer:
    """A Redis that keeps its data in ``folder`` (AOF) and its port over ``kill`` and ``start``.

    ``settings`` go over the defaults, in Redis' own names (``maxmemory``, ``replicaof``, ...). Raises
    ConfigurationError when there is no redis-server.
    """

    def __init__(self, folder: Path, settings: dict[str, str] | None = None, port: int = 0) -> None:
        binary = shutil.which("redis-server")
        if binary is None:
            raise ConfigurationError("no redis-server on PATH (Debian: apt-get install redis-server)")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder: Final = folder
        self.port: Final = port or free_port()
        self.url: Final = f"redis://127.0.0.1:{self.port}/0"
        self.log: Final = folder / "redis.log"
        kept = {"save": "", "appendonly": "yes", "appendfsync": "everysec", **(settings or {})}
        given = [word for name, value in kept.items() for word in (f"--{name}", *(value.split() or [""]))]
        self._argv: Final = [binary, "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(folder), *given]
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the running server. Raises ServerFailed when it was not started."""
        if self._child is None:
            raise ServerFailed("the Redis is not running; call start()")
        return self._child.pid

    def start(self) -> None:
        """Start the server and return once it has loaded its data. Raises ServerFailed, with its log."""
        from deploy.kafka.broker import start_child

        self._child = start_child(self._argv, self.log)
        deadline = time.monotonic() + START_S
        while not pongs(self.port):
            if self._child.poll() is not None or time.monotonic() > deadline:
                raise ServerFailed(f"{self._argv[0]} did not start:\n{self.log.read_text()}")
            time.sleep(0.01)

    def stop(self) -> None:
        """End the server in order; what was written is on disk."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the server at once."""
        self._end(signal.SIGKILL)

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _end(self, how: signal.Signals) -> None:
        from deploy.kafka.broker import end_child

        if self._child is not None:
            end_child(self._child, how)
            self._child = None


@dataclass
class Servers:
    """Addresses that roles, player and auditor use, and the servers behind them if they are ours to kill.

    A row that needs more (a proxy, a replica) has an ``on`` of its own that yields a subclass.
    """

    kafka: str
    redis: str
    own_broker: Broker | None = None
    own_redis: RedisServer | None = None

    @property
    def broker(self) -> Broker:
        """The broker, to ``kill`` and ``start``. Raises ConfigurationError when it is somebody else's."""
        if self.own_broker is None:
            raise ConfigurationError("this row kills its broker; run it without --kafka")
        return self.own_broker

    @property
    def store(self) -> RedisServer:
        """The Redis, to ``kill`` and ``start``. Raises ConfigurationError when it is somebody else's."""
        if self.own_redis is None:
            raise ConfigurationError("this row kills its Redis; run it without --redis")
        return self.own_redis


@contextmanager
def shared(folder: Path) -> Iterator[Servers]:
    """One broker and one Redis with AOF on free ports, until the block ends. Rounds leave them running."""
    with own_broker(folder / "kafka") as broker, RedisServer(folder / "redis") as store:
        yield Servers(broker.bootstrap, store.url, broker, store)


@contextmanager
def own_broker(folder: Path, **more: str) -> Iterator[Broker]:
    """A real Kafka of deploy/kafka, quick to notice a crash; ``more`` goes over its settings with dots for ``_``.

    Raises ConfigurationError: this is no checkout, Java or the jars are missing.
    """
    try:
        from deploy.kafka.broker import QUICK, Broker, BrokerFailed
    except ModuleNotFoundError as error:
        raise ConfigurationError("currere chaos starts a broker of deploy/kafka: run it in a checkout") from error
    try:
        broker = Broker(folder, settings={**QUICK, **{name.replace("_", "."): value for name, value in more.items()}})
    except BrokerFailed as failure:
        raise ConfigurationError(str(failure)) from failure
    with broker:
        yield broker


def pongs(port: int) -> bool:
    """Whether a Redis with its data loaded answers at ``port`` of loopback."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")  # while it loads its data it answers -LOADING
    except OSError:
        return False

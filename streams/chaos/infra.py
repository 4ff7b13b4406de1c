"""Servers for the rows about servers: Kafka and Redis behind proxies, Redis and blobs on a disk that may fill up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import urlopen

from schemas.errors import ConfigurationError
from streams.chaos.disk import MountedDisk, RationedDisk, small_disk
from streams.chaos.proxy import Proxy
from streams.chaos.servers import Servers
from streams.chaos.stand import Crew, Stand
from streams.embedded import free_port

if TYPE_CHECKING:
    from deploy.redis.server import RedisServer

DISK_MB = 128
OUTAGE_S = 8.0  # longer than the session timeout of the stand: the group has given its members up


@dataclass(kw_only=True)
class Infra(Servers):
    """Player and auditor reach the broker at ``kafka``, roles by ``detour``; everybody reaches Redis by a proxy."""

    to_broker: Proxy
    to_redis: Proxy
    disk: MountedDisk | RationedDisk
    redis_server: RedisServer

    @property
    def detour(self) -> str:
        """The address of the broker behind its proxy."""
        return self.to_broker.address


@contextmanager
def infra(folder: Path) -> Iterator[Infra]:
    """All of it, until the block ends. Raises ConfigurationError: what servers need is not there."""
    try:
        from deploy.kafka.broker import QUICK, Broker, BrokerFailed
        from deploy.redis.server import RedisFailed, RedisServer
    except ModuleNotFoundError as error:
        raise ConfigurationError("currere chaos starts the servers of deploy/: run it in a checkout") from error
    port = free_port()
    with Proxy(port) as to_broker, small_disk(folder / "disk", DISK_MB) as disk:
        try:
            broker = Broker(folder / "kafka", settings=QUICK, detour=(port, to_broker.address))
            store = RedisServer(disk.folder / "redis")
        except (BrokerFailed, RedisFailed) as failure:
            raise ConfigurationError(str(failure)) from failure
        with broker, store, Proxy(store.port) as to_redis:
            found = Infra(
                kafka=broker.bootstrap,
                redis=f"redis://{to_redis.address}/0",
                own_broker=broker,
                to_broker=to_broker,
                to_redis=to_redis,
                disk=disk,
                redis_server=store,
            )
            try:
                yield found
            finally:
                found.redis_server.stop()  # a replica may have taken over


def infra_of(here: Stand) -> Infra:
    """The servers of a row that is played on ``infra``."""
    assert isinstance(here.servers, Infra)
    return here.servers


def pause(seconds: float) -> None:
    """Let a fault last."""
    threading.Event().wait(seconds)


def reasons(crew: Crew, role: str) -> str:
    """What ``role`` says at /healthz of itself; nothing if it may be given work, or does not answer."""
    try:
        with urlopen(f"http://127.0.0.1:{crew.supervisor.children[role].port}/healthz", timeout=2.0):
            return ""
    except HTTPError as unwell:
        return unwell.read().decode()
    except OSError:
        return ""

"""Servers for the rows about servers: Kafka and Redis behind proxies, Redis and blobs on a disk that may fill up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import redis

from schemas.errors import ConfigurationError
from streams.chaos.disk import MountedDisk, RationedDisk, small_disk
from streams.chaos.proxy import Proxy
from streams.chaos.servers import Servers
from streams.chaos.stand import Stand
from streams.embedded import free_port

if TYPE_CHECKING:
    from deploy.kafka.broker import Broker
    from deploy.redis.server import RedisServer

APPEND_ONLY = "appendonlydir"  # in Redis' folder
DISK_MB = 128
OUTAGE_S = 8.0  # longer than the session timeout of the stand: the group has given its members up


@dataclass(kw_only=True)
class Infra(Servers):
    """Player and auditor reach the broker at ``kafka``, roles by ``detour``; everybody reaches Redis by a proxy."""

    to_broker: Proxy
    to_redis: Proxy
    store_disk: MountedDisk | RationedDisk
    blob_disk: MountedDisk | RationedDisk
    redis_server: RedisServer

    port: int
    detour_port: int

    @property
    def detour(self) -> str:
        """The address of the broker behind its proxy."""
        return self.to_broker.address

    def broker_in(self, folder: Path) -> Broker:
        """A broker over the log in ``folder``, at the addresses that everybody knows; it is not started."""
        from deploy.kafka.broker import QUICK, Broker

        detour = (self.detour_port, self.detour)
        return Broker(folder, port=self.port, settings=QUICK, detour=detour)


@contextmanager
def infra(folder: Path) -> Iterator[Infra]:
    """All of it, until the block ends. Raises ConfigurationError: what servers need is not there."""
    try:
        from deploy.kafka.broker import BrokerFailed
        from deploy.redis.server import RedisFailed, RedisServer
    except ModuleNotFoundError as error:
        raise ConfigurationError("currere chaos starts the servers of deploy/: run it in a checkout") from error
    port, detour_port = free_port(), free_port()
    with (
        Proxy(detour_port) as to_broker,
        small_disk(folder / "store", DISK_MB) as store_disk,
        small_disk(folder / "blobs", DISK_MB) as blob_disk,
    ):
        try:
            store = RedisServer(store_disk.folder / "redis")
            store.start()
            with Proxy(store.port) as to_redis:
                found = Infra(
                    kafka=f"127.0.0.1:{port}",
                    redis=f"redis://{to_redis.address}/0",
                    to_broker=to_broker,
                    to_redis=to_redis,
                    store_disk=store_disk,
                    blob_disk=blob_disk,
                    redis_server=store,
                    port=port,
                    detour_port=detour_port,
                )
                found.own_broker = found.broker_in(folder / "kafka")
                found.broker.start()
                try:
                    yield found
                finally:  # others may have taken their places
                    found.broker.stop()
                    found.redis_server.stop()
        except (BrokerFailed, RedisFailed) as failure:
            raise ConfigurationError(str(failure)) from failure


def infra_of(here: Stand) -> Infra:
    """The servers of a row that is played on ``infra``."""
    assert isinstance(here.servers, Infra)
    return here.servers


def admin(port: int) -> closing[redis.Redis]:
    """A client of the server itself, past the proxy."""
    return closing(redis.Redis(port=port))


def rewrite(here: Stand) -> None:
    """Have Redis write its append-only file anew from memory, as operators are told to, and return when it has."""
    with admin(infra_of(here).redis_server.port) as server:

        def is_written() -> bool:
            found = server.info("persistence")
            return not (found["aof_rewrite_in_progress"] or found["aof_rewrite_scheduled"])

        here.wait_until(is_written, "Redis has done what it rewrites by itself")
        before = server.info("stats")["total_forks"]
        server.bgrewriteaof()
        here.wait_until(lambda: server.info("stats")["total_forks"] > before and is_written(), "Redis has rewritten")
        here.must(server.info("persistence")["aof_last_bgrewrite_status"] == "ok", "Redis cannot write its file anew")


def pause(seconds: float) -> None:
    """Let a fault last."""
    threading.Event().wait(seconds)

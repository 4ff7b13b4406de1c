"""The servers under a fault: a real Kafka and a real Redis that can be killed, and that keep what they acknowledged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from deploy.kafka.broker import Broker
    from deploy.redis.server import RedisServer


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
    """One broker and one Redis with AOF on free ports, until the block ends. Rounds leave them running.

    Raises ConfigurationError: this is no checkout, or Java, the jars or redis-server are missing.
    """
    try:
        from deploy.kafka.broker import QUICK, Broker, BrokerFailed
        from deploy.redis.server import RedisFailed, RedisServer
    except ModuleNotFoundError as error:
        raise ConfigurationError("currere chaos starts the servers of deploy/: run it in a checkout") from error
    try:
        with Broker(folder / "kafka", settings=QUICK) as broker, RedisServer(folder / "redis") as store:
            yield Servers(broker.bootstrap, store.url, broker, store)
    except (BrokerFailed, RedisFailed) as failure:
        raise ConfigurationError(str(failure)) from failure

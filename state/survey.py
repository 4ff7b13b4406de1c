"""What the store's servers say of themselves, and which shards they hold: read, never changed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.exceptions import RedisClusterException, RedisError, ResponseError
from redis.retry import Retry

from schemas.errors import ConfigurationError, StoreUnavailable
from state.keys import OFFSET
from state.redis import without_secrets
from state.store import Offsets, Shard

META = re.compile(r"currere:\{(?P<tenant>[^:]+):(?P<role>[^:]+):(?P<partition>[0-9]+)\}:meta")


@dataclass(frozen=True, slots=True)
class NodeFound:
    """A server: what ``INFO`` says, and the settings that ``CONFIG GET`` shows, none where that is not allowed.

    ``ahead_s`` is how far its clock is ahead of ours, known to half of ``round_trip_s``.
    """

    name: str
    info: Mapping[str, Any]
    settings: Mapping[str, str]
    ahead_s: float
    round_trip_s: float


@dataclass(frozen=True, slots=True)
class StoreFound:
    """The servers that take writes, and the offsets of every shard of one tenant."""

    nodes: tuple[NodeFound, ...]
    shards: Mapping[Shard, Offsets]


def survey(
    url: str, tenant: str, cluster: bool = False, timeout_s: float = 5.0, clock: Callable[[], float] = time.time
) -> StoreFound:
    """What is found at ``url``. Raises ConfigurationError: no such URL; StoreUnavailable: it does not answer."""
    with connected(url, cluster, timeout_s) as client:
        found = nodes(client)
        return StoreFound(
            tuple(_node(name, node, clock) for name, node in found.items()),
            dict(shard for node in found.values() for shard in shards(node, tenant)),
        )


@contextmanager
def connected(url: str, cluster: bool, timeout_s: float) -> Iterator[redis.Redis | RedisCluster]:
    """A client that is closed in the end. Raises ConfigurationError, StoreUnavailable: also for what is asked of it."""
    address = without_secrets(url)
    try:
        connect = RedisCluster.from_url if cluster else redis.Redis.from_url
        client = connect(url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0))
        try:
            yield client
        finally:
            client.close()
    except ValueError as error:
        # The error may quote a part of the password.
        raise ConfigurationError("the store's URL is none; expected redis://USER:PASSWORD@HOST:PORT/0") from error
    except (RedisError, RedisClusterException) as error:
        raise StoreUnavailable(f"store at {address}: {error}; start the server or mend the address") from error


def nodes(client: redis.Redis | RedisCluster) -> dict[str, redis.Redis]:
    """The servers that take writes, by name."""
    if isinstance(client, redis.Redis):
        return {"store": client}
    primaries = client.get_primaries()  # type: ignore[no-untyped-call]  # redis-py has no types here
    return {node.name: client.get_redis_connection(node) for node in primaries}


def _node(name: str, node: redis.Redis, clock: Callable[[], float]) -> NodeFound:
    info = cast(Mapping[str, Any], node.info())
    asked = clock()
    seconds, microseconds = node.time()
    heard = clock()
    try:
        settings = cast(Mapping[str, str], node.config_get("append*", "maxmemory*"))
    except ResponseError:  # hidden by access rules or by a managed offer
        settings = {}
    return NodeFound(name, info, settings, seconds + microseconds / 1e6 - (asked + heard) / 2, heard - asked)


def shards(node: redis.Redis, tenant: str) -> Iterator[tuple[Shard, Offsets]]:
    """The shards of ``tenant`` on one server."""
    for key in node.scan_iter(match=f"currere:{{{tenant}:*:meta", count=1_000):
        found = META.fullmatch(_text(key))
        if found is None:
            continue
        fields = cast(Mapping[bytes, bytes], node.hgetall(key))
        offsets = {_text(name): int(value) for name, value in fields.items() if _text(name).startswith(OFFSET)}
        shard = Shard(found["tenant"], found["role"], int(found["partition"]))
        yield shard, {name.removeprefix(OFFSET): value for name, value in offsets.items()}


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value

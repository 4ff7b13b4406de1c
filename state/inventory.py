"""All that the shards of one tenant hold, for an audit: read, never taken, never changed.

Nobody is fenced off by it. What it finds is one moment's only while nobody commits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import redis

from state.keys import shard_keys
from state.memory import MemoryStore
from state.store import Offsets, Shard
from state.survey import connected, nodes, shards

PAGE = 500  # values read at once


@dataclass(frozen=True, slots=True)
class Holding:
    """What one shard holds: the offsets up to which its inputs are decided, outputs in its outbox (oldest first), and
    its values by key, which are read as they are asked for."""

    shard: Shard
    offsets: Offsets
    outbox: tuple[bytes, ...]
    values: Callable[[], Iterator[tuple[str, bytes]]]


@contextmanager
def inventory(url: str, tenant: str, cluster: bool = False, timeout_s: float = 30.0) -> Iterator[list[Holding]]:
    """What ``tenant`` has at ``url``, to be read while the context lasts.

    Raises ConfigurationError: no such URL; StoreUnavailable: it does not answer.
    """
    with connected(url, cluster, timeout_s) as client:
        found = nodes(client).values()
        yield [_holding(node, shard, offsets) for node in found for shard, offsets in shards(node, tenant)]


def in_memory(store: MemoryStore, tenant: str) -> list[Holding]:
    """What ``tenant`` has in a store of this process now."""
    held = store.snapshot().shards
    return [
        Holding(shard, one.offsets, tuple(one.outbox), lambda one=one: iter(one.values.items()))  # type: ignore[misc]  # binds now
        for shard, one in held.items()
        if shard.tenant == tenant
    ]


def _holding(node: redis.Redis, shard: Shard, offsets: Offsets) -> Holding:
    _, values, _, outbox = shard_keys(shard)

    def read() -> Iterator[tuple[str, bytes]]:
        for key, value in node.hscan_iter(values, count=PAGE):
            yield key.decode(), value

    return Holding(shard, offsets, tuple(cast(list[bytes], node.lrange(outbox, 0, -1))), read)

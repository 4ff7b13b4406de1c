"""What an audit finds in a store is what was committed, and nothing is taken or changed by looking."""

from __future__ import annotations

import uuid

from state.inventory import Holding, in_memory, inventory
from state.memory import MemoryStore
from state.redis import RedisStore
from state.store import Commit, Put, Shard, Store

PLACE = "edu.interaction.v1/1"


def filled(store: Store, tenant: str) -> Shard:
    """A shard with a value, an offset and an output."""
    shard = Shard(tenant, "session", 1)
    store.take(shard, "owner")
    store.commit(shard, "owner", {}, Commit({PLACE: 7}, [Put("i:a", b"one"), Put("w:b", b"two")], [b"packed"]))
    return shard


def all_of(found: list[Holding]) -> list[tuple[Shard, dict[str, int], tuple[bytes, ...], dict[str, bytes]]]:
    return [(one.shard, dict(one.offsets), one.outbox, dict(one.values())) for one in found]


def expected(shard: Shard) -> list[tuple[Shard, dict[str, int], tuple[bytes, ...], dict[str, bytes]]]:
    return [(shard, {PLACE: 7}, (b"packed",), {"i:a": b"one", "w:b": b"two"})]


def test_a_store_in_memory_is_seen_as_it_was_committed() -> None:
    store = MemoryStore()
    shard = filled(store, "oakfield")
    filled(store, "another")
    assert all_of(in_memory(store, "oakfield")) == expected(shard)


def test_redis_is_seen_as_it_was_committed_and_its_owner_goes_on(redis_url: str) -> None:
    store, tenant = RedisStore.connect(redis_url), f"seen-{uuid.uuid4().hex}"
    shard = filled(store, tenant)
    with inventory(redis_url, tenant) as found:
        assert all_of(found) == expected(shard)
    store.commit(shard, "owner", {PLACE: 7}, Commit({PLACE: 8}))
    assert store.offsets(shard) == {PLACE: 8}
    store.close()

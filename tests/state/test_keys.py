"""Where a shard lies in Redis."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from state.keys import shard_keys
from state.store import NAME, Shard

names = st.from_regex(NAME, fullmatch=True)
shards = st.builds(Shard, names, names, st.integers(0, 10_000))


@given(shards)
def test_all_keys_of_a_shard_lie_in_one_slot(shard: Shard) -> None:
    assert len({key_slot(key.encode()) for key in shard_keys(shard)}) == 1


@given(shards)
def test_every_key_is_under_its_tenant(shard: Shard) -> None:
    assert all(key.startswith(f"currere:{{{shard.tenant}:") for key in shard_keys(shard))


@given(st.sets(shards, min_size=2, max_size=5))
def test_no_two_shards_share_a_key(some: set[Shard]) -> None:
    keys = [key for shard in some for key in shard_keys(shard)]
    assert len(set(keys)) == len(keys)


def test_a_tenants_partitions_spread_over_the_slots() -> None:
    partitions = 100
    slots = {key_slot(shard_keys(Shard("acme", "session", number))[0].encode()) for number in range(partitions)}
    assert len(slots) > partitions * 0.9

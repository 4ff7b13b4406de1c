"""What the growth benchmark puts into a store is what the roles themselves would find there."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing

import pytest

from benchmarks.scale_fill import ITEMS, LEARNERS, NOW, Written, endless, expected, fill, used_memory, written
from benchmarks.scale_model import off_by
from deploy.redis.server import RedisServer
from learners.entry import MemorySettings
from learners.tasks import default_tasks
from state.pending import Context, Pending, interaction_key
from state.redis import RedisStore
from state.store import Shard
from streams.remember import Payloads, Remembered, payload_key
from streams.serving import Prior

PARTITIONS, ENTRIES = 2, 130
MOST_OFF = 5.0  # percent


@pytest.fixture(scope="module")
def made() -> Written:
    return written(0, 2, Prior(default_tasks()), PARTITIONS)


@pytest.fixture
def store(redis_url: str) -> Iterator[RedisStore]:
    with closing(RedisStore.connect(redis_url)) as found:
        yield found


def held(store: RedisStore, shard: Shard) -> dict[str, bytes]:
    """All values of ``shard``."""
    token = secrets.token_hex(8)
    return store.read_all(shard, token, store.take(shard, token).offsets)


def shards(role: str, count: int) -> list[Shard]:
    tenant = f"scale-{secrets.token_hex(4)}"
    return [Shard(tenant, role, number) for number in range(count)]


def test_entries_are_shared_out_evenly_and_each_has_a_name_of_its_own(made: Written, store: RedisStore) -> None:
    taken = shards("session", PARTITIONS)
    fill(store, taken, endless(made.entries["pending"], NOW), ENTRIES)
    found = [held(store, shard) for shard in taken]
    assert [len(values) for values in found] == [ENTRIES // PARTITIONS] * PARTITIONS
    assert len({key for values in found for key in values}) == ENTRIES


def test_a_prediction_that_waits_is_that_of_the_interaction_under_whose_name_it_is(
    made: Written, store: RedisStore
) -> None:
    (taken,) = shards("session", 1)
    fill(store, [taken], endless(made.entries["pending"], NOW), ENTRIES)
    for key, value in held(store, taken).items():
        assert key == interaction_key(Pending.model_validate_json(value).prediction.interaction)


def test_a_context_has_the_turns_of_a_lesson(made: Written, store: RedisStore) -> None:
    (taken,) = shards("session", 1)
    fill(store, [taken], endless(made.entries["context"], NOW), ENTRIES)
    assert all(Context.model_validate_json(value).turns for value in held(store, taken).values())


def test_what_is_filled_expires_when_what_was_written_would(made: Written) -> None:
    later = 1_000.0
    first = next(endless(made.entries["pending"], NOW + later))
    due = made.entries["pending"][0].due
    assert first.due is not None
    assert due is not None
    assert first.due - due == later


def test_a_replay_memory_is_read_whole_with_the_example_of_each_entry(made: Written, store: RedisStore) -> None:
    (taken,) = shards("curate", 1)
    for kind in ITEMS:
        fill(store, [taken], endless(made.entries[kind], NOW), ENTRIES)
    values, payloads = held(store, taken), Payloads()
    rules = MemorySettings(capacity=ENTRIES, learner_share=1.0, rater_share=1.0)
    memory = Remembered.load(values, rules, {}).memory
    assert len(memory) == ENTRIES
    for id_, entry in memory.entries.items():
        example = payloads.read(values[payload_key(id_)]).example
        assert (example.id, example.interaction, example.input.learner) == (id_, entry.interaction, entry.learner)


def test_learners_have_had_their_say_and_examples_were_met(made: Written, store: RedisStore) -> None:
    (taken,) = shards("curate", 1)
    for kind in LEARNERS:
        fill(store, [taken], endless(made.entries[kind], NOW), ENTRIES)
    keys = [key.partition(":")[0] for key in held(store, taken)]
    assert (keys.count("k"), keys.count("x")) == (ENTRIES, ENTRIES)


@pytest.mark.parametrize(("kind", "entries"), [("pending", 10_000), ("labels", 50_000)])
def test_the_model_says_what_a_real_redis_uses(made: Written, own_redis: RedisServer, kind: str, entries: int) -> None:
    (taken,) = shards("session", 1)
    with closing(RedisStore.connect(own_redis.url)) as store:
        store.ping()
    before = used_memory(own_redis.url)
    with closing(RedisStore.connect(own_redis.url)) as store:
        some = fill(store, [taken], endless(made.entries[kind], NOW), entries)
    taken_up = used_memory(own_redis.url) - before
    assert abs(off_by(expected(some, entries, 1), taken_up)) < MOST_OFF

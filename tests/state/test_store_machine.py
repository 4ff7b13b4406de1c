"""Any sequence of calls, rollbacks included, has the same answers from a Redis-compatible server as from memory."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from schemas.errors import Refused
from state.keys import shard_keys
from state.memory import MemoryStore, Snapshot
from state.redis import RedisStore
from state.store import ABSENT, Commit, Delete, Offsets, Put, Shard, Store

EXAMPLES, STEPS = 60, 40
names = st.sampled_from(["a", "b", "c", "ä:{}", ""])
tokens = st.sampled_from(["one", "two"])
times = st.integers(0, 5).map(float)
values = st.binary(max_size=4)
puts = st.builds(Put, names, values, st.none() | times)
offsets = st.dictionaries(st.sampled_from(["in/0", "feedback/0"]), st.integers(0, 3), max_size=2)
commits = st.builds(
    Commit,
    offsets,
    st.lists(puts | st.builds(Delete, names), max_size=5),
    st.lists(values, max_size=3),
    st.integers(0, 2),
    st.dictionaries(st.sampled_from(["out/0", "fate/0"]), st.integers(0, 9), max_size=2),
)


class Twins(RuleBasedStateMachine):
    """A server beside its model; each rule does the same to both."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.client = redis.Redis.from_url(url)
        self.real = RedisStore.connect(url)
        self.model = MemoryStore()
        self.shard = Shard(f"machine-{uuid.uuid4().hex}", "session", 0)
        self.saved: tuple[Snapshot, dict[str, Any]] | None = None

    def both(self, call: Callable[[Store], object]) -> None:
        assert outcome(call, self.real) == outcome(call, self.model)

    @initialize()
    def begin(self) -> None:
        self.take("one")

    @rule(token=tokens)
    def take(self, token: str) -> None:
        self.both(lambda store: store.take(self.shard, token))

    @rule(token=tokens, commit=commits)
    def commit_from_where_it_stands(self, token: str, commit: Commit) -> None:
        began_at = self.model.offsets(self.shard)
        self.both(lambda store: store.commit(self.shard, token, began_at, commit))

    @rule(token=tokens, began_at=offsets, absent=st.booleans(), commit=commits)
    def commit_from_anywhere(self, token: str, began_at: Offsets, absent: bool, commit: Commit) -> None:
        place = {"nowhere/0": ABSENT} if absent else {}
        self.both(lambda store: store.commit(self.shard, token, {**began_at, **place}, commit))

    @rule(token=tokens, at=offsets, keys=st.lists(names, max_size=5), before=st.none() | times, limit=st.integers(0, 4))
    def read(self, token: str, at: Offsets, keys: list[str], before: float | None, limit: int) -> None:
        self.both(lambda store: store.read(self.shard, token, at, keys, before, limit))

    @rule(token=tokens, keys=st.lists(names, max_size=5), before=st.none() | times, limit=st.integers(0, 4))
    def read_where_it_stands(self, token: str, keys: list[str], before: float | None, limit: int) -> None:
        self.read(token, self.model.offsets(self.shard), keys, before, limit)

    @rule(token=tokens, at=offsets)
    def read_all(self, token: str, at: Offsets) -> None:
        self.both(lambda store: store.read_all(self.shard, token, at))

    @rule()
    def remember(self) -> None:
        self.saved = self.model.snapshot(), {key: self.client.dump(key) for key in shard_keys(self.shard)}

    @rule()
    def roll_back(self) -> None:
        if self.saved is None:
            return
        snapshot, dumps = self.saved
        self.model.restore(snapshot)
        self.client.delete(*dumps)
        for key, dump in dumps.items():
            if dump is not None:
                self.client.restore(key, 0, dump)

    @invariant()
    def both_hold_the_same(self) -> None:
        self.both(lambda store: store.offsets(self.shard))
        self.both(lambda store: store.count(self.shard))

    def teardown(self) -> None:
        self.take("last")
        self.both(lambda store: store.read_all(self.shard, "last", {}))
        self.both(lambda store: store.read(self.shard, "last", {}, [], 9.0, 9))
        self.client.delete(*shard_keys(self.shard))
        self.client.close()
        self.real.close()


def outcome(call: Callable[[Store], object], store: Store) -> object:
    try:
        return call(store)
    except Refused:
        return Refused


def test_every_sequence_of_calls_has_the_answers_of_the_model(url: str) -> None:
    run_state_machine_as_test(
        lambda: Twins(url),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )

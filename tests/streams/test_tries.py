"""A record that ends each process is led aside after some tries; its neighbours never are."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pytest
from builders import HORIZON_S, Died, Host, append, classroom_log, label, outcomes, published, said, session_role
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import topics
from schemas.errors import StoreUnavailable
from schemas.prediction import DeadLetter, Prediction
from state.memory import MemoryStore
from streams.engines.memory import ManualClock, MemoryLog
from streams.engines.shard import RoleAt
from streams.engines.tries import MOST, TRIES, Care, Mark
from streams.processor import Batch, Plan, Processor

LETTERS = topics.dlq(topics.INTERACTION)


@dataclass(frozen=True)
class Frail:
    """A processor that ends its process over the events ``bad``, by the ``error`` given."""

    inner: Processor
    bad: frozenset[str]
    error: type[Exception] = Died
    over_what_is_due: bool = False
    resident: bool = False
    quoted: tuple[str, ...] = (topics.PREDICTION.name,)

    def keys(self, batch: Batch) -> Sequence[str]:
        return self.inner.keys(batch)

    def run(self, batch: Batch, values: Mapping[str, bytes]) -> Plan:
        if any(input_.event.id in self.bad for input_ in batch.inputs):
            raise self.error("over a bad event")
        if self.over_what_is_due and batch.due:
            raise self.error("over what is due")
        return self.inner.run(batch, values)


def frail(*bad: str, error: type[Exception] = Died) -> RoleAt:
    """The session role, which dies over these events."""
    role = session_role()
    return replace(role, processor=Frail(role.processor, frozenset(bad), error))


def lives(log: MemoryLog, store: MemoryStore, role: RoleAt, batches: Sequence[int], most: int = 100) -> int:
    """How many processes die until one decides all there is; each takes batches of these sizes in turn."""
    for died in range(most):
        host = Host(log, store, role)
        sizes = [*batches]
        try:
            while host.step(sizes[0], sizes[0]):
                sizes = [*sizes[1:], sizes[0]]
        except Died:
            continue
        return died
    raise AssertionError(f"{most} processes have died")


def reasons(log: MemoryLog) -> dict[str, str]:
    """By where the input stood, the reason of its dead letter."""
    letters = [found.data for found in published(log, LETTERS)]
    return {f"i{data.offset}": data.reason for data in letters if isinstance(data, DeadLetter)}


def lesson(events: int) -> MemoryLog:
    """Interactions ``i0``, ``i1``, … each with a label."""
    log = classroom_log(ManualClock())
    append(log, *(found for n in range(events) for found in (said(f"i{n}"), label(f"f{n}", f"i{n}"))))
    return log


@settings(max_examples=60, deadline=None)
@given(
    bad=st.sets(st.integers(0, 7), min_size=1, max_size=2),
    batches=st.lists(st.integers(1, 8), min_size=1, max_size=4),
)
def test_only_what_ends_each_process_is_led_aside_and_all_else_is_decided(bad: set[int], batches: list[int]) -> None:
    log, store, poisons = lesson(8), MemoryStore(), {f"i{n}" for n in bad}

    died = lives(log, store, frail(*poisons), batches)

    assert reasons(log) == dict.fromkeys(poisons, "poison")
    spoken = [found.data for found in published(log, topics.PREDICTION)]
    assert {data.interaction for data in spoken if isinstance(data, Prediction)} == {
        f"i{n}" for n in range(8)
    } - poisons
    assert MOST * len(poisons) <= died <= (MOST + 2) * len(poisons)


def test_every_input_has_one_outcome_however_often_its_process_died() -> None:
    log, store, role = lesson(6), MemoryStore(), frail("i2")
    lives(log, store, role, [6])
    assert all(len(ids) == 1 for ids in outcomes(log, role).values())


def test_nothing_is_left_of_the_count_once_all_is_decided() -> None:
    log, store, role = lesson(6), MemoryStore(), frail("i2")
    lives(log, store, role, [6])
    host = Host(log, store, role)
    assert not store.read(host.runner.shard, host.runner.token, host.runner.offsets, [TRIES]).found


def test_an_owner_whose_process_lives_on_is_not_counted_as_dead() -> None:
    log, store, care = lesson(3), MemoryStore(), Care(uuid.uuid4().hex)
    role = frail("i1", error=StoreUnavailable)
    for _ in range(5 * MOST):
        host = Host(log, store, role)
        host.runner.care = care
        with pytest.raises(StoreUnavailable):
            host.drain()
    assert reasons(log) == {}


def test_a_process_that_dies_between_records_brings_none_under_suspicion() -> None:
    log, store, role = lesson(8), MemoryStore(), session_role()
    for _ in range(8):  # each decides one record of each topic and is gone
        Host(log, store, role).step(1, 1)
    Host(log, store, role).drain()
    assert reasons(log) == {}


def test_what_is_due_brings_no_record_under_suspicion() -> None:
    clock, store, role = ManualClock(), MemoryStore(), session_role()
    log = classroom_log(clock)
    append(log, said("i0"))
    Host(log, store, role).drain()
    clock.advance(HORIZON_S + 1)
    append(log, said("i1"), said("i2"))
    mortal = replace(role, processor=Frail(role.processor, frozenset(), over_what_is_due=True))
    for _ in range(5 * MOST):
        with pytest.raises(Died):
            Host(log, store, mortal).drain()
    Host(log, store, role).drain()
    assert reasons(log) == {}


@given(
    until=st.dictionaries(st.text(min_size=1), st.integers(0)),
    tried=st.dictionaries(st.text(), st.tuples(st.integers(0), st.text())),
)
def test_a_mark_is_read_as_it_was_left(until: dict[str, int], tried: dict[str, tuple[int, str]]) -> None:
    left = Mark(until, tried)
    found = Mark.read(left.put().value)
    assert found is not None
    assert (found.until, {at: tuple(of) for at, of in found.tried.items()}) == (until, tried)

"""A record that ends each process is led aside after some tries; its neighbours never are."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

import pytest
from builders import (
    HORIZON_S,
    START_S,
    Died,
    Host,
    append,
    classroom_log,
    label,
    outcomes,
    published,
    record_of,
    said,
    session_role,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import topics
from schemas.errors import StoreUnavailable, TooManyPoisons
from schemas.prediction import DeadLetter, Prediction
from state.memory import MemoryStore
from streams.assembly import Workshop
from streams.blobs import Blobs
from streams.engines.memory import ManualClock, MemoryLog
from streams.engines.shard import RoleAt, ShardRunner
from streams.engines.tries import MOST, MOST_ASIDE, REST_S, TRIES, WINDOW, Care, Mark
from streams.message import Record
from streams.metrics import Metrics
from streams.processor import Batch, Plan, Processor
from streams.settings import load

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

    def prepare(self, values: Mapping[str, bytes]) -> None:
        self.inner.prepare(values)

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


def life(log: MemoryLog, store: MemoryStore, role: RoleAt, most_aside: int = MOST_ASIDE) -> Host:
    """A process of its own, which leads aside no more than that."""
    host = Host(log, store, role)
    host.runner.care = Care(uuid.uuid4().hex, most_aside)
    return host


def lives(
    log: MemoryLog, store: MemoryStore, role: RoleAt, batches: Sequence[int], most_aside: int = MOST_ASIDE
) -> int:
    """How many processes die until one decides all there is; each takes batches of these sizes in turn."""
    for died in range(100):
        host = life(log, store, role, most_aside)
        sizes = [*batches]
        try:
            while host.step(sizes[0], sizes[0]):
                sizes = [*sizes[1:], sizes[0]]
        except Died:
            continue
        return died
    raise AssertionError("100 processes have died")


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


def left(host: Host, store: MemoryStore) -> Mark | None:
    """The mark in the store."""
    runner = host.runner
    return Mark.read(store.read(runner.shard, runner.token, runner.offsets, [TRIES]).found.get(TRIES))


def test_of_the_count_nothing_is_left_once_all_is_decided_but_what_was_led_aside_lately() -> None:
    log, store, role = lesson(6), MemoryStore(), frail("i2")
    lives(log, store, role, [6])
    assert left(Host(log, store, role), store) == Mark(aside=(f"{topics.INTERACTION.name}/0/2",))


def test_a_mark_is_gone_once_as_many_records_were_decided_as_it_counts() -> None:
    log, store, role = lesson(1), MemoryStore(), frail("i0")
    lives(log, store, role, [1])
    append(log, *(said(f"more{n}") for n in range(WINDOW)))
    lives(log, store, role, [WINDOW])
    assert left(Host(log, store, role), store) is None


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


def interactions(count: int) -> tuple[MemoryLog, ManualClock, list[str]]:
    """A log with as many interactions and nothing else, its clock, and their ids."""
    clock, ids = ManualClock(), [f"i{n}" for n in range(count)]
    log = classroom_log(clock)
    append(log, *map(said, ids))
    return log, clock, ids


@pytest.mark.parametrize("limit", [0, 2])
def test_a_release_that_dies_of_everything_leads_no_more_aside_than_the_limit_and_then_stands(limit: int) -> None:
    (log, _, ids), store = interactions(5), MemoryStore()
    with pytest.raises(TooManyPoisons, match=rf"/{limit} ends each process, and poison_limit \({limit}\)"):
        lives(log, store, frail(*ids), [1], limit)
    assert reasons(log) == dict.fromkeys(ids[:limit], "poison")


def test_a_partition_that_stands_costs_one_process_a_rest() -> None:
    (log, clock, ids), store = interactions(3), MemoryStore()
    for _ in range(2):
        with pytest.raises(TooManyPoisons):
            lives(log, store, frail(*ids), [1], 1)
        clock.advance(REST_S)
        with pytest.raises(Died):
            life(log, store, frail(*ids), 1).drain()


def test_once_the_release_is_taken_back_a_partition_that_stood_goes_on_by_itself_and_nothing_is_lost() -> None:
    (log, clock, ids), store, good = interactions(6), MemoryStore(), session_role()
    with pytest.raises(TooManyPoisons):
        lives(log, store, frail(*ids), [2], 2)
    with pytest.raises(TooManyPoisons):
        lives(log, store, good, [2], 2)
    clock.advance(REST_S)
    assert lives(log, store, good, [2], 2) == 0
    assert sorted(map(len, outcomes(log, good).values())) == [1] * len(ids)
    assert reasons(log) == dict.fromkeys(ids[:2], "poison")


def test_a_higher_limit_lets_a_partition_that_stood_go_on() -> None:
    (log, _, ids), store, role = interactions(4), MemoryStore(), frail("i0", "i1")
    with pytest.raises(TooManyPoisons):
        lives(log, store, role, [4], 1)
    lives(log, store, role, [4], 2)
    assert reasons(log) == dict.fromkeys(ids[:2], "poison")


def test_the_limit_is_what_the_settings_say(tmp_path: Path) -> None:
    log, store, role = lesson(1), MemoryStore(), session_role()
    shop = Workshop(load(poison_limit=3), log, store, Blobs(tmp_path.as_uri()), Metrics())
    runner = shop.owner(role)(0)
    assert isinstance(runner, ShardRunner)
    assert runner.care.most_aside == 3


def test_what_was_led_aside_is_told_also_by_the_next_process() -> None:
    log, store, role = lesson(4), MemoryStore(), frail("i0", "i2")
    lives(log, store, role, [4])
    told = Host(log, store, role).runner.metrics.metrics.registry.get_sample_value
    assert told("currere_poison_records", {"role": role.role, "partition": "0"}) == 2


def placed(offset: int) -> tuple[Record, dict[str, int]]:
    """The record at an offset, and the offsets once all before it is decided."""
    found = record_of(said("i"), offset)
    return found, {f"{found.origin.topic}/0": offset}


@given(gaps=st.lists(st.integers(1, WINDOW // 2), min_size=1, max_size=30), limit=st.integers(0, 5))
def test_a_poison_is_led_aside_if_fewer_than_the_limit_were_of_the_thousand_records_before_it(
    gaps: list[int], limit: int
) -> None:
    mark, aside = Mark(), list[int]()
    for offset in accumulate(gaps):
        found, offsets = placed(offset)
        dead = replace(mark, tried={str(found.origin): (MOST, "dead")}, tried_at=START_S)
        free = sum(offset - WINDOW <= other < offset for other in aside) < limit
        assert dead.verdict(found, "alive", offsets, START_S, limit) == ("aside" if free else "stand")
        if free:
            mark, aside = dead.led_aside(found, offsets), [*aside, offset]
    assert all(sum(last - WINDOW < offset <= last for offset in aside) <= limit for last in aside)


@given(deaths=st.integers(0, 2 * MOST), limit=st.integers(0, 2), since=st.floats(-2 * REST_S, 2 * REST_S))
def test_a_record_is_tried_until_it_is_poison_and_where_too_many_were_after_each_rest(
    deaths: int, limit: int, since: float
) -> None:
    found, offsets = placed(7)
    mark = Mark(tried={str(found.origin): (deaths, "dead")}, tried_at=START_S)
    rested = abs(START_S + since - START_S) >= REST_S  # a clock that was set back must not make it wait for ever
    expected = "try" if deaths < MOST else "aside" if limit else "try" if rested else "stand"
    assert mark.verdict(found, "alive", offsets, START_S + since, limit) == expected


@given(
    until=st.dictionaries(st.text(min_size=1), st.integers(0)),
    tried=st.dictionaries(st.text(), st.tuples(st.integers(0), st.text())),
    aside=st.lists(st.text()),
    tried_at=st.floats(0, allow_infinity=False),
)
def test_a_mark_is_read_as_it_was_left(
    until: dict[str, int], tried: dict[str, tuple[int, str]], aside: list[str], tried_at: float
) -> None:
    mark = Mark(until, tried, tuple(aside), tried_at)
    assert Mark.read(mark.put().value) == mark


def test_a_mark_of_an_older_release_has_led_nothing_aside_and_one_of_a_newer_is_read_without_what_is_new() -> None:
    old = {"until": {"t/0": 3}, "tried": {"t/0/2": [1, "a"]}}
    found = Mark({"t/0": 3}, {"t/0/2": (1, "a")})
    assert Mark.read(json.dumps(old).encode()) == Mark.read(json.dumps({**old, "new": 1}).encode()) == found

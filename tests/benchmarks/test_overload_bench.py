"""The flood of the overload benchmark is new lessons each turn, and its verdict is what its figures say."""

from __future__ import annotations

import json
from itertools import islice

import pytest

from benchmarks.overload import GROWTH, Result, peaks, summary
from benchmarks.overload_load import Flood, again, endless, lessons
from benchmarks.overload_watch import Seen
from schemas import topics
from schemas.codec import decode
from schemas.feedback import Feedback
from schemas.interaction import Interaction
from streams.audit import Audit, audit
from streams.engines.memory import ManualClock, MemoryLog
from streams.message import Message, partition_of
from streams.shedding import LADDER

TENANT, PARTITIONS = "oakfield", 3


@pytest.fixture(scope="module")
def log() -> MemoryLog:
    made = MemoryLog(ManualClock())
    made.create(topics.ALL, lambda topic: PARTITIONS if topic.per_session else 1)
    return made


@pytest.fixture(scope="module")
def made(log: MemoryLog) -> list[Message]:
    return lessons(0, 60, TENANT, log)


def test_the_first_turn_is_the_lessons_as_they_are(made: list[Message]) -> None:
    assert list(islice(endless(made, PARTITIONS), len(made))) == made


def test_every_event_of_every_turn_has_an_id_of_its_own(made: list[Message]) -> None:
    ids = [message.id for message in islice(endless(made, PARTITIONS), 4 * len(made))]
    assert len(set(ids)) == len(ids)


def test_feedback_judges_an_interaction_of_its_own_turn(made: list[Message]) -> None:
    turn = [again(message, 7, PARTITIONS) for message in made]
    events = [decode(topics.BY_NAME[message.topic], message.headers, message.value) for message in turn]
    said = {event.id: event.data.session for event in events if isinstance(event.data, Interaction)}
    judged = [event.data for event in events if isinstance(event.data, Feedback)]
    astray = sum(feedback.interaction not in said for feedback in judged)
    as_made = [json.loads(message.value)["interaction"] for message in made if message.topic == topics.FEEDBACK.name]
    never = sum(interaction not in {message.id for message in made} for interaction in as_made)
    assert astray == never
    assert all(said[data.interaction] == data.session for data in judged if data.interaction in said)


def test_an_event_lies_on_its_session_s_partition(made: list[Message]) -> None:
    for message in (again(one, 3, PARTITIONS) for one in made):
        assert message.partition == partition_of(message.key, PARTITIONS)


def test_the_flood_sends_what_was_asked_for(log: MemoryLog, made: list[Message]) -> None:
    before = _written(log)
    flood = Flood(log, endless(made, PARTITIONS), per_s=1e5, seconds=0.002)
    flood.start()
    flood.done()
    assert flood.events == _written(log) - before == 1e5 * 0.002


def _written(log: MemoryLog) -> int:
    return sum(log.ends(topic, place)[1] for topic in (topics.INTERACTION.name, topics.FEEDBACK.name)
               for place in range(PARTITIONS))  # fmt: skip


def seen(at_s: float, mb: float, lag: int, level: int = 0) -> Seen:
    return Seen(at_s, {"session": mb}, {"session": lag}, level, {"reasons": 5.0})


def result(*looks: Seen, **more: object) -> Result:
    log = MemoryLog(ManualClock())
    log.create(topics.ALL, lambda topic: 1)
    nothing: Audit = audit(log, TENANT, "default")
    given: dict[str, object] = {
        "sustainable_per_s": 100.0, "sent": {topics.INTERACTION.name: 60, topics.FEEDBACK.name: 40},
        "sent_per_s": 1000.0, "caught_up": True, "catch_up_s": 9.0, "order_held": True, "audit": nothing,
    }  # fmt: skip
    return Result(**{**given, "seen": looks, **more})  # type: ignore[arg-type]  # each of its own type


def test_peaks_are_of_both_halves_of_the_time_behind() -> None:
    looks = [seen(0, 10, 0), seen(1, 12, 5), seen(2, 14, 9), seen(3, 13, 5), seen(4, 11, 1), seen(5, 10, 0)]
    assert peaks(looks) == {"session": {"before": 10, "first": 14, "second": 13, "after": 10}}


@pytest.mark.parametrize(("factor", "bounded"), [(GROWTH, True), (GROWTH + 0.01, False)])
def test_memory_that_grows_with_the_backlog_is_not_bounded(factor: float, bounded: bool) -> None:
    told = summary(result(seen(0, 100, 0), seen(1, 100, 9), seen(2, 100 * factor, 9), seen(3, 100, 0)), 10)
    assert (told["memory_bounded"], told["holds"]) == (bounded, bounded)


@pytest.mark.parametrize("wrong", [{"caught_up": False}, {"order_held": False}])
def test_it_does_not_hold_unless_all_have_caught_up_and_the_order_was_kept(wrong: dict[str, object]) -> None:
    assert not summary(result(seen(0, 100, 0), **wrong), 10)["holds"]


def test_it_does_not_hold_while_work_is_still_left_out_in_the_end() -> None:
    assert not summary(result(seen(0, 100, 5, level=len(LADDER)), seen(1, 100, 0, level=1)), 10)["holds"]


def test_how_many_times_is_what_was_sent_over_what_can_be_sustained() -> None:
    told = summary(result(seen(0, 100, 0)), 20)
    assert (told["times"], told["events"], told["feedback"]) == (1000.0 / 100.0, 60 + 40, 40)

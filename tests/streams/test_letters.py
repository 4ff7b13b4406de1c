"""Dead letters over a log in memory: which are open, what is sent again, what is noted."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from builders import TENANT, Host, append, classroom_log, label, record_of, records, said, session_role
from hypothesis import given
from hypothesis import strategies as st

from schemas import codec, topics
from schemas.envelope import Origin
from schemas.errors import BadEvent, BrokerError
from schemas.topics import MAX_VALUE_BYTES
from state.memory import MemoryStore
from streams.engines.broker import Acknowledged
from streams.engines.memory import ManualClock, MemoryLog, MemoryProducer
from streams.letters import (
    RETRY_OF,
    TOGETHER,
    Decider,
    Letter,
    NoSuchLetter,
    Unretriable,
    Wanted,
    drop,
    find,
    letters,
    original,
    resolutions,
    retry,
)
from streams.message import Message, Record
from streams.processor import LONGEST_DEAD_VALUE, dead_letter, message
from streams.session import screen

BY = Decider(TENANT, "operator", "mended", datetime(2026, 3, 2, tzinfo=UTC))
ALL = Wanted(TENANT)


@pytest.fixture
def log() -> MemoryLog:
    return classroom_log(ManualClock())


def put_letter(log: MemoryLog, record: Record, reason: str = "unusable", tenant: str = TENANT) -> None:
    """The dead letter that a role of ``tenant`` writes about ``record``."""
    output = dead_letter(record, BadEvent("it cannot be used", reason))
    log.append(message(output, tenant, f"/currere/{tenant}/session", record.origin.partition, log.partitions()))


def refused(
    log: MemoryLog, value: bytes | None = b"{not json", headers: tuple[tuple[str, bytes | None], ...] = ()
) -> Record:
    """A record on the interactions' topic that nobody can use, and its letter."""
    offset = log.append_raw(topics.INTERACTION.name, 0, b"s1", value, headers)
    (record,) = log.read(topics.INTERACTION.name, 0, offset, offset + 1)
    put_letter(log, record)
    return record


def the_letter(log: MemoryLog) -> Letter:
    (letter,) = letters(log, ALL)
    return letter


def last(log: MemoryLog, topic: str) -> Record:
    _, end = log.ends(topic, 0)
    return next(iter(log.read(topic, 0, end - 1, end)))


def is_open(log: MemoryLog, input_: Origin) -> bool:
    return input_ not in resolutions(log, TENANT)


def test_a_letter_that_was_written_twice_is_one(log: MemoryLog) -> None:
    record = refused(log)
    put_letter(log, record)
    assert [letter.input for letter in letters(log, ALL)] == [record.origin]


def test_the_letter_of_a_value_that_is_just_within_the_limit_is_seen(log: MemoryLog) -> None:
    record = refused(log, b"x" * MAX_VALUE_BYTES)
    assert original(log, the_letter(log)).value == record.value


def test_the_letters_of_another_tenant_are_none_of_ours(log: MemoryLog) -> None:
    record = refused(log)
    put_letter(log, replace(record, origin=replace(record.origin, offset=7)), tenant="elsewhere")
    assert the_letter(log).input == record.origin
    assert [letter.input.offset for letter in letters(log, Wanted("elsewhere"))] == [7]


def test_letters_are_chosen_by_reason_and_by_topic(log: MemoryLog) -> None:
    record = refused(log)
    other = record_of(label("f1", "i1"), 4)
    put_letter(log, other, "conflict")
    assert [letter.input for letter in letters(log, Wanted(TENANT, reason="conflict"))] == [other.origin]
    for name in (topics.INTERACTION.name, topics.dlq(topics.INTERACTION).name):
        assert [letter.input for letter in letters(log, Wanted(TENANT, topic=name))] == [record.origin]


def test_a_topic_without_dead_letters_is_named_with_those_that_have_them(log: MemoryLog) -> None:
    with pytest.raises(NoSuchLetter, match=topics.FEEDBACK.name):
        list(letters(log, Wanted(TENANT, topic=topics.DELTA.name)))


def test_a_letter_is_found_by_its_own_place_and_by_its_records(log: MemoryLog) -> None:
    refused(log)
    second = refused(log)
    letter = find(log, TENANT, second.origin)
    assert letter.input == second.origin
    assert letter.origin == Origin(f"{second.origin.topic}.dlq", 0, 1)
    assert find(log, TENANT, letter.origin) == letter


@pytest.mark.parametrize("place", ["edu.interaction.v1/0/99", "edu.interaction.v1.dlq/0/99", "edu.interaction.v1/9/0"])
def test_a_place_without_a_letter_is_an_error(log: MemoryLog, place: str) -> None:
    refused(log)
    with pytest.raises(NoSuchLetter, match=place):
        find(log, TENANT, Origin.parse(place))


def test_a_log_without_the_topics_says_how_to_make_them() -> None:
    with pytest.raises(BrokerError, match="topics create"):
        list(letters(MemoryLog(ManualClock()), ALL))


headers = st.lists(st.tuples(st.text(min_size=1, max_size=8), st.binary(max_size=8)), max_size=4).map(tuple)


@given(key=st.binary(max_size=8), value=st.binary(max_size=64), given_headers=headers)
def test_a_copy_is_the_record_byte_for_byte_with_a_mark(
    key: bytes, value: bytes, given_headers: tuple[tuple[str, bytes], ...]
) -> None:
    log = classroom_log(ManualClock())
    offset = log.append_raw(topics.FEEDBACK.name, 0, key, value, given_headers)
    (record,) = log.read(topics.FEEDBACK.name, 0, offset, offset + 1)
    put_letter(log, record)
    mark = (RETRY_OF, str(record.origin).encode())
    kept = tuple(header for header in given_headers if header[0] != RETRY_OF)
    assert original(log, the_letter(log)) == Message(topics.FEEDBACK.name, 0, key, value, (*kept, mark))


def test_a_value_too_large_for_its_letter_is_read_from_where_it_stands(log: MemoryLog) -> None:
    value = b"x" * (LONGEST_DEAD_VALUE + 1)
    refused(log, value)
    letter = the_letter(log)
    assert letter.data.truncated
    assert original(log, letter).value == value


def test_what_retention_took_cannot_be_sent_again_and_stays_open(log: MemoryLog) -> None:
    record = refused(log, b"x" * (LONGEST_DEAD_VALUE + 1))
    log.expire(topics.INTERACTION.name, 0, record.origin.offset + 1)
    (decided,) = retry(log, letters(log, ALL), BY)
    assert decided.decision == "failed"
    assert "retention" in decided.failure
    assert is_open(log, record.origin)


def test_a_record_without_a_value_is_never_sent_again(log: MemoryLog) -> None:
    refused(log, None)
    with pytest.raises(Unretriable, match="drop it"):
        original(log, the_letter(log))


def test_a_letter_that_was_sent_again_is_open_no_longer(log: MemoryLog) -> None:
    record = refused(log)
    (decided,) = retry(log, letters(log, ALL), BY)
    copy = last(log, topics.INTERACTION.name)
    noted = resolutions(log, TENANT)[record.origin]
    assert (copy.key, copy.value, copy.header(RETRY_OF)) == (record.key, record.value, str(record.origin))
    assert decided.resent == copy.origin
    assert (noted.decision, noted.resent, noted.who, noted.why) == ("retried", str(copy.origin), BY.who, BY.why)


def test_a_decision_is_a_readable_event_of_its_topic(log: MemoryLog) -> None:
    record = refused(log)
    list(drop(log, letters(log, ALL), BY))
    noted = last(log, topics.RESOLUTION.name)
    event = codec.decode(topics.RESOLUTION, noted.headers, noted.value)
    assert event.envelope.time == BY.now
    assert event.envelope.causes == (the_letter(log).origin,)
    assert event.envelope.subject == str(record.origin)


def test_a_letter_that_was_dropped_is_open_no_longer_and_sends_nothing(log: MemoryLog) -> None:
    record = refused(log)
    (decided,) = drop(log, letters(log, ALL), BY)
    assert decided.decision == "dropped"
    assert not is_open(log, record.origin)
    assert last(log, topics.INTERACTION.name).origin == record.origin


def test_another_tenants_decision_leaves_a_letter_open(log: MemoryLog) -> None:
    record = refused(log)
    list(drop(log, letters(log, ALL), replace(BY, tenant="elsewhere")))
    assert is_open(log, record.origin)


def test_more_letters_than_are_sent_together_are_all_sent(log: MemoryLog) -> None:
    inputs = [refused(log).origin for _ in range(TOGETHER + 1)]
    assert [decided.letter.input for decided in retry(log, letters(log, ALL), BY)] == inputs
    assert not any(is_open(log, origin) for origin in inputs)


def test_a_copy_that_fails_again_is_a_letter_of_its_own_with_one_mark(log: MemoryLog) -> None:
    refused(log)
    (first,) = retry(log, letters(log, ALL), BY)
    assert first.resent is not None
    (copy,) = log.read(topics.INTERACTION.name, 0, first.resent.offset, first.resent.offset + 1)
    put_letter(log, copy)
    again = [letter for letter in letters(log, ALL) if is_open(log, letter.input)]
    assert [letter.input for letter in again] == [first.resent]
    marks = [value for name, value in original(log, again[0]).headers if name == RETRY_OF]
    assert marks == [str(first.resent).encode()]


def test_what_was_mended_is_used_when_it_is_sent_again(log: MemoryLog) -> None:
    append(log, said("i1"), label("f1", "i1"))
    store, role = MemoryStore(), session_role()
    Host(log, store, replace(role, screen=screen({}))).drain()
    assert not records(log, topics.EXAMPLE)
    list(retry(log, letters(log, ALL), BY))
    Host(log, store, role).drain()
    (example,) = records(log, topics.EXAMPLE)
    assert example.header("ce_causes") == str(last(log, topics.FEEDBACK.name).origin)


class _Refusing(MemoryProducer):
    """A producer of a log that is full."""

    def send(self, message: Message, on_ack: Acknowledged) -> None:
        on_ack(None, "no space left on the broker")


class _FullLog(MemoryLog):
    def producer(self) -> MemoryProducer:
        return _Refusing(self)


def test_a_log_that_takes_nothing_leaves_every_letter_open() -> None:
    log = _FullLog(ManualClock())
    log.create(topics.ALL, lambda topic: 1)
    record = refused(log)
    with pytest.raises(BrokerError, match="no space left"):
        list(retry(log, letters(log, ALL), BY))
    assert is_open(log, record.origin)

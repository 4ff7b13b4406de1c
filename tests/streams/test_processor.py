"""Outcomes are events whose ids and bytes follow from their input."""

from __future__ import annotations

import base64

import pytest
from builders import TENANT, input_of, record_of, said

from schemas import topics
from schemas.codec import decode
from schemas.envelope import Origin, derive_id
from schemas.errors import BadEvent
from schemas.prediction import DeadLetter
from streams.message import Record
from streams.processor import (
    LONGEST_DEAD_HEADERS,
    LONGEST_DEAD_VALUE,
    Output,
    conflict_or_repeat,
    dead_letter,
    dead_letter_of,
    event_digest,
    fate,
    message,
)

SOURCE = "/currere/oakfield/session"
PARTITIONS = {topic.name: 4 if topic.per_session else 1 for topic in topics.ALL}
ORIGIN = Origin(topics.INTERACTION.name, 3, 17)


def unreadable(value: bytes | None, key: bytes | None = b"\xff\x00key") -> Record:
    return Record(ORIGIN, key, value, (("ce_id", b"\xff"), ("empty", None)), 1_700_000_000_123)


def letter(output: Output) -> DeadLetter:
    assert isinstance(output.data, DeadLetter)
    return output.data


def test_a_dead_letter_holds_the_record_byte_for_byte() -> None:
    record = unreadable(b"\x00garbage")
    found = letter(dead_letter(record, BadEvent("why", "undecodable")))
    assert Origin(found.topic, found.partition, found.offset) == record.origin
    assert base64.b64decode(found.key or "") == record.key
    assert base64.b64decode(found.value or "") == record.value
    assert [(n, None if v is None else base64.b64decode(v)) for n, v in found.headers] == list(record.headers)
    assert (found.timestamp_ms, found.reason, found.detail) == (record.timestamp_ms, "undecodable", "why")
    assert (found.truncated, found.value_bytes) == (False, len(b"\x00garbage"))


def test_a_dead_letter_of_a_value_that_is_too_large_holds_its_beginning() -> None:
    whole, long = b"x" * LONGEST_DEAD_VALUE, b"x" * (LONGEST_DEAD_VALUE + 1)
    assert not letter(dead_letter(unreadable(whole), BadEvent("w"))).truncated
    cut = letter(dead_letter(unreadable(long), BadEvent("w")))
    assert (cut.truncated, cut.value_bytes) == (True, len(long))
    assert long.startswith(base64.b64decode(cut.value or ""))


@pytest.mark.parametrize("value", [None, b""])
def test_a_dead_letter_of_nothing_says_which_nothing(value: bytes | None) -> None:
    found = letter(dead_letter(unreadable(value, key=None), BadEvent("why")))
    assert (found.value is None, found.value_bytes, found.key) == (value is None, 0, None)


def test_a_dead_letter_is_told_apart_by_where_its_record_stood() -> None:
    output = dead_letter(unreadable(b"x"), BadEvent("why"))
    assert (output.id, output.causes) == (derive_id("dead", str(ORIGIN)), (ORIGIN,))
    assert dead_letter_of(letter(output)) == output


def test_a_fate_names_its_input() -> None:
    output = fate("duplicate", input_of(said("i"), 5), "why")
    assert output.causes == (Origin(topics.INTERACTION.name, 0, 5),)
    assert output.id == derive_id("fate", str(output.causes[0]))


def test_the_same_content_is_a_repeat_and_other_content_a_conflict() -> None:
    first, same, other = input_of(said("i", "a"), 0), input_of(said("i", "a"), 1), input_of(said("i", "b"), 2)
    assert conflict_or_repeat(same, event_digest(first)).topic == topics.FATE
    assert letter(conflict_or_repeat(other, event_digest(first))).reason == "conflict"


def test_an_outcome_is_an_event_of_its_topic_with_its_cause() -> None:
    sent = message(fate("duplicate", input_of(said("i"), 5), "why"), TENANT, SOURCE, 3, PARTITIONS)
    event = decode(topics.FATE, sent.headers, sent.value)
    assert event.envelope.causes == (Origin(topics.INTERACTION.name, 0, 5),)
    assert (event.envelope.source, event.envelope.tenant) == (SOURCE, TENANT)


def test_outcomes_of_sessions_stay_in_the_writer_s_partition() -> None:
    output = fate("duplicate", input_of(said("i"), 5), "why")
    assert [message(output, TENANT, SOURCE, home, PARTITIONS).partition for home in range(4)] == [0, 1, 2, 3]


def test_equal_outcomes_are_equal_bytes() -> None:
    one, other = (dead_letter(record_of(said("i"), 0), BadEvent("why")) for _ in range(2))
    assert message(one, TENANT, SOURCE, 0, PARTITIONS) == message(other, TENANT, SOURCE, 0, PARTITIONS)


@pytest.mark.parametrize("size", [0, LONGEST_DEAD_HEADERS, 1_000_000])
def test_a_dead_letter_fits_its_topic_whatever_its_record_carried(size: int) -> None:
    record = Record(Origin(topics.INTERACTION.name, 0, 7), b"k", b"v" * LONGEST_DEAD_VALUE, (("x", b"h" * size),), 0)

    letter = dead_letter(record, BadEvent("d" * 1_000_000))

    sent = message(letter, "tenant", "/source", 0, {letter.topic.name: 1})
    assert len(sent.key) + len(sent.value) + sum(len(n) + len(v) for n, v in sent.headers) < topics.MAX_MESSAGE_BYTES
    assert letter.data.model_dump()["truncated"] == (size + 2 > LONGEST_DEAD_HEADERS)

"""A message on its way is the same bytes wherever it is packed."""

from __future__ import annotations

from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.envelope import Origin
from streams.message import Message, Record, partition_of

HEADERS = st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=40)), max_size=6).map(tuple)
MESSAGES = st.builds(
    Message,
    topic=st.text(min_size=1, max_size=30),
    partition=st.integers(0, 2**32 - 1),
    key=st.binary(max_size=40),
    value=st.binary(max_size=200),
    headers=HEADERS,
)
MESSAGE = Message("edu.fate.v1", 3, b"lesson", b"{}", (("ce_id", b"fate-1"), ("ce_type", b"edu.fate.v1")))


@given(MESSAGES)
def test_a_message_survives_packing(message: Message) -> None:
    assert Message.unpack(message.pack()) == message


@given(MESSAGES, MESSAGES)
def test_equal_messages_and_only_those_are_equal_bytes(one: Message, other: Message) -> None:
    assert (one.pack() == other.pack()) == (one == other)


@given(MESSAGES, st.data())
def test_a_message_that_was_cut_anywhere_is_refused(message: Message, data: st.DataObject) -> None:
    packed = message.pack()
    with pytest.raises(ValueError, match="not whole"):
        Message.unpack(packed[: data.draw(st.integers(0, len(packed) - 1))])


def test_a_message_s_id_is_its_event_s() -> None:
    assert MESSAGE.id == "fate-1"


@given(st.binary(max_size=50), st.integers(1, 64))
def test_a_key_s_partition_is_librdkafka_s_consistent_one(key: bytes, partitions: int) -> None:
    assert partition_of(key, partitions) == crc32(key) % partitions


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ((("ce_id", b"a"), ("ce_id", b"b")), "a"),
        ((("ce_id", None), ("ce_id", b"b")), "b"),
        ((("other", b"a"),), None),
        ((("ce_id", b"\xff"),), "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_a_header_is_the_first_of_its_name_that_has_a_value(
    headers: tuple[tuple[str, bytes | None], ...], found: str | None
) -> None:
    assert Record(Origin("t", 0, 0), None, None, headers, 0).header("ce_id") == found

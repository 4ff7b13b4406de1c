"""Bytes to events and back, and every way it can fail."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import topics
from schemas.codec import decode, decode_data, encode, manifest
from schemas.envelope import SCHEMA_PREFIX
from schemas.errors import TooLarge, UndecodableEvent, UnknownVersion
from schemas.interaction import Interaction
from schemas.publish import EXAMPLES, current, json_schemas, schema_name
from schemas.topics import MAX_VALUE_BYTES, Topic
from schemas.training import TrainRequest
from tests.schemas.event_strategies import ANYTHING, UNKNOWN, values

SPOKEN = {"session": "oakfield", "role": "teacher", "payload": {"text": "Why?"}}


def headers(topic: Topic, version: str | None = None, type_: str | None = None) -> list[tuple[str, bytes | None]]:
    found = {
        "ce_specversion": "1.0",
        "ce_id": "e-1",
        "ce_source": "classroom-app",
        "ce_type": type_ or topic.holds.TYPE,
        "ce_time": "2026-03-02T09:05:12.500Z",
        "ce_subject": "oakfield",
        "ce_dataschema": f"{SCHEMA_PREFIX}{(type_ or topic.holds.TYPE).rsplit('.v', 1)[0]}:"
        f"{version or topic.holds.VERSION}",
        "ce_tenant": "oakfield",
    }
    return [(name, value.encode()) for name, value in found.items()]


def safetensors(text: bytes) -> bytes:
    header = json.dumps({"__metadata__": {"manifest": text.decode()}}).encode()
    return struct.pack("<Q", len(header)) + header


def example(topic: Topic) -> bytes:
    return next((EXAMPLES / schema_name(topic.holds) / topic.holds.VERSION / "valid").iterdir()).read_bytes()


def kept(sent: Any, written: Any) -> bool:
    """Whether every unknown field of ``sent`` stands in ``written``, and every known one unless it is a default."""
    if isinstance(sent, dict) and isinstance(written, dict):
        return all(kept(sent[name], written[name]) for name in sent if name in written) and not [
            name for name in sent if name.startswith(UNKNOWN) and name not in written
        ]
    if isinstance(sent, list) and isinstance(written, list):
        return len(sent) == len(written) and all(map(kept, sent, written))
    return bool(sent == written)


@pytest.mark.parametrize("urn", current())
def test_what_a_published_schema_allows_decodes_and_keeps_its_unknown_fields(urn: str) -> None:
    model = current()[urn]

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    @given(values(json_schemas()[urn]))
    def survives(sent: dict[str, Any]) -> None:
        data = decode_data(model, json.dumps(sent).encode())
        written = encode(data)
        assert decode_data(model, written) == data
        assert encode(decode_data(model, written)) == written
        assert kept(sent, json.loads(written))

    survives()


@pytest.mark.parametrize("topic", topics.ALL, ids=lambda topic: topic.name)
def test_every_topic_holds_its_own_example(topic: Topic) -> None:
    value = safetensors(example(topic)) if topic.bulk else example(topic)
    assert decode(topic, headers(topic), value).data == decode_data(topic.holds, example(topic))


@given(ANYTHING)
def test_an_unknown_field_survives_at_every_level(later: object) -> None:
    sent = {**SPOKEN, "later": later, "payload": {"text": "Why?", "later": later, "context": [
        {"role": "student", "text": "No.", "later": later}]}, "timing": {"later": later}}  # fmt: skip
    assert json.loads(encode(decode_data(Interaction, json.dumps(sent).encode()))) == sent


def test_an_unknown_null_is_not_an_absent_field() -> None:
    written = encode(decode_data(Interaction, json.dumps({**SPOKEN, "later": None}).encode()))
    assert json.loads(written) == {**SPOKEN, "later": None}


def test_an_event_of_the_minor_version_before_decodes() -> None:
    event = decode(topics.INTERACTION, headers(topics.INTERACTION, "1.0"), json.dumps(SPOKEN).encode())
    assert event.envelope.schema_version == "1.0"
    assert isinstance(event.data, Interaction)
    assert event.data.subject is None


def test_an_event_of_the_next_minor_version_decodes_and_keeps_what_it_added() -> None:
    sent = {**SPOKEN, "room": {"name": "B12"}}
    event = decode(topics.INTERACTION, headers(topics.INTERACTION, "1.2"), json.dumps(sent).encode())
    assert event.envelope.schema_version == "1.2"
    assert json.loads(encode(event.data)) == sent


@pytest.mark.parametrize(("version", "type_"), [("2.0", None), ("0.9", None), ("1.0", "edu.interaction.v2")])
def test_an_unknown_major_version_is_told_apart_from_nonsense(version: str, type_: str | None) -> None:
    with pytest.raises(UnknownVersion):
        decode(topics.INTERACTION, headers(topics.INTERACTION, version, type_), json.dumps(SPOKEN).encode())


def test_an_event_of_another_type_is_refused() -> None:
    with pytest.raises(UndecodableEvent, match=r"type edu\.consent\.v1, but edu\.interaction\.v1 holds"):
        decode(topics.INTERACTION, headers(topics.CONSENT), json.dumps(SPOKEN).encode())


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1E+400", "1" + "0" * 400 + ".0"])
@pytest.mark.parametrize(
    "place", ['"age":%s', '"later":%s', '"later":{"deep":[%s]}', '"later": [0 ,\n%s]', '"timing":{"later":%s}']
)
def test_a_number_that_is_not_finite_is_refused_wherever_it_stands(number: str, place: str) -> None:
    with pytest.raises(UndecodableEvent):
        decode_data(Interaction, (json.dumps(SPOKEN)[:-1] + "," + place % number + "}").encode())


def test_settings_of_a_genesis_hold_no_infinity() -> None:
    with pytest.raises(UndecodableEvent, match="no finite number"):
        decode_data(TrainRequest, b'{"kind":"genesis","model":"m","seed":1,"reason":"r","settings":{"lr":1e999}}')


@pytest.mark.parametrize("text", ["NaN", "Infinity and beyond", "2e999", "7" * 300])
def test_text_that_looks_like_infinity_is_only_text(text: str) -> None:
    sent = {**SPOKEN, "payload": {"text": text}, "later": 1.5e300}
    assert json.loads(encode(decode_data(Interaction, json.dumps(sent).encode()))) == sent


def test_a_null_value_is_refused() -> None:
    for topic in (topics.INTERACTION, topics.TRAIN_REQUEST):
        with pytest.raises(UndecodableEvent, match="never tombstones"):
            decode(topic, headers(topic), None)


def test_an_event_without_headers_is_refused() -> None:
    for absent in (None, []):
        with pytest.raises(UndecodableEvent, match="header ce_specversion is missing"):
            decode(topics.INTERACTION, absent, json.dumps(SPOKEN).encode())


@pytest.mark.parametrize("topic", [topics.INTERACTION, topics.DELTA], ids=lambda topic: topic.name)
def test_a_value_over_the_limit_is_too_large(topic: Topic) -> None:
    with pytest.raises(TooLarge, match=f"at most {MAX_VALUE_BYTES:,}"):
        decode(topic, headers(topic), b" " * (MAX_VALUE_BYTES + 1))


def test_a_value_of_just_the_limit_is_read() -> None:
    value = json.dumps(SPOKEN).encode()
    decode(topics.INTERACTION, headers(topics.INTERACTION), value + b" " * (MAX_VALUE_BYTES - len(value)))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_as_value_raise_nothing_but_undecodable(value: bytes) -> None:
    with pytest.raises(UndecodableEvent):
        decode_data(Interaction, value)


@given(st.lists(st.tuples(st.text(max_size=10), st.none() | st.binary(max_size=20)), max_size=6))
def test_arbitrary_headers_raise_nothing_but_undecodable(found: list[tuple[str, bytes | None]]) -> None:
    with pytest.raises(UndecodableEvent):
        decode(topics.INTERACTION, found, b"{}")


@given(st.binary(max_size=100))
def test_arbitrary_bytes_as_safetensors_raise_nothing_but_undecodable(value: bytes) -> None:
    with pytest.raises(UndecodableEvent):
        manifest(value)


@given(st.binary(max_size=60) | ANYTHING.map(lambda any_json: json.dumps(any_json).encode()), st.integers(-9, 9))
def test_an_arbitrary_header_of_right_or_wrong_length_raises_nothing_but_undecodable(header: bytes, off: int) -> None:
    with pytest.raises(UndecodableEvent):
        manifest(struct.pack("<Q", max(0, len(header) + off)) + header)


def test_a_header_nested_without_end_is_refused() -> None:
    header = b"[" * 200_000
    with pytest.raises(UndecodableEvent):
        manifest(struct.pack("<Q", len(header)) + header)


@given(st.text())
def test_a_manifest_is_read_without_its_tensors(text: str) -> None:
    assert manifest(safetensors(text.encode()) + b"tensors that are no tensors") == text.encode()

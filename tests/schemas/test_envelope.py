"""The CloudEvents attributes as Kafka headers, and back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.envelope import LONGEST_ATTRIBUTE, REQUIRED, Envelope, Origin, derive_id, read_envelope
from schemas.errors import UndecodableEvent
from tests.schemas.event_strategies import ORIGINS, envelopes

ENVELOPE = Envelope(
    id="oakfield-7b-14",
    source="classroom-app",
    type="edu.interaction.v1",
    time=datetime(2026, 3, 2, 9, 5, 12, 500_000, tzinfo=UTC),
    subject="oakfield-7b",
    schema_version="1.1",
    tenant="oakfield",
)


def with_header(name: str, value: bytes | None) -> list[tuple[str, bytes | None]]:
    return [*((n, v) for n, v in ENVELOPE.headers() if n != name), (name, value)]


@given(envelopes())
def test_an_envelope_survives_its_headers(envelope: Envelope) -> None:
    assert read_envelope(envelope.headers()) == envelope


@given(envelopes(), st.randoms())
def test_the_order_of_headers_does_not_matter(envelope: Envelope, random: Random) -> None:
    headers = list(envelope.headers())
    random.shuffle(headers)
    assert read_envelope(headers) == envelope


@given(ORIGINS)
def test_an_origin_survives_its_text(origin: Origin) -> None:
    assert Origin.parse(str(origin)) == origin


@pytest.mark.parametrize("text", ["", "t", "t/1", "t/1/-2", "t/1_0/2", "t/01/2", "/1/2", "t/1/2 ", "t/1/٣"])
def test_what_str_never_writes_is_no_origin(text: str) -> None:
    with pytest.raises(ValueError, match="is no topic/partition/offset"):
        Origin.parse(text)


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("value", [None, b""])
def test_a_required_header_that_is_absent_or_empty_is_named(name: str, value: bytes | None) -> None:
    without = [(n, v) for n, v in ENVELOPE.headers() if n != name]
    for headers in (without, [*without, (name, value)]):
        with pytest.raises(UndecodableEvent, match=f"header {name} is missing"):
            read_envelope(headers)


@pytest.mark.parametrize("name", REQUIRED)
def test_a_header_longer_than_the_limit_is_refused(name: str) -> None:
    with pytest.raises(UndecodableEvent, match=f"header {name} has {LONGEST_ATTRIBUTE + 1} characters"):
        read_envelope(with_header(name, b"x" * (LONGEST_ATTRIBUTE + 1)))


def test_a_header_that_is_not_utf_8_is_named() -> None:
    with pytest.raises(UndecodableEvent, match="header ce_subject is not UTF-8"):
        read_envelope(with_header("ce_subject", b"\xff\xfe"))


@pytest.mark.parametrize("control", ["\x00", "\n", "\x1f", "\x7f", "\x9f"])
def test_a_control_character_in_an_attribute_is_refused(control: str) -> None:
    with pytest.raises(UndecodableEvent, match="header ce_id holds a control character"):
        read_envelope(with_header("ce_id", f"a{control}b".encode()))


def test_headers_that_nobody_knows_are_ignored() -> None:
    assert read_envelope([("x-app", b"\x31"), *ENVELOPE.headers(), ("ce_partitionkey", b"k")]) == ENVELOPE


def test_empty_optional_headers_are_as_absent_ones() -> None:
    assert read_envelope([*ENVELOPE.headers(), ("traceparent", b""), ("ce_causes", None)]) == ENVELOPE


def test_another_spec_version_is_refused() -> None:
    with pytest.raises(UndecodableEvent, match=r"ce_specversion is '0\.3'"):
        read_envelope(with_header("ce_specversion", b"0.3"))


@pytest.mark.parametrize(
    ("time", "why"),
    [
        ("yesterday", "no RFC 3339"),
        ("2026-03-02T09:05:12", "no time zone"),
        ("2026-13-02T09:05:12Z", "no RFC 3339"),
        ("0001-01-01T00:00:00+05:00", "outside the years"),
        ("9999-12-31T23:59:59-05:00", "outside the years"),
    ],
)
def test_a_time_that_is_no_moment_is_refused(time: str, why: str) -> None:
    with pytest.raises(UndecodableEvent, match=why):
        read_envelope(with_header("ce_time", time.encode()))


def test_a_time_in_another_zone_is_the_same_moment_in_utc() -> None:
    read = read_envelope(with_header("ce_time", b"2026-03-02T10:05:12.500+01:00"))
    assert read == ENVELOPE
    assert read.time.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "dataschema",
    [
        "edu.interaction:1.1",
        "urn:currere:schema:edu.interaction",
        "urn:currere:schema:edu.interaction:1",
        "urn:currere:schema:edu.interaction:1.x",
        "urn:currere:schema:edu.interaction:1.1.1",
        "urn:currere:schema:edu.interaction:²:1.0",
        "http://example.org/edu.interaction:1.1",
    ],
)
def test_a_dataschema_that_is_no_urn_of_ours_is_refused(dataschema: str) -> None:
    with pytest.raises(UndecodableEvent, match="is not of the form"):
        read_envelope(with_header("ce_dataschema", dataschema.encode()))


def test_a_dataschema_of_another_type_is_refused() -> None:
    with pytest.raises(UndecodableEvent, match="is no schema of ce_type"):
        read_envelope(with_header("ce_dataschema", b"urn:currere:schema:edu.feedback:1.0"))


def test_causes_that_are_no_origins_are_refused() -> None:
    with pytest.raises(UndecodableEvent, match="ce_causes"):
        read_envelope(with_header("ce_causes", b"edu.feedback.v1/3"))


def test_equal_events_are_equal_bytes() -> None:
    paris = replace(ENVELOPE, time=datetime.fromisoformat("2026-03-02T10:05:12.500+01:00"))
    assert paris.headers() == ENVELOPE.headers()


@given(st.lists(st.text(max_size=6), max_size=4), st.lists(st.text(max_size=6), max_size=4))
def test_two_outcomes_share_an_id_only_if_they_are_of_the_same_parts(one: list[str], two: list[str]) -> None:
    assert (derive_id("example", *one) == derive_id("example", *two)) == (one == two)


def test_parts_that_hold_a_separator_do_not_run_together() -> None:
    assert derive_id("example", "a\x1fb") != derive_id("example", "a", "b")
    assert derive_id("example", "a,b") != derive_id("example", "a", "b")


def test_an_attribute_that_comes_twice_is_refused() -> None:
    headers = (*ENVELOPE.headers(), ("ce_tenant", b"another"))

    with pytest.raises(UndecodableEvent, match="ce_tenant comes twice"):
        read_envelope(headers)

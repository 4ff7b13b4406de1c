"""Who says what, when, about whom: the CloudEvents 1.0 attributes that every event carries as Kafka headers.

Kafka binary mode (CloudEvents Kafka Protocol Binding 1.0.2, section 3.2): attributes are ``ce_``-prefixed UTF-8
headers, ``content-type`` stands for ``datacontenttype``, and the record's value is the data alone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii

from schemas.errors import UndecodableEvent

JSON = "application/json"
SAFETENSORS = "application/vnd.safetensors"
SCHEMA_PREFIX = "urn:currere:schema:"

ORIGIN = re.compile(r"([^/,]+)/(0|[1-9][0-9]{0,9})/(0|[1-9][0-9]{0,18})")
DATASCHEMA = re.compile(re.escape(SCHEMA_PREFIX) + r"([^:]+):([0-9]+\.[0-9]+)")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # CloudEvents 1.0.2, section 3.1: no attribute may hold one

Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """Where a record stands in the log. It is the identity of an *input*, readable or not."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Origin:
        """The inverse of ``str``. Raises ValueError."""
        match = ORIGIN.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is no topic/partition/offset")
        return cls(match[1], int(match[2]), int(match[3]))


@dataclass(frozen=True, slots=True)
class Envelope:
    """The attributes of one event.

    ``type`` is the topic's event type with its major version (``edu.interaction.v1``); ``schema_version`` is
    ``major.minor`` and travels in ``ce_dataschema``. ``causes`` names the input records that this event is the outcome
    of (extension attribute ``causes``): a successor that finds the event in the log knows which inputs it need not
    decide again. ``traceparent`` is W3C Trace Context.
    """

    id: str
    source: str
    type: str
    time: datetime
    subject: str
    schema_version: str
    tenant: str
    content_type: str = JSON
    traceparent: str | None = None
    causes: tuple[Origin, ...] = ()

    @property
    def dataschema(self) -> str:
        """The URN under which the schema of the data is published."""
        return f"{SCHEMA_PREFIX}{self.type.rsplit('.v', 1)[0]}:{self.schema_version}"

    def headers(self) -> Headers:
        """These attributes as Kafka headers, in a fixed order, so that equal events are equal bytes."""
        time = self.time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        causes = (("ce_causes", ",".join(map(str, self.causes)).encode()),) if self.causes else ()
        traceparent = (("traceparent", self.traceparent.encode()),) if self.traceparent else ()
        return (
            ("ce_specversion", b"1.0"),
            ("ce_id", self.id.encode()),
            ("ce_source", self.source.encode()),
            ("ce_type", self.type.encode()),
            ("ce_time", time.encode()),
            ("ce_subject", self.subject.encode()),
            ("ce_dataschema", self.dataschema.encode()),
            ("ce_tenant", self.tenant.encode()),
            ("content-type", self.content_type.encode()),
            *causes,
            *traceparent,
        )


REQUIRED = ("ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "ce_subject", "ce_dataschema", "ce_tenant")
LONGEST_ATTRIBUTE = 512  # characters; an id becomes part of a Redis key


def read_envelope(headers: Iterable[tuple[str, bytes | None]]) -> Envelope:
    """The envelope in ``headers``; unknown headers are ignored, as CloudEvents demands.

    Raises:
        UndecodableEvent: a required attribute is absent, empty, too long or not what its name promises.
    """
    found: dict[str, str] = {}
    for name, value in headers:
        if name in found and name.startswith("ce_"):
            raise UndecodableEvent(f"header {name} comes twice; an attribute has one value")
        try:
            found[name] = (value or b"").decode()
        except UnicodeDecodeError as error:
            raise UndecodableEvent(f"header {name} is not UTF-8: {error}") from error
    for name in REQUIRED:
        if not found.get(name):
            raise UndecodableEvent(f"header {name} is missing; an event has the headers {', '.join(REQUIRED)}")
        if len(found[name]) > LONGEST_ATTRIBUTE:
            raise UndecodableEvent(f"header {name} has {len(found[name])} characters, at most {LONGEST_ATTRIBUTE}")
        if CONTROL.search(found[name]):
            raise UndecodableEvent(f"header {name} holds a control character: {found[name]!r}")
    if found["ce_specversion"] != "1.0":
        raise UndecodableEvent(f"ce_specversion is {found['ce_specversion']!r}, expected '1.0'")
    return Envelope(
        id=found["ce_id"],
        source=found["ce_source"],
        type=found["ce_type"],
        time=_time(found["ce_time"]),
        subject=found["ce_subject"],
        schema_version=_schema_version(found["ce_dataschema"], found["ce_type"]),
        tenant=found["ce_tenant"],
        content_type=found.get("content-type") or JSON,
        traceparent=found.get("traceparent") or None,
        causes=_causes(found.get("ce_causes", "")),
    )


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise UndecodableEvent(f"ce_time {text!r} is no RFC 3339 time") from error
    if time.tzinfo is None:
        raise UndecodableEvent(f"ce_time {text!r} has no time zone; write it in UTC with a final Z")
    try:
        return time.astimezone(UTC)
    except OverflowError as error:
        raise UndecodableEvent(f"ce_time {text!r} is outside the years 1 to 9999 in UTC") from error


@lru_cache(maxsize=64)  # all events of a topic have the same
def _schema_version(dataschema: str, type_: str) -> str:
    match = DATASCHEMA.fullmatch(dataschema)
    if match is None:
        raise UndecodableEvent(f"ce_dataschema {dataschema!r} is not of the form {SCHEMA_PREFIX}NAME:MAJOR.MINOR")
    if match[1] != type_.rsplit(".v", 1)[0]:
        raise UndecodableEvent(f"ce_dataschema {dataschema!r} is no schema of ce_type {type_!r}")
    return match[2]


def _causes(text: str) -> tuple[Origin, ...]:
    try:
        return tuple(map(Origin.parse, text.split(","))) if text else ()
    except ValueError as error:
        raise UndecodableEvent(f"ce_causes {text!r} is no list of topic/partition/offset") from error


def derive_id(kind: str, *parts: str) -> str:
    """The id of an output: a function of what it is the outcome of, so that computing it again cannot make a second."""
    listed = f"[{', '.join(map(encode_basestring_ascii, parts))}]"  # JSON: no two lists look alike
    return f"{kind}-{hashlib.sha256(listed.encode()).hexdigest()[:24]}"


def content_digest(value: bytes) -> str:
    """Sixteen hex digits that tell a repeated event from one that reuses its id for other content."""
    return hashlib.sha256(value).hexdigest()[:16]

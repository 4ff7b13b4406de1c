"""What a processor is: a pure function from a batch and stored values to writes and outputs.

It reads no clock, no random source, no network and no store. Whoever runs it (``streams.engines``) gives it the time, a
seed and the values that it named, then commits its writes, the next offsets and its outputs in one call.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from schemas import topics
from schemas.codec import content_type, encode
from schemas.envelope import Envelope, Origin, content_digest, derive_id
from schemas.errors import BadEvent
from schemas.event import Data, Event
from schemas.prediction import DeadLetter, Fate, FateKind
from schemas.topics import Topic
from state.store import Write
from streams.message import Message, Record, partition_of

LONGEST_DETAIL = 2_000  # characters
LONGEST_DEAD_HEADERS = 200_000  # bytes of key and headers that a dead letter carries
LONGEST_DEAD_VALUE = 900_000  # bytes of a dead letter's value that it carries itself


@dataclass(frozen=True, slots=True)
class Input:
    """A readable event with where and when the log received it."""

    origin: Origin
    event: Event[Data]
    record: Record


@dataclass(frozen=True, slots=True)
class Batch:
    """What a processor is given at once.

    ``inputs`` are in log order per partition. ``sent`` holds what an earlier owner already published for inputs of
    this batch, or for inputs that still wait: their outcome is decided and must be adopted. ``due`` are keys whose
    time has come. ``now`` is epoch seconds.
    """

    inputs: Sequence[Input]
    now: float
    seed: int
    due: Sequence[str] = ()
    sent: Mapping[Origin, Sequence[Message]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Output:
    """One event to publish. ``value`` is given for bulk topics, whose data is only the manifest, and where it is JSON
    already."""

    topic: Topic
    key: str
    id: str
    time: datetime
    data: Data
    causes: tuple[Origin, ...]
    value: bytes | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be written and published, and what operators should see of it.

    ``adopted`` are origins whose published outcome was taken over; ``gauges`` are (metric, labels, value), None of
    what is no longer known.
    """

    writes: Sequence[Write] = ()
    outputs: Sequence[Output] = ()
    adopted: Sequence[Origin] = ()
    gauges: Sequence[tuple[str, Mapping[str, str], float | None]] = ()


class Processor(Protocol):
    """The rules of one role.

    ``resident`` processors are given all their values (one owner, small state); others name the keys they need.
    """

    @property
    def resident(self) -> bool:
        """Whether it is given all its values."""

    @property
    def quoted(self) -> Collection[str]:
        """The names of the output topics whose values it needs to adopt what was published; of others it is enough
        that something was."""

    def keys(self, batch: Batch) -> Sequence[str]:
        """The keys that ``run`` will look at."""

    def prepare(self, values: Mapping[str, bytes]) -> None:
        """Do ahead what a first ``run`` would have to do with all values, where it is long. No plan depends on it.

        A resident one is asked while its partition is taken, when nobody waits for it to poll.
        """

    def run(self, batch: Batch, values: Mapping[str, bytes]) -> Plan:
        """What becomes of ``batch``. Equal arguments give equal plans."""


def waiting_key(origin: Origin) -> str:
    """The key under which an input waits for another one; the runner looks here for inputs that are not decided."""
    return f"w:{origin}"


def dead_letter(record: Record, error: BadEvent) -> Output:
    """The dead letter of ``record``: told apart by where it stood, and never too large for its topic.

    What is too large to carry is cut, and ``truncated`` says so; the record itself stays where it stood.
    """
    origin, value = record.origin, record.value
    beside = len(record.key or b"") + sum(len(name.encode()) + len(content or b"") for name, content in record.headers)
    light = beside <= LONGEST_DEAD_HEADERS
    kept = value if value is None or len(value) <= LONGEST_DEAD_VALUE else value[:1024]
    data = DeadLetter(
        topic=origin.topic,
        partition=origin.partition,
        offset=origin.offset,
        timestamp_ms=record.timestamp_ms,
        reason=error.reason,
        detail=error.detail[:LONGEST_DETAIL],
        key=_base64(record.key) if light else None,
        value=_base64(kept),
        value_bytes=len(value or b""),
        truncated=kept is not value or not light,
        headers=tuple((name, _base64(content)) for name, content in record.headers) if light else (),
    )
    return dead_letter_of(data)


def dead_letter_of(data: DeadLetter) -> Output:
    """The event of a dead letter."""
    origin = Origin(data.topic, data.partition, data.offset)
    return Output(
        topic=topics.dlq(topics.BY_NAME[origin.topic]),
        key=str(origin),
        id=derive_id("dead", str(origin)),
        time=_time(data.timestamp_ms),
        data=data,
        causes=(origin,),
    )


def fate(kind: FateKind, input_: Input, detail: str) -> Output:
    """The fate of an input that is led nowhere."""
    data = Fate(
        fate=kind,
        input_type=input_.event.envelope.type,
        input_id=input_.event.id,
        origin=str(input_.origin),
        detail=detail,
    )
    return fate_of(data, input_.origin, input_.event.envelope.subject, input_.record.timestamp_ms)


def fate_of(data: Fate, origin: Origin, subject: str, timestamp_ms: int) -> Output:
    """The event of a fate whose input is no longer at hand, by its origin."""
    return Output(topics.FATE, subject, derive_id("fate", str(origin)), _time(timestamp_ms), data, (origin,))


def conflict_or_repeat(input_: Input, digest: str) -> Output:
    """What becomes of an event whose id was seen before: a repeat is a fate, other content a dead letter."""
    if digest == event_digest(input_):
        return fate("duplicate", input_, "an event with this id and content came before")
    return dead_letter(input_.record, BadEvent("an event with this id and other content came before", "conflict"))


def event_digest(input_: Input) -> str:
    """Tells a repeated event from one that reuses its id."""
    return content_digest(input_.record.value or b"")


def message(output: Output, tenant: str, source: str, home: int, partitions: Mapping[str, int]) -> Message:
    """``output`` as bytes on their way.

    Per-session topics are written in the ``home`` partition of the writer, so that an owner finds all that it ever
    published in its own partition; others by their key.
    """
    topic, key = output.topic, output.key.encode()
    count = partitions[topic.name]
    envelope = Envelope(
        id=output.id,
        source=source,
        type=topic.holds.TYPE,
        time=output.time,
        subject=output.key,
        schema_version=topic.holds.VERSION,
        tenant=tenant,
        content_type=content_type(topic),
        causes=output.causes,
    )
    partition = home % count if topic.per_session else partition_of(key, count)
    value = encode(output.data) if output.value is None else output.value
    return Message(topic.name, partition, key, value, envelope.headers())


def _time(timestamp_ms: int) -> datetime:
    return datetime.fromtimestamp(timestamp_ms / 1000, UTC)


def _base64(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode()

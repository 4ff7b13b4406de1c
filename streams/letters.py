"""Dead letters: which are open, sending one again, giving one up.

A letter is known by the record that it is about, its *input*: that has one outcome, so one letter, however often the
letter was sent. What was decided about a letter is an event on ``edu.resolution.v1``, kept longer than the letter. A
letter that was sent again keeps being its input's one outcome; the copy is a new input, which is judged anew: it may
come back as a new letter, and an event whose id was seen meanwhile is a duplicate or a conflict.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Literal

from schemas import codec, topics
from schemas.envelope import Envelope, Headers, Origin, derive_id
from schemas.errors import BadEvent, BrokerError, CurrereError, OffsetOutOfRange
from schemas.prediction import DeadLetter
from schemas.resolution import Resolution
from schemas.topics import Topic
from streams.engines.broker import Broker, Producer
from streams.message import Message, Record, partition_of

RETRY_OF = "ce_retryof"  # header of a copy: the place of the record that it repeats
TOGETHER = 100  # letters decided between two waits for the log
WAIT_S = 30.0


class NoSuchLetter(CurrereError):
    """There is no dead letter at, or about, the place that was named."""


class Unretriable(CurrereError):
    """The record of a dead letter cannot be sent again; the letter stays open."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter, where it stands, and when it was written (epoch milliseconds)."""

    origin: Origin
    data: DeadLetter
    written_ms: int

    @property
    def input(self) -> Origin:
        """The record that the letter is about."""
        return Origin(self.data.topic, self.data.partition, self.data.offset)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which letters of a tenant: of a reason, of a topic (its own name or that of its dead letters); None: of any."""

    tenant: str
    reason: str | None = None
    topic: str | None = None

    def takes(self, letter: Letter) -> bool:
        """Whether ``letter`` is meant."""
        return self.reason in (None, letter.data.reason)

    @property
    def topics(self) -> tuple[Topic, ...]:
        """The topics of dead letters to look in. Raises NoSuchLetter for one that has none."""
        if self.topic is None:
            return topics.DEAD_LETTERS
        name = self.topic.removesuffix(".dlq")
        found = tuple(topic for topic in topics.DEAD_LETTERS if topic.name == f"{name}.dlq")
        if not found:
            known = ", ".join(topic.name for topic in topics.INPUTS)
            raise NoSuchLetter(f"{self.topic} has no dead letters; the topics that have are {known}")
        return found


@dataclass(frozen=True, slots=True)
class Decider:
    """Who decides about letters, for which tenant, why, and when."""

    tenant: str
    who: str
    why: str
    now: datetime


@dataclass(frozen=True, slots=True)
class Decided:
    """What became of a letter: where a copy of its record stands now, or why it could not be sent again."""

    letter: Letter
    decision: Literal["retried", "dropped", "failed"]
    resent: Origin | None = None
    failure: str = ""


def letters(broker: Broker, wanted: Wanted) -> Iterator[Letter]:
    """The letters that the log holds now, one for each input, by topic and partition in log order.

    Raises BrokerError when the topics are missing.
    """
    met: set[Origin] = set()
    for topic, partition, start, end in _places(broker, wanted.topics):
        for letter in _read(broker, wanted.tenant, topic, partition, start, end):
            if letter.input not in met and wanted.takes(letter):
                met.add(letter.input)
                yield letter


def resolutions(broker: Broker, tenant: str) -> dict[Origin, Resolution]:
    """The last decision about each letter that has one, by the letter's input."""
    found = {}
    for topic, partition, start, end in _places(broker, (topics.RESOLUTION,)):
        for record in broker.read(topic.name, partition, start, end):
            if record.header("ce_tenant") != tenant:
                continue
            try:
                data = codec.decode_data(Resolution, record.value or b"")
            except BadEvent:
                continue
            found[Origin.parse(data.input)] = data
    return found


def find(broker: Broker, tenant: str, place: Origin) -> Letter:
    """The letter that stands at ``place``, or the one about the record there. Raises NoSuchLetter."""
    own = place.topic.endswith(".dlq")
    for topic, partition, start, end in _places(broker, Wanted(tenant, topic=place.topic).topics):
        if partition != place.partition:
            continue
        if own:
            start, end = max(start, place.offset), min(end, place.offset + 1)
        for letter in _read(broker, tenant, topic, partition, start, end):
            if own or letter.input == place:
                return letter
    raise NoSuchLetter(f"no dead letter is at or about {place}; see `currere dlq list`, or retention took it")


def original(broker: Broker, letter: Letter) -> Message:
    """The record of ``letter`` byte for byte, to be sent to its own partition, with a header that says so.

    Raises Unretriable: the record had no value, or was too large for its letter and has left retention.
    """
    data = letter.data
    if data.value is None:
        raise Unretriable(f"{letter.input} has no value, so it can never be an event; drop it")
    # No reader tells an absent key or header value from an empty one.
    if data.truncated:
        record = _reread(broker, letter)
        key, value = record.key or b"", record.value or b""
        headers: Headers = tuple((name, content or b"") for name, content in record.headers)
    else:
        key, value = base64.b64decode(data.key or ""), base64.b64decode(data.value)
        headers = tuple((name, base64.b64decode(content or "")) for name, content in data.headers)
    marked = (
        *((name, content) for name, content in headers if name != RETRY_OF),
        (RETRY_OF, str(letter.input).encode()),
    )
    return Message(data.topic, data.partition, key, value, marked)


def retry(broker: Broker, chosen: Iterable[Letter], by: Decider) -> Iterator[Decided]:
    """Send the records of ``chosen`` again; each that the log has taken is noted as retried.

    Whoever is interrupted between the two retries again: ids are the same, so the second copy is a duplicate.
    Raises BrokerError when the log does not take a record.
    """
    producer = broker.producer()
    remaining = iter(chosen)
    while some := list(islice(remaining, TOGETHER)):
        sent: list[tuple[Letter, Message]] = []
        failed = []
        for letter in some:
            try:
                sent.append((letter, original(broker, letter)))
            except Unretriable as error:
                failed.append(Decided(letter, "failed", failure=str(error)))
        offsets = _send(broker, producer, [message for _, message in sent])
        done = [
            Decided(letter, "retried", Origin(message.topic, message.partition, offset))
            for (letter, message), offset in zip(sent, offsets, strict=True)
        ]
        _send(broker, producer, [resolution(decided, by, broker) for decided in done])
        yield from (*done, *failed)


def drop(broker: Broker, chosen: Iterable[Letter], by: Decider) -> Iterator[Decided]:
    """Note that ``chosen`` are given up. Raises BrokerError when the log does not take it."""
    producer = broker.producer()
    remaining = iter(chosen)
    while some := [Decided(letter, "dropped") for letter in islice(remaining, TOGETHER)]:
        _send(broker, producer, [resolution(decided, by, broker) for decided in some])
        yield from some


def resolution(decided: Decided, by: Decider, broker: Broker) -> Message:
    """The event that says what was decided about a letter."""
    letter = decided.letter
    data = Resolution(
        input=str(letter.input),
        letter=str(letter.origin),
        decision="retried" if decided.decision == "retried" else "dropped",
        resent=str(decided.resent) if decided.resent else None,
        who=by.who,
        why=by.why,
    )
    envelope = Envelope(
        id=derive_id("resolution", str(letter.input), by.now.isoformat()),
        source=f"/currere/{by.tenant}/operator",
        type=Resolution.TYPE,
        time=by.now,
        subject=str(letter.input),
        schema_version=Resolution.VERSION,
        tenant=by.tenant,
        causes=(letter.origin,),
    )
    topic, key = topics.RESOLUTION, str(letter.input).encode()
    place = partition_of(key, broker.partitions()[topic.name])
    return Message(topic.name, place, key, codec.encode(data), envelope.headers())


def _reread(broker: Broker, letter: Letter) -> Record:
    place = letter.input
    why = f"{place} was too large for its letter and has left retention; ask its sender for it, then drop the letter"
    try:
        start, end = broker.ends(place.topic, place.partition)
        held = start <= place.offset < end
        found = list(broker.read(place.topic, place.partition, place.offset, place.offset + 1)) if held else []
    except OffsetOutOfRange as error:
        raise Unretriable(why) from error
    if not found or found[0].value is None:
        raise Unretriable(why)
    return found[0]


def _send(broker: Broker, producer: Producer, messages: Sequence[Message]) -> list[int]:
    """The offsets at which the log has taken ``messages``. Raises BrokerError."""
    offsets: dict[int, int] = {}
    errors: list[str] = []
    for number, outgoing in enumerate(messages):

        def acknowledged(offset: int | None, error: str | None, number: int = number) -> None:
            if error is not None or offset is None:
                errors.append(error or "no offset")
            else:
                offsets[number] = offset

        producer.send(outgoing, acknowledged)
    left = producer.flush(WAIT_S)
    if errors or left:
        why = errors[0] if errors else f"{left} records are not acknowledged after {WAIT_S:.0f} s"
        raise BrokerError(f"{broker.address}: {why}; what was taken is noted, run it again for the rest")
    return [offsets[number] for number in range(len(messages))]


def _places(broker: Broker, wanted: Iterable[Topic]) -> Iterator[tuple[Topic, int, int, int]]:
    counts = broker.partitions()
    for topic in wanted:
        if topic.name not in counts:
            raise BrokerError(f"{broker.address} lacks {topic.name}; run `currere topics create`")
        for partition in range(counts[topic.name]):
            yield topic, partition, *broker.ends(topic.name, partition)


def _read(broker: Broker, tenant: str, topic: Topic, partition: int, start: int, end: int) -> Iterator[Letter]:
    for record in broker.read(topic.name, partition, start, end):
        if record.header("ce_tenant") != tenant:
            continue
        try:
            # Not by ``codec.decode``: the base64 of a value that is just within the limit is beyond it.
            data = codec.decode_data(DeadLetter, record.value or b"")
        except BadEvent:
            continue
        yield Letter(record.origin, data, record.timestamp_ms)

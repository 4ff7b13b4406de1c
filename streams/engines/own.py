"""What a role finds of its own in the log: outcomes that it, or an earlier owner, has published."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from schemas.envelope import Origin, read_envelope
from schemas.errors import BadEvent
from schemas.topics import BY_NAME
from streams.engines.broker import Broker
from streams.message import Message


@dataclass(frozen=True, slots=True)
class Own:
    """By input, what was published because of it; the ids of what has no input; and where it was found.

    ``arrived`` holds the offset of each id that was asked for; ``ends`` is up to where each partition was read.
    """

    by_cause: Mapping[Origin, Sequence[Message]]
    uncaused: frozenset[str]
    arrived: Mapping[str, int]
    ends: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Search:
    """Whose records are looked for: those of ``source`` on ``topics`` because of ``inputs``, in partition ``home``.

    Only records on ``quoted`` topics keep their value: of the others it matters only that they are there.
    """

    source: str
    topics: Sequence[str]
    inputs: Sequence[str]
    home: int
    quoted: Collection[str]


def read_own(
    broker: Broker, search: Search, known: Mapping[str, int], partitions: Mapping[str, int], asked: Collection[str]
) -> Own:
    """Read the output topics from ``known`` to their ends. Raises BrokerError."""
    by_cause: dict[Origin, list[Message]] = defaultdict(list)
    uncaused: set[str] = set()
    arrived: dict[str, int] = {}
    ends: dict[str, int] = {}
    mine = {(topic, search.home) for topic in search.inputs}
    for topic in search.topics:
        for place in _places(topic, search.home, partitions[topic]):
            name = f"{topic}/{place}"
            start, end = broker.ends(topic, place)
            for record in broker.read(topic, place, max(start, known.get(name, 0)), end):
                if record.header("ce_source") != search.source or record.value is None:
                    continue
                try:
                    envelope = read_envelope(record.headers)
                except BadEvent:  # whoever wrote it, it was not this code
                    continue
                if envelope.id in asked:
                    arrived[envelope.id] = record.origin.offset
                if not envelope.causes:
                    uncaused.add(envelope.id)
                value = record.value if topic in search.quoted else b""
                sent = Message(topic, place, b"", value, (("ce_id", envelope.id.encode()),))
                for cause in envelope.causes:
                    if (cause.topic, cause.partition) in mine:
                        by_cause[cause].append(sent)
            ends[name] = max(end, known.get(name, 0))
    return Own(by_cause, frozenset(uncaused), arrived, ends)


def pack_all(messages: Iterable[Message]) -> bytes:
    """Several messages in one value, length-prefixed (big-endian u32)."""
    packed = [m.pack() for m in messages]
    return b"".join(len(p).to_bytes(4, "big") + p for p in packed)


def unpack_all(packed: bytes) -> tuple[Message, ...]:
    """The inverse of ``pack_all``."""
    found, at = [], 0
    while at < len(packed):
        length = int.from_bytes(packed[at : at + 4], "big")
        found.append(Message.unpack(packed[at + 4 : at + 4 + length]))
        at += 4 + length
    return tuple(found)


def _places(topic: str, home: int, count: int) -> Iterable[int]:
    """Per-session topics are written in the writer's own partition, others by key."""
    return (home % count,) if BY_NAME[topic].per_session else range(count)

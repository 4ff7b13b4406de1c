"""The published model as a consumer meets it: checkpoints to begin with, and deltas to follow without a gap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from schemas import codec, topics
from schemas.errors import BadEvent
from schemas.event import Data
from schemas.model import Checkpoint, Delta
from schemas.topics import Topic
from streams.ledger import Findings, Once, attributes, hashed
from streams.message import Record


@dataclass(slots=True)
class Lineage:
    """What was published of one lineage. ``reach`` is the offset to which a consumer can follow the deltas."""

    name: str
    reach: int | None = None
    deltas: int = 0
    checkpoints: int = 0
    digests: dict[int, str] = field(default_factory=dict)

    def begin(self, offset: int) -> None:
        """A snapshot lies at ``offset``; the first is where whoever comes without a model may begin."""
        self.reach = offset if self.reach is None else self.reach

    @property
    def last(self) -> int:
        """The highest offset that anything was published for."""
        return max(self.digests, default=0)


@dataclass(slots=True)
class Chain:
    """The deltas and checkpoints of one model in the order of their publication; the last checkpoint's fingerprint."""

    model: str
    findings: Findings
    lineages: dict[str, Lineage] = field(default_factory=dict)
    resent: int = 0
    fingerprint: dict[str, str] = field(default_factory=dict)
    _parts: dict[tuple[str, int, int], set[int]] = field(default_factory=dict)

    @property
    def deltas(self) -> int:
        """How many deltas came whole."""
        return sum(lineage.deltas for lineage in self.lineages.values())

    @property
    def checkpoints(self) -> int:
        """How many checkpoints came."""
        return sum(lineage.checkpoints for lineage in self.lineages.values())

    @property
    def newest(self) -> Lineage | None:
        """The lineage that was begun last."""
        return next(reversed(self.lineages.values()), None)

    def checkpoint(self, where: object, found: Checkpoint) -> None:
        """Note a checkpoint, and compare its digest with that of a delta to the same offset."""
        lineage = self._lineage(found.lineage)
        lineage.checkpoints += 1
        self.fingerprint = dict(found.fingerprint)
        lineage.begin(found.next_offset)
        self._digest(where, lineage, found.next_offset, found.digest)

    def delta(self, where: object, found: Delta) -> None:
        """Note a part of a delta; once the delta is whole, see that whoever followed so far can go on."""
        key = (found.lineage, found.a, found.b)
        parts = self._parts.setdefault(key, set())
        parts.add(found.part)
        if len(parts) < found.parts:
            return
        del self._parts[key]
        lineage = self._lineage(found.lineage)
        lineage.deltas += 1
        if lineage.reach is None:
            self.findings.add("no-checkpoint", where, f"lineage {found.lineage} has deltas before any checkpoint")
            lineage.reach = found.a
        if found.a > lineage.reach:
            why = f"{lineage.name}: deltas reach offset {lineage.reach}, the next begins at {found.a}"
            self.findings.add("gap", where, why)
        lineage.reach = max(lineage.reach, found.b)
        self._digest(where, lineage, found.b, found.digest)

    def close(self) -> None:
        """Say which deltas never became whole."""
        for lineage, a, b in self._parts:
            self.findings.add("torn-delta", f"{lineage}:{b}", f"the delta [{a}, {b}) lacks parts")

    def _lineage(self, name: str) -> Lineage:
        return self.lineages.setdefault(name, Lineage(name))

    def _digest(self, where: object, lineage: Lineage, offset: int, digest: str) -> None:
        if lineage.digests.setdefault(offset, digest) != digest:
            self.findings.add("digest", where, f"{lineage.name}:{offset} was published with two digests")


def follow(checkpoints: Iterable[Record], deltas: Iterable[Record], model: str, findings: Findings) -> Chain:
    """The chain of ``model`` that these records make; what is wrong with it is added to ``findings``."""
    chain = Chain(model, findings)
    for record, data in _published(topics.CHECKPOINT, checkpoints, chain):
        if isinstance(data, Checkpoint):
            chain.checkpoint(record.origin, data)
    for record, data in _published(topics.DELTA, deltas, chain):
        if isinstance(data, Delta):
            chain.delta(record.origin, data)
    chain.close()
    return chain


def _published(topic: Topic, records: Iterable[Record], chain: Chain) -> Iterator[tuple[Record, Data]]:
    once = Once()
    for record in records:
        try:
            data = codec.decode(topic, record.headers, record.value).data
        except BadEvent as error:
            chain.findings.add("unreadable", record.origin, str(error))
            continue
        if getattr(data, "model", None) != chain.model:
            continue
        id_ = attributes(record).id
        match once.take(hashed(id_), hashed(record.value or b"")):
            case "new":
                yield record, data
            case "conflict":
                chain.findings.add("two-contents", record.origin, f"{id_} was published before with other content")
            case "resent":
                pass
    chain.resent += once.resent

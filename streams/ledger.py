"""The books of an audit: what came in, what became of it, and which ids were used twice. Kept as hashes and offsets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import xxhash
from pydantic_core import from_json

from schemas.envelope import Origin
from streams.engines.broker import Broker
from streams.message import Record

NONE = 0  # the hash that stands for "no outcome"
MOST_FINDINGS = 50  # shown of each kind; all are counted

Ends = Mapping[int, tuple[int, int]]


class Finding(NamedTuple):
    """One thing that is not as it should be: a short stable ``kind``, where, and what."""

    kind: str
    where: str
    detail: str


@dataclass(slots=True)
class Findings:
    """Every finding counted, the first ``MOST_FINDINGS`` of each kind kept, so that none hides another."""

    counts: Counter[str] = field(default_factory=Counter)
    shown: list[Finding] = field(default_factory=list)

    def add(self, kind: str, where: object, detail: str) -> None:
        """Note one."""
        self.counts[kind] += 1
        if self.counts[kind] <= MOST_FINDINGS:
            self.shown.append(Finding(kind, str(where), detail))

    def include(self, others: Findings) -> None:
        """Take in the findings of another part."""
        for one in others.shown:
            self.add(*one)
        self.counts.update(others.counts - Counter(one.kind for one in others.shown))


def hashed(*parts: str | bytes) -> int:
    """XXH3-64 of ``parts``, never ``NONE``: of a million ids, two fall together once in 37 million audits."""
    joined = b"\0".join(part.encode() if isinstance(part, str) else part for part in parts)
    return xxhash.xxh3_64_intdigest(joined) or 1


def readable(value: bytes | None) -> dict[str, Any]:
    """The JSON object that ``value`` holds; empty if it holds none, which its reader must have made a dead letter."""
    try:
        found = from_json(value or b"")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


class Attributes(NamedTuple):
    """What an audit looks at in a record's headers; empty where they are absent or unreadable."""

    id: str
    source: str
    causes: str

    @property
    def origins(self) -> tuple[Origin, ...]:
        """The inputs that the record is the outcome of; none if the header is no list of them."""
        try:
            return tuple(map(Origin.parse, self.causes.split(","))) if self.causes else ()
        except ValueError:
            return ()


def attributes(record: Record) -> Attributes:
    """The attributes of ``record``, as they are written."""
    found = dict(record.headers)
    texts = ((found.get(name) or b"").decode(errors="replace") for name in ("ce_id", "ce_source", "ce_causes"))
    return Attributes(*texts)


def ends_of(broker: Broker, names: Iterable[str], since: Mapping[str, int]) -> dict[str, Ends]:
    """By topic and partition, where to read from and to: all that the log holds from ``since`` (topic/partition) on."""
    counts = broker.partitions()
    return {
        name: {
            place: (max(start, since.get(f"{name}/{place}", 0)), end)
            for place, (start, end) in ((place, broker.ends(name, place)) for place in range(counts.get(name, 0)))
        }
        for name in names
    }


def read_all(broker: Broker, topic: str, ends: Ends, tenant: str) -> Iterator[Record]:
    """The records of ``topic`` between ``ends`` that ``tenant`` must take, one partition after the other.

    Topics are shared: a record that names another tenant is that one's; one that names none is everybody's.
    """
    for place, (start, end) in ends.items():
        if start < end:
            records = broker.read(topic, place, start, end)
            yield from (record for record in records if (record.header("ce_tenant") or tenant) == tenant)


@dataclass(slots=True)
class Once:
    """The ids of a topic: the first record of an id wins. ``resent`` counts identical records under an id."""

    contents: dict[int, int] = field(default_factory=dict)
    resent: int = 0

    def take(self, id_: int, content: int) -> Literal["new", "resent", "conflict"]:
        """Whether the record is the first of its id, the same once more, or another under an id that was used."""
        before = self.contents.get(id_)
        if before is None:
            self.contents[id_] = content
            return "new"
        if before != content:
            return "conflict"
        self.resent += 1
        return "resent"


@dataclass(slots=True)
class Column:
    """The records of one partition: row i is offset ``start + i``. Kafka's offsets have gaps, so not all came."""

    start: int
    came: npt.NDArray[np.bool_]
    arrived_ms: npt.NDArray[np.int64]
    outcome: npt.NDArray[np.uint64]
    decided_ms: npt.NDArray[np.int64]
    excused: npt.NDArray[np.bool_]
    ident: npt.NDArray[np.uint64]

    @classmethod
    def between(cls, start: int, end: int) -> Column:
        """A column in which nothing came yet."""
        rows = max(end - start, 0)
        stamps, none = np.zeros((2, rows), np.int64), np.zeros((2, rows), np.uint64)
        return cls(start, np.zeros(rows, bool), stamps[0], none[0], stamps[1], np.zeros(rows, bool), none[1])


class Ledger:
    """What became of each record of one input topic; ``unnamed`` ones name no tenant, so they are everybody's."""

    def __init__(self, topic: str, ends: Ends) -> None:
        self.topic = topic
        self.columns = {partition: Column.between(*between) for partition, between in ends.items()}
        self.records = self.unnamed = 0

    def came(self, record: Record) -> None:
        """Note an input."""
        column = self.columns[record.origin.partition]
        row = record.origin.offset - column.start
        column.came[row], column.arrived_ms[row] = True, record.timestamp_ms
        column.ident[row] = hashed(attributes(record).id)
        self.records += 1
        self.unnamed += not record.header("ce_tenant")

    def excuse(self, origin: Origin) -> None:
        """Note that an input may do without an outcome."""
        column = self.columns[origin.partition]
        column.excused[origin.offset - column.start] = True

    def decide(self, origin: Origin, outcome: int, at_ms: int = 0) -> int:
        """Note an input's outcome, received at ``at_ms``; returns the one it had before, or ``NONE``. Passes others."""
        column = self.columns.get(origin.partition)
        if column is None or not 0 <= origin.offset - column.start < len(column.outcome):
            return NONE
        row = origin.offset - column.start
        before = int(column.outcome[row])
        if before == NONE:
            column.outcome[row], column.decided_ms[row] = outcome, at_ms
        return before

    def outcome(self, origin: Origin) -> int:
        """The outcome of an input, or ``NONE``."""
        column = self.columns[origin.partition]
        return int(column.outcome[origin.offset - column.start])

    def ident(self, origin: Origin) -> int:
        """The hash of the id of an input that came; ``NONE`` of one that did not, or is out of view."""
        column = self.columns.get(origin.partition)
        row = origin.offset - column.start if column else -1
        return int(column.ident[row]) if column and 0 <= row < len(column.came) else NONE

    def lacks(self, origin: Origin) -> bool:
        """Whether nothing came where an input should be that retention has not taken."""
        column = self.columns.get(origin.partition)
        if column is None:
            return True
        row = origin.offset - column.start
        return row >= len(column.came) or (row >= 0 and not column.came[row])

    def is_ahead(self, origin: Origin) -> bool:
        """Whether an input lies beyond the view."""
        column = self.columns.get(origin.partition)
        return column is not None and origin.offset - column.start >= len(column.came)

    def arrived_ms(self, origin: Origin) -> int | None:
        """When the log received an input, epoch milliseconds; None for one that it does not hold."""
        column = self.columns.get(origin.partition)
        row = origin.offset - column.start if column else -1
        return int(column.arrived_ms[row]) if column and 0 <= row < len(column.came) and column.came[row] else None

    def undecided(self) -> Iterator[Origin]:
        """The inputs that want an outcome and have none, in log order per partition."""
        for partition, column in self.columns.items():
            for row in np.flatnonzero(column.came & ~column.excused & (column.outcome == NONE)):
                yield Origin(self.topic, partition, column.start + int(row))

    def last_came(self, partition: int) -> int:
        """The offset of the last input of ``partition``; -1 if there is none."""
        column = self.columns[partition]
        rows = np.flatnonzero(column.came)
        return column.start + int(rows[-1]) if len(rows) else -1

    def last_before(self, partition: int, ms: int) -> int:
        """The offset of the last input of ``partition`` that the log received before ``ms``; -1 if there is none."""
        column = self.columns[partition]
        rows = np.flatnonzero(column.came & (column.arrived_ms < ms))
        return column.start + int(rows[-1]) if len(rows) else -1

    def last_decided(self, partition: int, until_ms: int) -> int:
        """The offset of the last input of ``partition`` whose outcome the log received by ``until_ms``; -1 of none."""
        column = self.columns[partition]
        rows = np.flatnonzero((column.outcome != NONE) & (column.decided_ms <= until_ms))
        return column.start + int(rows[-1]) if len(rows) else -1

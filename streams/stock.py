"""What the store holds, held against the topics: offsets, outboxes, and what is remembered of inputs.

It reads what is written under the names of ``state.keys`` and ``state.pending`` as JSON, by itself, and shares nothing
with who wrote it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from schemas import topics
from streams.books import Books
from streams.ledger import Findings, Ledger, attributes, hashed, readable
from streams.message import Message
from streams.quotes import of_prediction

READS: Mapping[str, tuple[str, ...]] = {
    "session": (topics.INTERACTION.name, topics.FEEDBACK.name),
    "curate": (topics.EXAMPLE.name,),
}
"""The inputs of each role that keeps its place in the store: those whose every record the audit accounts for."""


class Shard(Protocol):
    """Whose a holding is."""

    @property
    def role(self) -> str:
        """The role's name."""

    @property
    def partition(self) -> int:
        """Which of its partitions."""


class Holding(Protocol):
    """What one shard holds; see ``state.inventory``."""

    @property
    def shard(self) -> Shard:
        """Whose it is."""

    @property
    def offsets(self) -> Mapping[str, int]:
        """By topic/partition, up to where its inputs are decided."""

    @property
    def outbox(self) -> tuple[bytes, ...]:
        """Outputs that were decided and are perhaps not yet sent, oldest first."""

    @property
    def values(self) -> Callable[[], Iterator[tuple[str, bytes]]]:
        """Its values by key."""


@dataclass(slots=True)
class Stock:
    """The findings about one store. ``read`` counts shards and ``values`` what they hold; ``unsent`` outputs are
    decided and not yet in the log; ``waiting`` inputs are remembered until what they judge comes, or their turn."""

    books: Books
    findings: Findings
    at_rest: bool
    read: int = 0
    values: int = 0
    unsent: int = 0
    waiting: set[str] = field(default_factory=set)
    _strangers: list[tuple[int, str, str]] = field(default_factory=list)  # ids not in view, where, and the keys

    def examine(self, holdings: Iterable[Holding]) -> None:
        """Hold all that the tenant's shards hold against the topics."""
        found = {(one.shard.role, one.shard.partition): one for one in holdings}
        for (role, partition), one in sorted(found.items()):
            self.read += 1
            self._outbox(one)
            self._values(one)
            for name in READS.get(role, ()):
                self._offset(self.books.ledgers[name], partition, one)
        self._who_never_was()
        for role, names in READS.items():
            for partition, column in self.books.ledgers[names[0]].columns.items():
                met = column.came if self.at_rest else column.outcome  # a role at work may not have begun
                if (role, partition) not in found and met.any():
                    where = f"{role}/{partition}"
                    self.findings.add("store-offset", where, "has inputs in the log, and no state in the store")

    def _offset(self, ledger: Ledger, partition: int, one: Holding) -> None:
        """No record is beyond the end of the log, none has left it undecided; at rest none is left to be decided."""
        where = f"{ledger.topic}/{partition}"
        start, _ = self.books.ends[ledger.topic].get(partition, (0, 0))
        begun, end = self.books.broker.ends(ledger.topic, partition)  # taken after the store was read
        stored = one.offsets.get(where, start)
        if not self.at_rest:
            begun = start  # what was taken since then, a role at work had left behind, or the next audit finds it
        if stored < begun:
            self.findings.add("overtaken", where, f"the store is at {stored}, and the log begins at {begun}")
        if stored > end:
            self.findings.add("store-offset", where, f"the store is at {stored}, and the log ends at {end}")
        if not self.at_rest:
            return
        if stored <= (last := ledger.last_came(partition)):
            self.findings.add("store-offset", where, f"the store is at {stored}, and the log has a record at {last}")

    def _outbox(self, one: Holding) -> None:
        """Every output in an outbox is in the log as it is there; what is not was never sent, a fault at rest."""
        for packed in one.outbox:
            where = _place(one.shard)
            try:
                message = Message.unpack(packed)
            except (ValueError, UnicodeDecodeError) as error:
                self.findings.add("store-outbox", where, f"an entry of the outbox cannot be read: {error}")
                continue
            causes = dict(message.headers).get("ce_causes", b"").decode(errors="replace")
            content = hashed(causes, message.value)
            before = self.books.once[message.topic].contents.get(hashed(message.id))
            if before is None:
                self.unsent += 1
                if self.at_rest:
                    self.findings.add("store-outbox", where, f"{message.id} was decided and never sent")
            elif before != content:
                self.findings.add("store-outbox", where, f"{message.id} was published with other content")

    def _values(self, one: Holding) -> None:
        role, where = one.shard.role, _place(one.shard)
        read = {"session": _session, "curate": _curate}.get(role)
        for key, value in one.values():
            kind, _, id_ = key.partition(":")
            self.values += 1
            if kind == "w":
                self.waiting.add(id_)
            if role == "curate" and kind in ("p", "m") and hashed(id_) not in self.books.requested.examples:
                if self.books.requested.is_whole:
                    self._strangers.append((hashed(id_), where, key))
            elif read is not None and (wrong := read(self.books, key, value)) is not None:
                self.findings.add("store-state", where, f"{key} {wrong}")

    def _who_never_was(self) -> None:
        """What curate knows and the view does not came while the view was read, or never was."""
        if not self._strangers:
            return
        came = {hashed(attributes(record).id) for record in self.books.later(topics.EXAMPLE)}
        for id_, where, key in self._strangers:
            if id_ not in came:
                self.findings.add("store-state", where, f"{key} is no record of {topics.EXAMPLE.name}")


def _place(shard: Shard) -> str:
    return f"{shard.role}/{shard.partition}"


def _session(books: Books, key: str, value: bytes) -> str | None:
    """What is wrong with a value of the session role: a pending prediction is the one that was published."""
    kind, _, id_ = key.partition(":")
    if kind != "i":
        return None
    data = readable(value).get("prediction")
    said: Mapping[str, Any] = data if isinstance(data, dict) else {}
    published = books.quotes.predictions.get(hashed(id_))
    if published not in (None, of_prediction(said, "outputs", "version")):
        return f"holds a prediction by {said.get('version')} that is not the one published"
    return None


def _curate(books: Books, key: str, value: bytes) -> str | None:
    """What is wrong with a value of the curate role: what it replays are examples, and as they were made."""
    kind, _, id_ = key.partition(":")
    if kind == "p" and books.quotes.is_misquoted(hashed(id_), readable(value)):
        return "says something else than its example"
    return None

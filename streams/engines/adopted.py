"""What the log holds of inputs that the store has not seen: a successor keeps it until it meets them, and adopts it.

The store may have gone back, or an owner may have published more than it could tell: then an input that is still to
come has its outcome in the log already. It lies in the store under ``SENT`` until the input is decided, so that a
successor need not find it again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from schemas.envelope import Origin
from state.store import Delete, Put, Write
from streams.engines.own import pack_all, unpack_all
from streams.message import Message, Record
from streams.processor import Plan, waiting_key

SENT = "sent:"  # + origin: what an earlier owner published for an input that this state has not met
HELD = "held"  # the origins under SENT, one a line; those decided since are absent under SENT
SAID = "said"  # the ids of what an earlier owner published without an input that caused it, one a line
CHUNK = 1_000  # inputs a commit


def sent_key(origin: Origin) -> str:
    """Where what was published for an input is kept."""
    return f"{SENT}{origin}"


@dataclass
class Adopted:
    """Inputs whose outcome is ``held``; those of them that were met and wait for another input; what was ``said``."""

    held: set[Origin] = field(default_factory=set)
    said: set[str] = field(default_factory=set)
    waiting: set[Origin] = field(default_factory=set)

    @classmethod
    def read(cls, values: Mapping[str, bytes]) -> Adopted:
        """What ``values`` say under HELD and SAID; which of it is still there, and waits, is to be seen."""
        return cls({Origin.parse(line) for line in _lines(values.get(HELD))}, set(_lines(values.get(SAID))))

    def found(self, news: Mapping[Origin, Sequence[Message]], uncaused: Collection[str]) -> Iterable[list[Write]]:
        """Take in what the log was found to hold; yields the writes of one commit each, names before what they name."""
        self.held |= news.keys()
        if news:
            yield [_marked(HELD, map(str, self.held))]
        if not self.said.issuperset(uncaused):
            self.said |= set(uncaused)
            yield [_marked(SAID, self.said)]
        origins = sorted(news)
        for begin in range(0, len(origins), CHUNK):
            yield [Put(sent_key(origin), pack_all(news[origin])) for origin in origins[begin : begin + CHUNK]]

    def present(self, found: Collection[str], offsets: Mapping[str, int]) -> None:
        """Of what was named, the keys ``found`` are there; below ``offsets``, by topic/partition, inputs were met."""
        self.held = {origin for origin in self.held if sent_key(origin) in found}
        self.waiting = {at for at in self.held if at.offset < offsets.get(f"{at.topic}/{at.partition}", 0)}

    def met(self, records: Sequence[Record]) -> set[Origin]:
        """Those of ``records`` whose outcome is held."""
        return self.held & {record.origin for record in records} if self.held else set()

    def decided(self, met: Collection[Origin], plan: Plan) -> set[Origin]:
        """Those that need not be held once ``plan`` is carried out: of ``met``, and of what waited, the adopted."""
        waits = {write.key for write in plan.writes if isinstance(write, Put)} if met else set[str]()
        adopted = set(plan.adopted) & self.waiting.union(met)
        return {origin for origin in met if waiting_key(origin) not in waits} | adopted

    def without(self, decided: set[Origin]) -> list[Write]:
        """The writes that forget what is ``decided``."""
        forgotten: list[Write] = [Delete(sent_key(origin)) for origin in sorted(decided)]
        return [*forgotten, Delete(HELD)] if decided and decided == self.held else forgotten

    def committed(self, met: Collection[Origin], decided: set[Origin]) -> None:
        """The store has forgotten what is ``decided``; what else of ``met`` waits now."""
        self.held -= decided
        self.waiting = self.waiting.union(met) - decided


def sent_of(wanted: Iterable[Origin], values: Mapping[str, bytes]) -> dict[Origin, tuple[Message, ...]]:
    """What ``values`` hold of what was published for the inputs that are ``wanted``."""
    return {origin: unpack_all(values[key]) for origin in wanted if (key := sent_key(origin)) in values}


def _marked(key: str, lines: Iterable[str]) -> Put:
    return Put(key, "\n".join(sorted(lines)).encode())


def _lines(value: bytes | None) -> list[str]:
    return (value or b"").decode().splitlines()

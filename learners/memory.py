"""What is kept for replay: the index of a weighted reservoir with a sub-reservoir for each class.

A-Res (Efraimidis & Spirakis 2006) as bottom-k: an entry's key is ``ln(-ln u) - ln w - decay * t`` with ``u`` a hash of
its id, and small keys are kept. No random source, no counter: what is kept is a function of what was offered.

**What holds.** Let an id name one entry. Then at every moment, for every order of offers, repeats and merges:

1. at most ``capacity`` entries, at most ``share * capacity`` of one learner and of one rater;
2. whoever leaves has the largest key of the class, or of the learner or rater in that class, that was one too many;
3. while the entries of a class leave for the class's size and for *one* kind of cap (learner or rater), and at most
   ``classes`` classes occur, what is kept is a function of the set offered: free of order, idempotent, mergeable.

Why 3: a class keeps its ``q`` smallest keys after each learner has kept its ``m`` smallest, and the level ``q`` only
falls as entries come (the sizes that it divides the capacity among only grow), so whoever left would leave again.
Where both kinds of cap bind in one class, what is kept is a common independent set of two matroids: an entry may have
left that would find room later, and which one is kept can depend on the order. ``evict`` (a retraction) leaves a hole
likewise: whoever left before does not come back. So does ``marked`` where it lowers a weight; where it raises one, what
is kept is what would be kept had the mark come first, but for those who had left by then.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from pydantic_core import from_json, to_json

from learners.entry import Entry, MemorySettings, weighed

Ranked = list[tuple[float, str]]


@dataclass(frozen=True)
class Memory:
    """The index: entries by id and, for each class, (key, id) in rising order. Made by ``Memory.of`` and ``admit``."""

    settings: MemorySettings
    entries: Mapping[str, Entry]
    ranked: Mapping[str, Ranked]
    held: Counter[tuple[str, str, str]]

    @classmethod
    def of(cls, settings: MemorySettings, entries: Iterable[Entry] = ()) -> Memory:
        """The memory that keeps what ``settings`` let it of ``entries``."""
        whole = _index(settings, {entry.id: entry for entry in entries})
        # What was kept under the same settings fits: admitting 2,000 entries one by one takes four times as long.
        return whole if _fits(whole) else admit(_index(settings, {}), *whole.ordered)[0]

    def __len__(self) -> int:
        return len(self.entries)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Memory) and (self.settings, self.entries) == (other.settings, other.entries)

    __hash__ = None  # type: ignore[assignment]  # a memory is no key

    @cached_property
    def ordered(self) -> tuple[Entry, ...]:
        """Its entries in an order that depends on nothing else: by class, then by key."""
        return tuple(self.entries[id] for label in sorted(self.ranked) for _, id in self.ranked[label])

    def to_bytes(self) -> bytes:
        """All entries as JSON columns. A caller that writes often stores entries singly, see ``changes``."""
        return to_json(dict(zip(Entry._fields, zip(*self.ordered, strict=True), strict=False)))

    @classmethod
    def from_bytes(cls, value: bytes, settings: MemorySettings) -> Memory:
        """The inverse of ``to_bytes``, cut down where ``settings`` now allow less. Raises ValueError, KeyError."""
        columns = from_json(value)
        return cls.of(settings, map(Entry, *(columns[name] for name in Entry._fields)) if columns else ())


def admit(memory: Memory, *entries: Entry) -> tuple[Memory, tuple[str, ...]]:
    """The memory after ``entries`` were offered, and the ids it held before and does not hold now."""
    draft = _Draft(memory)
    for offered in entries:
        if offered.weight >= memory.settings.threshold and offered.id not in draft.entries:
            draft.put(offered)
    return draft.whole(), tuple(id for id in draft.left if id in memory.entries)


def evict(memory: Memory, id: str) -> Memory:
    """The memory without ``id``: a retraction, a withdrawn consent, an erasure."""
    if id not in memory.entries:
        return memory
    draft = _Draft(memory)
    draft.drop(memory.entries[id])
    return draft.whole()


def marked(memory: Memory, interaction: str, marks: float) -> tuple[Memory, tuple[str, ...]]:
    """The memory after experts' marks on ``interaction`` came to add ``marks`` to its examples' importance.

    Also the ids of these examples, whether their weight changed or not; one that falls below the threshold leaves.
    """
    held = [entry for entry in memory.entries.values() if entry.interaction == interaction]
    again = [weighed(memory.settings, entry, min(entry.unmarked + marks, 1.0)) for entry in held]
    changed = [(old, new) for old, new in zip(held, again, strict=True) if old.weight != new.weight]
    if changed:
        draft = _Draft(memory)
        for old, new in changed:
            draft.drop(old)
            if new.weight >= memory.settings.threshold:
                draft.put(new)
        memory = draft.whole()
    return memory, tuple(entry.id for entry in held)


def merge(one: Memory, other: Memory) -> Memory:
    """The memory of what either was offered; replay counts are the larger."""
    merged, _ = admit(one, *other.ordered)
    more = {
        id: held._replace(replayed=other.entries[id].replayed)
        for id, held in merged.entries.items()
        if id in other.entries and other.entries[id].replayed > held.replayed
    }
    return Memory(merged.settings, {**merged.entries, **more}, merged.ranked, merged.held) if more else merged


def replayed(memory: Memory, ids: Iterable[str]) -> Memory:
    """The memory after ``ids`` were replayed once more; ids that it does not hold are passed over."""
    held = (memory.entries[id] for id in ids if id in memory.entries)
    more = {entry.id: entry._replace(replayed=entry.replayed + 1) for entry in held}
    return Memory(memory.settings, {**memory.entries, **more}, memory.ranked, memory.held)


class Changes(NamedTuple):
    """What to write and what to delete, so that a stored memory becomes another."""

    put: tuple[Entry, ...]
    drop: tuple[str, ...]


def changes(before: Memory, after: Memory) -> Changes:
    """The entries of ``after`` that ``before`` does not hold so, and the ids that only ``before`` holds."""
    old, new = before.entries, after.entries
    put = tuple(entry for id, entry in new.items() if old.get(id) is not entry)
    return Changes(put, tuple(id for id in old if id not in new))


def _index(settings: MemorySettings, entries: Mapping[str, Entry]) -> Memory:
    ranked: dict[str, Ranked] = {}
    for entry in entries.values():
        ranked.setdefault(entry.label, []).append((entry.key, entry.id))
    for pairs in ranked.values():
        pairs.sort()
    return Memory(settings, entries, ranked, Counter(who for entry in entries.values() for who in _holders(entry)))


def _fits(memory: Memory) -> bool:
    settings, total = memory.settings, Counter[tuple[str, str]]()
    shares = {"learner": settings.learner_share, "rater": settings.rater_share}
    for (kind, name, _), count in memory.held.items():
        total[kind, name] += count
    return (
        len(memory) <= settings.capacity
        and all(entry.weight >= settings.threshold for entry in memory.entries.values())
        and all(count <= settings.cap_in_class(shares[kind]) for (kind, _, _), count in memory.held.items())
        and all(count <= settings.cap(shares[kind]) for (kind, _), count in total.items())
    )


class _Draft:
    """A memory being changed: the one place where its index is mutable."""

    def __init__(self, memory: Memory) -> None:
        self.settings = memory.settings
        self.entries = dict(memory.entries)
        self.ranked = {label: ranked.copy() for label, ranked in memory.ranked.items()}
        self.held = memory.held.copy()
        self.left: list[str] = []

    def whole(self) -> Memory:
        return Memory(self.settings, self.entries, self.ranked, self.held)

    def put(self, entry: Entry) -> None:
        self.entries[entry.id] = entry
        insort(self.ranked.setdefault(entry.label, []), (entry.key, entry.id))
        for who in _holders(entry):
            self.held[who] += 1
        for kind, share in (("learner", self.settings.learner_share), ("rater", self.settings.rater_share)):
            if entry.id in self.entries:
                self._cap(entry.label, kind, getattr(entry, kind), share)
        while len(self.entries) > self.settings.capacity:
            self.drop(self._worst_of_largest())

    def drop(self, entry: Entry) -> None:
        del self.entries[entry.id]
        self.left.append(entry.id)
        ranked = self.ranked[entry.label]
        ranked.pop(bisect_left(ranked, (entry.key, entry.id)))
        if not ranked:
            del self.ranked[entry.label]
        for who in _holders(entry):
            self.held[who] -= 1
            if not self.held[who]:
                del self.held[who]

    def _cap(self, label: str, kind: str, name: str | None, share: float) -> None:
        if name is None:
            return
        if self.held[kind, name, label] > self.settings.cap_in_class(share):
            self.drop(self._worst(kind, name, (label,)))
        elif sum(self.held[kind, name, each] for each in self.ranked) > self.settings.cap(share):
            # Only where more classes occur than the settings expect: the cap is kept, at the price of property 3.
            self.drop(self._worst(kind, name, tuple(self.ranked)))

    def _worst(self, kind: str, name: str, labels: Iterable[str]) -> Entry:
        held = (
            next((pair for pair in reversed(self.ranked[label]) if getattr(self.entries[pair[1]], kind) == name), None)
            for label in labels
        )
        return self.entries[max(pair for pair in held if pair is not None)[1]]

    def _worst_of_largest(self) -> Entry:
        largest = max(map(len, self.ranked.values()))
        return self.entries[max(ranked[-1] for ranked in self.ranked.values() if len(ranked) == largest)[1]]


def _holders(entry: Entry) -> Iterable[tuple[str, str, str]]:
    if entry.learner is not None:
        yield "learner", entry.learner, entry.label
    if entry.rater is not None:
        yield "rater", entry.rater, entry.label

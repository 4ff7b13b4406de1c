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

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from learners.entry import Entry, MemorySettings, weighed
from learners.index import Index, Kind
from learners.lots import Lots


class Changes(NamedTuple):
    """What to write and what to delete, so that a stored memory becomes another."""

    put: tuple[Entry, ...]
    drop: tuple[str, ...]


class Memory:
    """What is kept. Made by ``Memory.of``.

    It changes in place, since a copy for each example would cost as much as is kept; so it has one owner, who alone
    changes it and asks it with ``changes`` what to write. A change takes time that grows with the logarithm of what is
    kept.
    """

    def __init__(self, settings: MemorySettings, index: Index) -> None:
        self.settings = settings
        self.lots = Lots(settings.alpha, index.entries)
        self._index = index
        self._was: dict[str, Entry | None] = {}  # of each id that changed, what was held when ``changes`` was asked

    @classmethod
    def of(cls, settings: MemorySettings, entries: Iterable[Entry] = ()) -> Memory:
        """The memory that keeps what ``settings`` let it of ``entries``. Those are stored: see ``changes``."""
        whole = Index(entries)
        if _fits(settings, whole):
            return cls(settings, whole)  # 2,000 entries one by one take four times as long
        memory = cls(settings, Index())
        memory.admit(*whole.ordered)
        memory._was = {id: entry for id, entry in whole.entries.items() if id not in memory.entries}
        return memory

    def __len__(self) -> int:
        return len(self.entries)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Memory) and (self.settings, self.entries) == (other.settings, other.entries)

    __hash__ = None  # type: ignore[assignment]  # a memory is no key

    @property
    def entries(self) -> Mapping[str, Entry]:
        """What is held, by id, in no order."""
        return self._index.entries

    @property
    def ordered(self) -> tuple[Entry, ...]:
        """Its entries in an order that depends on nothing else: by class, then by key."""
        return self._index.ordered

    def sizes(self) -> Mapping[str, int]:
        """By class how many entries are held."""
        return self._index.sizes()

    def stored_classes(self) -> frozenset[str]:
        """The classes of what is stored, as long as nothing has come since ``changes`` was asked."""
        was = {entry.label for entry in self._was.values() if entry is not None}
        return frozenset(was.union(self.sizes()))

    def of_learner(self, learner: str) -> list[str]:
        """The ids of a learner's entries."""
        return self._index.of("learner", learner)

    def admit(self, *entries: Entry) -> tuple[str, ...]:
        """Offer ``entries``; returns the ids that were held before and are not now."""
        came, left = set[str](), dict[str, None]()
        for offered in entries:
            if offered.weight >= self.settings.threshold and offered.id not in self.entries:
                if offered.id not in left:
                    came.add(offered.id)
                left |= dict.fromkeys(id for id in self._offer(offered) if id not in came)
        return tuple(id for id in left if id not in self.entries)

    def evict(self, id: str) -> None:
        """Hold ``id`` no longer: a retraction, a withdrawn consent, an erasure."""
        if id in self.entries:
            self._drop(id)

    def marked(self, interaction: str, marks: float) -> tuple[str, ...]:
        """Experts' marks on ``interaction`` came to add ``marks`` to its examples' importance.

        Returns the ids of these examples, whether their weight changed or not; one that falls below the threshold
        leaves.
        """
        ids = self._index.of("interaction", interaction)
        for old in [self.entries[id] for id in ids]:
            new = weighed(self.settings, old, min(old.unmarked + marks, 1.0))
            if new.weight != old.weight:
                self._drop(old.id)
                if new.weight >= self.settings.threshold:
                    self._offer(new)
        return tuple(ids)

    def replayed(self, ids: Iterable[str]) -> None:
        """``ids`` were replayed once more; those that are not held are passed over."""
        for id in ids:
            if held := self.entries.get(id):
                self._count(held, held.replayed + 1)

    def changes(self) -> Changes:
        """How what is stored becomes what is held, in an order that is the same for every owner; asked again, what
        changed since."""
        now = {id: self.entries.get(id) for id in self._was}
        put = sorted(entry for id, entry in now.items() if entry is not None and entry != self._was[id])
        drop = sorted(id for id, entry in now.items() if entry is None)
        self._was = {}
        return Changes(tuple(put), tuple(drop))

    def _offer(self, entry: Entry) -> Sequence[str]:
        """Hold ``entry`` and let go of what is then one too many; returns the ids of that."""
        self._put(entry)
        left = list[str]()
        shares: tuple[tuple[Kind, float], ...] = (
            ("learner", self.settings.learner_share),
            ("rater", self.settings.rater_share),
        )
        for kind, share in shares:
            if entry.id in self.entries and (over := self._over(entry, kind, share)):
                left.append(self._drop(over.id))
        while len(self) > self.settings.capacity:
            left.append(self._drop(self._index.worst_of_largest().id))
        return left

    def _over(self, entry: Entry, kind: Kind, share: float) -> Entry | None:
        """Which entry of ``entry``'s learner or rater is one too many, if any is."""
        name: str | None = getattr(entry, kind)
        if name is None or share >= 1:
            return None
        index, cap, in_class = self._index, self.settings.cap(share), self.settings.cap_in_class(share)
        if index.count(kind, name, entry.label) > in_class:
            return index.worst(kind, name, entry.label)
        if len(index.ranked) * in_class > cap and index.count(kind, name) > cap:
            # Only where more classes occur than the settings expect: the cap is kept, at the price of property 3.
            worst = (index.worst(kind, name, label) for label in index.ranked)
            return max((one for one in worst if one is not None), key=lambda one: (one.key, one.id))
        return None

    def _put(self, entry: Entry) -> None:
        self._was.setdefault(entry.id, None)
        self._index.put(entry)
        self.lots.put(entry.id)

    def _drop(self, id: str) -> str:
        entry = self.entries[id]
        if self._was.setdefault(id, entry) is None:
            del self._was[id]  # it came since: nobody need know
        self.lots.drop(id)
        self._index.drop(entry)
        return id

    def _count(self, held: Entry, replayed: int) -> None:
        self._was.setdefault(held.id, held)
        self._index.entries[held.id] = held._replace(replayed=replayed)


def merge(one: Memory, other: Memory) -> Memory:
    """The memory of what either was offered; replay counts are the larger."""
    merged = Memory.of(one.settings, one.ordered)
    merged.admit(*other.ordered)
    for id, held in other.entries.items():
        if id in merged.entries and held.replayed > merged.entries[id].replayed:
            merged._count(merged.entries[id], held.replayed)
    return merged


def _fits(settings: MemorySettings, index: Index) -> bool:
    if len(index.entries) > settings.capacity:
        return False
    in_class, total = Counter[tuple[str, str, str]](), Counter[tuple[str, str]]()
    shares = {kind: share for kind, share in (("learner", settings.learner_share), ("rater", settings.rater_share))
              if share < 1}  # fmt: skip
    for entry in index.entries.values():
        for kind in shares:
            if (name := getattr(entry, kind)) is not None:
                in_class[kind, name, entry.label] += 1
                total[kind, name] += 1
    return (
        all(entry.weight >= settings.threshold for entry in index.entries.values())
        and all(count <= settings.cap_in_class(shares[kind]) for (kind, _, _), count in in_class.items())
        and all(count <= settings.cap(shares[kind]) for (kind, _), count in total.items())
    )

"""The entries of a replay memory by all that it asks for them by. No rule is here: those are in ``learners.memory``.

To ask and to change takes time that grows with the logarithm of the number of entries, and with the number of classes.
Only to build an index takes as long as there are entries.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Literal

from sortedcontainers import SortedList

from learners.entry import Entry

Kind = Literal["learner", "rater", "interaction"]
KINDS: tuple[Kind, ...] = ("learner", "rater", "interaction")
Place = tuple[str, str, float, str]  # name, class, key, id
AFTER = "\0"  # behind a string: the first that is larger


class Index:
    """Entries by id; ids of each class by rising key; and of each learner, rater and interaction, by class and key."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.entries: dict[str, Entry] = {entry.id: entry for entry in entries}
        ranked: dict[str, list[tuple[float, str]]] = defaultdict(list)
        for entry in self.entries.values():
            ranked[entry.label].append((entry.key, entry.id))
        self.ranked: dict[str, SortedList] = {label: SortedList(pairs) for label, pairs in ranked.items()}
        self._places: Mapping[Kind, SortedList] = {
            kind: SortedList(place for entry in self.entries.values() if (place := _place(entry, kind)))
            for kind in KINDS
        }

    @property
    def ordered(self) -> tuple[Entry, ...]:
        """All entries, by class and then by key."""
        return tuple(self.entries[id] for label in sorted(self.ranked) for _, id in self.ranked[label])

    def put(self, entry: Entry) -> None:
        """Hold ``entry``, whose id is not held."""
        self.entries[entry.id] = entry
        if entry.label not in self.ranked:
            self.ranked[entry.label] = SortedList()
        self.ranked[entry.label].add((entry.key, entry.id))
        for kind in KINDS:
            if place := _place(entry, kind):
                self._places[kind].add(place)

    def drop(self, entry: Entry) -> None:
        """Hold ``entry`` no longer. Raises KeyError or ValueError: it is not held."""
        del self.entries[entry.id]
        ranked = self.ranked[entry.label]
        ranked.remove((entry.key, entry.id))
        if not ranked:
            del self.ranked[entry.label]
        for kind in KINDS:
            if place := _place(entry, kind):
                self._places[kind].remove(place)

    def sizes(self) -> dict[str, int]:
        """By class how many entries there are."""
        return {label: len(ranked) for label, ranked in self.ranked.items()}

    def worst_of_largest(self) -> Entry:
        """Of the classes with the most entries, the entry with the largest key. Raises ValueError: there is none."""
        largest = max(map(len, self.ranked.values()))
        return self.entries[max(ranked[-1] for ranked in self.ranked.values() if len(ranked) == largest)[1]]

    def count(self, kind: Kind, *names: str) -> int:
        """How many entries ``names`` have: that of a learner, rater or interaction, or that and a class."""
        first, last = self._span(kind, names)
        return last - first

    def worst(self, kind: Kind, name: str, label: str) -> Entry | None:
        """Of what ``name`` has of a class, the entry with the largest key."""
        first, last = self._span(kind, (name, label))
        return self.entries[self._places[kind][last - 1][-1]] if first < last else None

    def of(self, kind: Kind, name: str) -> list[str]:
        """The ids of what ``name`` has, by class and then by key."""
        return [id for *_, id in self._places[kind].irange((name,), (name + AFTER,), (True, False))]

    def _span(self, kind: Kind, names: tuple[str, ...]) -> tuple[int, int]:
        places, behind = self._places[kind], (*names[:-1], names[-1] + AFTER)
        return places.bisect_left(names), places.bisect_left(behind)


def _place(entry: Entry, kind: Kind) -> Place | None:
    name: str | None = getattr(entry, kind)
    return None if name is None else (name, entry.label, entry.key, entry.id)

"""Lots: ids that are drawn without replacement, evenly or by priority, without a look at all of them.

A priority is ``weight ** alpha`` as a whole number, so that sums are exact: what is drawn is a function of what is held
and of the seed, never of how that came about. Ids are kept in levels, sorted, by the bits of their priority. A draw by
priority takes a level in proportion to its sum, then an id of it evenly; that stands with probability priority /
2^level, which is at least one half, and if it was not drawn before, or another is taken (rejection; Devroye 1986,
chapter II.3). So n draws look at some n ids whatever their number and weights, and at n log n where few are left.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from itertools import accumulate
from random import Random

from sortedcontainers import SortedList

from learners.entry import Entry

ONE = 1 << 52  # the priority of weight one


class Lots:
    """The ids of ``entries``, a mapping that another changes: it tells of each id after it came and before it goes."""

    def __init__(self, alpha: float, entries: Mapping[str, Entry]) -> None:
        self.alpha = alpha
        self._entries = entries
        self._sums: dict[int, int] = defaultdict(int)
        ids: dict[int, list[str]] = defaultdict(list)
        for id in entries:
            priority = self.priority(id)
            ids[priority.bit_length()].append(id)
            self._sums[priority.bit_length()] += priority
        self._levels: dict[int, SortedList] = {level: SortedList(some) for level, some in ids.items()}

    def __len__(self) -> int:
        return sum(map(len, self._levels.values()))

    @property
    def total(self) -> int:
        """The sum of all priorities."""
        return sum(self._sums.values())

    def priority(self, id: str) -> int:
        """``weight ** alpha``, in units of 1 / ``ONE``, at least one of them."""
        priority: float = self._entries[id].weight ** self.alpha
        return max(round(priority * ONE), 1)

    def put(self, id: str) -> None:
        """``id`` came."""
        priority = self.priority(id)
        level = priority.bit_length()
        if level not in self._levels:
            self._levels[level] = SortedList()
        self._levels[level].add(id)
        self._sums[level] += priority

    def drop(self, id: str) -> None:
        """``id`` goes. Raises KeyError or ValueError: it was not there."""
        priority = self.priority(id)
        level = priority.bit_length()
        self._levels[level].remove(id)
        self._sums[level] -= priority
        if not self._levels[level]:
            del self._levels[level], self._sums[level]

    def draw(self, evenly: int, by_priority: int, seed: int) -> dict[str, int]:
        """Ids with their priorities, as they were drawn: first ``evenly`` of them, then others by priority among what
        is left. There must be as many ids."""
        draws, drawn = Random(seed), dict[str, int]()
        number = len(self)
        while len(drawn) < evenly:
            id = self._at(draws.randrange(number))
            drawn[id] = self.priority(id)
        left = {level: self._sums[level] for level in sorted(self._sums)}
        for priority in drawn.values():
            left[priority.bit_length()] -= priority
        while len(drawn) < evenly + by_priority:
            place = draws.randrange(sum(left.values()))
            level = next(level for level, end in zip(left, accumulate(left.values()), strict=True) if place < end)
            id = self._of(level, drawn, draws)
            drawn[id] = self.priority(id)
            left[level] -= drawn[id]
        return drawn

    def _at(self, place: int) -> str:
        """The id at a place in an order that depends on what is held alone."""
        for level in sorted(self._levels):
            if place < len(self._levels[level]):
                break
            place -= len(self._levels[level])
        id: str = self._levels[level][place]
        return id

    def _of(self, level: int, drawn: Collection[str], draws: Random) -> str:
        ids = self._levels[level]
        while True:
            id: str = ids[draws.randrange(len(ids))]
            if id not in drawn and draws.getrandbits(level) < self.priority(id):
                return id

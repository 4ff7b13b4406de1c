"""What was folded last, by hash of its id: enough to know a repetition, in memory that does not grow with the stream.

A repetition comes soon after the first: of what was on its way when an owner ended, or is read again after a loss. Who
curates knows an example for the whole join horizon; this is the second gate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

MOST = 2**20  # ids: 16 MB of them, and as much to find them by
BYTES = 16  # of an id's hash
PLACES = 4  # to find an id by, for each id: at most half of them are taken


class Folded:
    """The last ``most`` ids that were added, oldest first: each by a hash of ``BYTES`` bytes that spreads evenly.

    A ring, and a table with open addressing that says where in the ring an id may be. Who has left the ring is still in
    the table, where it finds another's hash or nothing, until the table is made anew. Both take their memory at the
    beginning. A dict that forgets its oldest would take three times as much.
    """

    def __init__(self, ids: Iterable[bytes] = (), most: int = MOST) -> None:
        self.most = most
        self._ring = _zeros(BYTES * most, np.uint8)
        self._added = 0
        self._places = _zeros(PLACES * most, np.int32)  # 1 + a row of the ring; 0: free
        self._taken = 0  # of the places
        self.update(ids)

    @classmethod
    def of(cls, ids: npt.NDArray[np.uint8], most: int = MOST) -> Folded:
        """That of which ``ids``, uint8 [ids, BYTES], are the array: each is there once."""
        found, last = cls(most=most), ids[-most:]
        found._ring[: last.size] = last.tobytes()
        found._added = len(last)
        found._find_anew()
        return found

    def add(self, id_: bytes) -> None:
        """Remember ``id_``, and forget the oldest if there are too many; one that is known keeps its place."""
        place = self._place(id_)
        if self._places[place]:
            return
        if self._taken == PLACES * self.most // 2:
            self._find_anew()
            place = self._place(id_)
        self._put(self._added % self.most, id_, place)
        self._added += 1

    def update(self, ids: Iterable[bytes]) -> None:
        """Remember ``ids`` in their order."""
        for id_ in ids:
            self.add(id_)

    def __contains__(self, id_: bytes) -> bool:
        return bool(self._places[self._place(id_)])

    def __len__(self) -> int:
        return min(self._added, self.most)

    def __iter__(self) -> Iterator[bytes]:
        whole = self.to_array().tobytes()
        return (whole[at : at + BYTES] for at in range(0, len(whole), BYTES))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Folded) and np.array_equal(self.to_array(), other.to_array())

    __hash__ = None  # type: ignore[assignment]  # it changes

    def to_array(self) -> npt.NDArray[np.uint8]:
        """The ids as uint8 [ids, BYTES], oldest first; a copy."""
        ring = np.frombuffer(self._ring, dtype=np.uint8).reshape(self.most, BYTES)
        first = self._added % self.most if self._added > self.most else 0
        return np.concatenate((ring[first : len(self)], ring[:first]))

    def _row(self, row: int) -> memoryview:
        return self._ring[row * BYTES : (row + 1) * BYTES]

    def _place(self, id_: bytes) -> int:
        """Where in the table ``id_`` is, or would be put."""
        size = PLACES * self.most
        place = int.from_bytes(id_[:8], "little") % size
        while (held := self._places[place]) and self._row(held - 1) != id_:
            place = (place + 1) % size
        return place

    def _put(self, row: int, id_: bytes, place: int) -> None:
        self._ring[row * BYTES : (row + 1) * BYTES] = id_
        self._places[place] = row + 1
        self._taken += 1

    def _find_anew(self) -> None:
        """Put all that is in the ring into a table of its own, at once: one by one, a million would take a second."""
        self._places, self._taken = _zeros(PLACES * self.most, np.int32), len(self)
        places, rows = np.asarray(self._places), np.arange(1, len(self) + 1, dtype=np.int32)
        at = (np.frombuffer(self._ring, dtype="<u8")[::2][: len(self)] % np.uint64(len(places))).astype(np.int64)
        while rows.size:
            free = places[at] == 0
            places[at[free]] = rows[free]  # where several meet one stays, and the others try the next place
            left = places[at] != rows
            rows, at = rows[left], (at[left] + 1) % len(places)


def _zeros(count: int, of: type[np.generic]) -> memoryview:
    """Zeros whose memory is taken all at once: ``np.zeros`` would take it page by page."""
    return np.full(count, 0, dtype=of).data

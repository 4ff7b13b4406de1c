"""What is counted and measured of moments, as numbers about within [-1, 1], for a whole batch at once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from learners.moment import ROLES, Moment
from schemas.prediction import ExampleInput

Floats = npt.NDArray[np.float32]
Counts = npt.NDArray[np.float32]

MEASURED = 4  # gap, duration, mastery, age: each a mask and a value
OVERLAPS = 9  # of a relation between two utterances
ALONE, PLACE, TAKEN_UP = 4, 20, 7
DENSE = len(ROLES) + 2 * MEASURED + OVERLAPS + ALONE + PLACE + TAKEN_UP


_ROOM = np.array([0, 0, 1], dtype=np.float32)
_SCALE = np.array([1, 1 / 20], dtype=np.float32)  # of mastery and age


class Table(NamedTuple):
    """What is counted of moments, float32, a row a moment. own: role, sizes, whether it asks; relation: see
    ``moment.overlap``; place: see ``moment.moment``."""

    own: Counts
    relation: Counts
    place: Counts

    @classmethod
    def of(cls, moments: Sequence[Moment]) -> Table:
        """The table of ``moments``."""
        return cls(
            _rows([(one.role, *one.now.sizes, one.now.asks) for one in moments], 5),
            _rows([one.to_student for one in moments], 7),
            _rows([one.place for one in moments], 15),
        )


def dense(table: Table, inputs: Sequence[ExampleInput]) -> Floats:
    """The dense features of ``inputs`` and what is counted of them, float32 [n, DENSE]; zero where masked."""
    sizes = table.own[:, 1:4]
    return np.concatenate(
        (
            table.own[:, :1] == np.arange(len(ROLES)),
            _alone(table.own, sizes),
            _overlap(sizes, table.relation),
            _places(table.place),
            _taken_up(table.place, sizes),
            _measured(inputs),
        ),
        axis=1,
        dtype=np.float32,
    )


def bins(table: Table) -> npt.NDArray[np.uint64]:
    """How much is shared with the last student utterance, in quarters of either's roots, and who speaks how
    long after it: crossed, and each alone; uint64 [n, 3]."""
    shared, theirs, ours = table.relation[:, 3], table.relation[:, 6], table.own[:, 3]
    overlap = np.ceil(4 * shared / (1 + ours)) + 8 * np.ceil(4 * shared / (1 + theirs))
    scene = np.minimum(table.place[:, 0], 7) + 8 * table.own[:, 4] + 16 * table.own[:, 0]
    return np.stack((overlap + 64 * scene, overlap + 2**20, scene + 2**21), axis=1).astype(np.uint64)


def _rows(rows: Sequence[Sequence[int]], width: int) -> Counts:
    return np.fromiter(chain.from_iterable(rows), dtype=np.float32).reshape(len(rows), width)


def _alone(own: Counts, sizes: Counts) -> Floats:
    words = sizes[:, 0]
    return np.stack((np.log1p(words) / 4, own[:, 4], words <= 2, sizes[:, 2] / (1 + sizes[:, 1])), axis=1)


def _overlap(sizes: Counts, relation: Counts) -> Floats:
    """Shares of overlap both ways: of words, pairs and roots."""
    both, shared, theirs = relation[:, 0], relation[:, 1:4], relation[:, 4:7]
    rest = np.stack((both > 0, both > 1, np.log1p(theirs[:, 0]) / 4), axis=1)
    return np.concatenate((shared / _most(sizes), shared / _most(theirs), rest), axis=1)


def _most(sizes: Counts) -> Floats:
    """What an utterance of these sizes could share at most: pairs about as many as words; roots and one, for
    shares of few say little."""
    most: Floats = np.maximum(sizes[:, (1, 0, 2)] + _ROOM, 1)
    return most


def _places(place: Counts) -> Floats:
    """Who spoke how long ago, and what kind of turn it was."""
    since, turns, run = place[:, :2], place[:, 2:3], place[:, 4:5]
    in_sight = since < turns
    return np.concatenate(
        (in_sight, in_sight / (1 + since), in_sight * since / 8, place[:, 3:4] == np.arange(len(ROLES)),
         np.minimum(run, 8) / 8, run == 0, run == 1, place[:, 5:8], np.log1p(place[:, (8, 9, 13, 14)]) / 4,
         np.minimum(turns, 8) / 8), axis=1)  # fmt: skip


def _taken_up(place: Counts, sizes: Counts) -> Floats:
    """How much of the students' last run of turns comes again, and how much is new."""
    run_words, run_roots, again, marked = place[:, 9:13].T
    words, _, roots = sizes.T
    new = roots - again
    shares = (
        again / (1 + run_roots),
        again / (1 + roots),
        new / (1 + roots),
        marked / (1 + words),
        marked / (1 + run_words),
    )
    return np.stack((*shares, np.minimum(again, 16) / 8, np.minimum(new, 16) / 8), axis=1)


def _measured(inputs: Sequence[ExampleInput]) -> Floats:
    """Gap and duration in seconds, mastery and age: a mask, and the value where it is known."""
    given = np.array(
        [(one.timing.gap_s, one.timing.duration_s, one.mastery, one.age) for one in inputs], dtype=np.float32
    ).reshape(-1, MEASURED)
    known = ~np.isnan(given)
    given = np.where(known, given, 0)
    scaled = np.concatenate((np.log1p(np.minimum(given[:, :2], 60)) / 4, given[:, 2:] * _SCALE), axis=1)
    return np.concatenate((known, scaled), axis=1)

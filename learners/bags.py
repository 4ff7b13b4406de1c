"""Hashed features of a whole batch at once: lists of hashes side by side, their n-grams, and bags put together of them.

Nothing here is done an example at a time: on arrays this short, numpy's every call costs as much as the hashing.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Integers = npt.NDArray[np.int64]

_STEP = np.uint64(0x9E3779B97F4A7C15)
_POWERS = np.cumprod(np.full(8, _STEP), dtype=np.uint64)
_NAMESPACE = 0xD6E8FEB86659FD93
_MIX, _REMIX = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
_SHIFT = np.uint64(33)


class Lists(NamedTuple):
    """A list of hashes for each example, one after the other. values: uint64 [total]; owners: int64 [total], rising."""

    values: Hashes
    owners: Integers


def lists(given: Sequence[Sequence[int]]) -> Lists:
    """``given``, numbers in [0, 2^64)."""
    lengths = np.fromiter(map(len, given), dtype=np.int64, count=len(given))
    values = np.fromiter(chain.from_iterable(given), dtype=np.uint64, count=int(lengths.sum()))
    return Lists(values, np.repeat(np.arange(len(given)), lengths))


def table_of(given: Hashes) -> Lists:
    """Lists that are all of one length: [n, length]."""
    return Lists(given.ravel(), np.repeat(np.arange(len(given)), given.shape[1]))


def ngrams(given: Lists, size: int) -> Lists:
    """What stands side by side in each list, ``size`` at a time."""
    values, owners = given
    for at in range(1, size):
        values = values[:-1] * _STEP + given.values[at:]
    within = owners[size - 1 :] == owners[: len(owners) - size + 1]
    return Lists(values[within], owners[size - 1 :][within])


def firsts(given: Lists) -> Lists:
    """The first of each list that is not empty."""
    chosen = np.diff(given.owners, prepend=-1) != 0
    return Lists(given.values[chosen], given.owners[chosen])


def openings(given: Lists, size: int) -> Lists:
    """The first ``size`` of each list, or all it has, as one; of each list that is not empty."""
    begins = np.flatnonzero(np.diff(given.owners, prepend=-1))
    places = np.arange(len(given.owners)) - np.repeat(begins, np.diff(begins, append=len(given.owners)))
    weights = np.where(places < size, _POWERS[np.minimum(places, len(_POWERS) - 1)], np.uint64(0))
    values = np.add.reduceat(given.values * weights, begins) if len(begins) else given.values
    return Lists(values, given.owners[begins])


def lasts(given: Lists) -> Lists:
    """The last of each list that is not empty."""
    chosen = np.diff(given.owners, append=-1) != 0
    return Lists(given.values[chosen], given.owners[chosen])


def bagged(examples: int, bags: Sequence[Sequence[tuple[int, Lists]]]) -> tuple[Hashes, Integers]:
    """Features and where each bag of them begins: bag ``len(bags)·i + b`` of example i holds what ``bags[b]`` lists.

    A part comes with its namespace, which makes the same word another feature: as spoken now, one turn ago, shared.
    The last start is the number of features.
    """
    parts = [(space, part, at) for at, bag in enumerate(bags) for space, part in bag]
    sizes = [len(part.values) for _, part, _ in parts]
    offsets = np.array([space * _NAMESPACE % 2**64 for space, _, _ in parts], dtype=np.uint64)
    bag_of = np.concatenate([part.owners for _, part, _ in parts]) * len(bags) + np.repeat(
        [at for *_, at in parts], sizes
    )
    features = _mixed(np.concatenate([part.values for _, part, _ in parts]) + np.repeat(offsets, sizes))
    starts = np.zeros(examples * len(bags) + 1, dtype=np.int64)
    np.cumsum(np.bincount(bag_of, minlength=examples * len(bags)), out=starts[1:])
    if len(starts) <= 1 << 16:
        bag_of = bag_of.astype(np.uint16)  # sorted by radix
    return features[np.argsort(bag_of, kind="stable")], starts


def _mixed(features: Hashes) -> Hashes:
    """``features`` made uniform in 64 bits (finaliser of MurmurHash3, Appleby 2011)."""
    found = np.multiply(features ^ (features >> _SHIFT), _MIX)
    found ^= found >> _SHIFT
    found *= _REMIX
    found ^= found >> _SHIFT
    return found

"""What is compared of each part of what is said to the model: its own numbers, or how two parts go together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from zlib import crc32

import numpy as np
import numpy.typing as npt

from learners.shift import Floats, Fourier, Moments
from learners.sketch import PARTS

VECTORS = ("words", "audio", "video")
PAIRS = tuple(combinations(VECTORS, 2))
PRODUCTS, COSINES = 64, 16  # features of a pair; beside its numbers, of a feature vector


@lru_cache(maxsize=1)
def columns_of_parts() -> tuple[tuple[str, tuple[slice, ...]], ...]:
    """Each part by name with its columns of a sketch: words and feature vectors alone, then every two of them."""
    alone = tuple((name, (PARTS[name],)) for name in VECTORS)
    return alone + tuple((f"{one} with {two}", (PARTS[one], PARTS[two])) for one, two in PAIRS)


def scale_of(given: Sequence[Floats]) -> tuple[Floats, Floats] | None:
    """Mean and deviation of each column in the rows that are as wide as the first that has anything; nan elsewhere."""
    whole = [~np.isnan(part).all(axis=1) for part in given]
    rows = np.logical_and.reduce(whole)
    if rows.sum() < 2:
        return None
    first = int(np.argmax(rows))
    used = np.concatenate([~np.isnan(part[first]) for part in given])
    held = np.concatenate(given, axis=1)[rows]
    held = held[(~np.isnan(held) == used).all(axis=1)]
    moments = Moments.of(held[:, used])
    mean, deviation = np.full(len(used), np.nan), np.full(len(used), np.nan)
    mean[used], deviation[used] = moments.mean, moments.deviation
    return mean, deviation


def features_of(
    name: str, given: Sequence[Floats], scale: tuple[Floats, Floats]
) -> tuple[npt.NDArray[np.intp], Floats]:
    """The rows that have all columns of ``scale`` and no more, and their features [rows, k]."""
    mean, deviation = scale
    held = (np.concatenate(given, axis=1) - mean) / deviation
    used = ~np.isnan(mean)
    whole = np.flatnonzero((~np.isnan(np.concatenate(given, axis=1)) == used).all(axis=1))
    split = int(used[: given[0].shape[1]].sum())
    held = np.tanh(held[whole][:, used] / 2)  # an outlier counts little: means of few are then nearly normal
    if len(given) == 2:
        one, two = _projections(name, split, held.shape[1] - split)
        return whole, (held[:, :split] @ one) * (held[:, split:] @ two)
    if name == "words":
        return whole, held
    return whole, np.concatenate((held, _fourier(name, held.shape[1])(held)), axis=1)


@lru_cache(maxsize=32)
def _fourier(name: str, k: int) -> Fourier:
    return Fourier.drawn(k, COSINES, crc32(name.encode()), width=k**0.5 / 2)


@lru_cache(maxsize=32)
def _projections(name: str, one: int, two: int) -> tuple[Floats, Floats]:
    draw = np.random.default_rng(crc32(name.encode()))
    return draw.normal(size=(one, PRODUCTS)) / one**0.5, draw.normal(size=(two, PRODUCTS)) / two**0.5

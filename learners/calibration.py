"""Whether a stated probability comes true as often as it says: reliability, calibration error, the Brier score's parts.

All take ``p`` [n], probabilities of something, and ``came`` [n], whether it came: a yes-or-no answer's own, or of a
class task the confidence of the most likely class and whether it was right (``top``).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

BINS = 10

Floats = npt.NDArray[np.float64]


class Point(NamedTuple):
    """A bin of a reliability diagram: mean probability stated, share that came true, how many."""

    stated: float
    came: float
    n: int


class BrierParts(NamedTuple):
    """The Brier score and what it consists of: ``score = reliability - resolution + uncertainty + within``."""

    score: float
    reliability: float
    resolution: float
    uncertainty: float
    within: float


def top(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Of [n] class indices and [n, classes] the confidence of the most likely class, and whether it was right."""
    given = np.asarray(probabilities, dtype=np.float64)
    said = given.argmax(axis=1)
    return given[np.arange(len(given)), said], (said == np.asarray(labels)).astype(np.float64)


def equal_width(p: npt.ArrayLike, came: npt.ArrayLike, bins: int = BINS) -> list[Point]:
    """Points over bins of equal width in [0, 1], the last closed; empty bins are left out (Guo et al. 2017)."""
    stated, true = _checked(p, came)
    return _points(stated, true, np.minimum((stated * bins).astype(np.int64), bins - 1))


def equal_mass(p: npt.ArrayLike, came: npt.ArrayLike, bins: int = BINS) -> list[Point]:
    """Points over bins of equally many, in the order of ``p`` (Nguyen & O'Connor 2015); equal ``p`` share a bin."""
    stated, true = _checked(p, came)
    values, at, counts = np.unique(stated, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - counts / 2  # of the ranks of each value, so that ties are never torn apart
    which = np.minimum((middle * bins / max(len(stated), 1)).astype(np.int64), bins - 1)
    return _points(stated, true, which[at] if len(values) else at)


def calibration_error(points: list[Point]) -> float:
    """Expected calibration error, Σ n/N |came - stated| (Guo et al. 2017, equation 3); 0 of nothing.

    Of ``equal_width`` points it is the usual ECE, at the mercy of bins with few; of ``equal_mass`` ones it is steadier
    where most probabilities are near 0 or 1. Both are biased upwards where bins hold few.
    """
    total = sum(point.n for point in points)
    return sum(point.n * abs(point.came - point.stated) for point in points) / total if total else 0.0


def brier(p: npt.ArrayLike, came: npt.ArrayLike, bins: int = BINS) -> BrierParts:
    """The mean of (p - came)² and its parts over ``equal_mass`` bins (Murphy 1973).

    ``within`` is what the probabilities inside a bin differ (Stephenson, Coelho & Jolliffe 2008); 0 where each bin
    holds one value, and Murphy's three parts are all.
    """
    stated, true = _checked(p, came)
    if not len(stated):
        return BrierParts(0.0, 0.0, 0.0, 0.0, 0.0)
    points, base = equal_mass(stated, true, bins), float(true.mean())
    share = np.array([point.n / len(stated) for point in points])
    apart = np.array([(point.stated - point.came) ** 2 for point in points])
    spread = np.array([(point.came - base) ** 2 for point in points])
    score, reliability, resolution = float(((stated - true) ** 2).mean()), float(share @ apart), float(share @ spread)
    uncertainty = base * (1 - base)
    return BrierParts(score, reliability, resolution, uncertainty, score - reliability + resolution - uncertainty)


def _checked(p: npt.ArrayLike, came: npt.ArrayLike) -> tuple[Floats, Floats]:
    stated, true = np.asarray(p, dtype=np.float64), np.asarray(came, dtype=np.float64)
    if stated.ndim != 1 or stated.shape != true.shape or ((stated < 0) | (stated > 1)).any():
        raise ValueError(f"p is {list(stated.shape)} and came {list(true.shape)}, expected [n] in [0, 1] and as many")
    return stated, true


def _points(stated: Floats, true: Floats, which: npt.NDArray[np.int64]) -> list[Point]:
    found = []
    for number in np.unique(which):
        inside = which == number
        found.append(Point(float(stated[inside].mean()), float(true[inside].mean()), int(inside.sum())))
    return found

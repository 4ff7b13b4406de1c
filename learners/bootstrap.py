"""How sure a figure is: percentile bootstrap intervals over independent units.

A unit is what is independent of the others: a session, a teacher, a seed; not an utterance, whose neighbours say much
the same. Percentile intervals (Efron 1979; Efron & Tibshirani 1993, section 13.3) need no formula for the figure's
spread, but are too narrow with few units: below some twenty read them as hints.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

DRAWS = 1_000

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


class Interval(NamedTuple):
    """A figure and between which values it lies at the level asked for; NaN where it is undefined."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether all of it lies on one side of zero."""
        return self.low > 0 or self.high < 0


def bootstrap(
    figure: Callable[[Counts], float], units: Sequence[Hashable], seed: int, *, draws: int = DRAWS, level: float = 0.95
) -> Interval:
    """The interval of ``figure`` over rows that belong to ``units``, one unit a row.

    ``figure`` is given the numbers of the rows in a resample, int64 [any], and may say NaN, which counts as undefined
    there. Whole units are drawn with replacement, each with all its rows. A function of its arguments and ``seed``.
    """
    rows = rows_by_unit(units)
    draw = np.random.default_rng(seed)
    again = (draw.integers(len(rows), size=len(rows)) for _ in range(draws if len(rows) > 1 else 0))
    found = [figure(np.concatenate([rows[n] for n in chosen])) for chosen in again]
    value = figure(np.concatenate(rows)) if rows else float("nan")
    return between(value, np.asarray(found, dtype=np.float64), level)


def bootstrap_sums(
    figure: Callable[[Floats], float], sums: Floats, seed: int, *, draws: int = DRAWS, level: float = 0.95
) -> Interval:
    """The interval of a figure of counts that add up over units; ``sums`` is [units, ...], ``figure`` is given [...].

    The same as ``bootstrap``, at a cost free of the number of rows.
    """
    draw, units = np.random.default_rng(seed), len(sums)
    flat = sums.reshape(units, -1)
    times = draw.multinomial(units, np.full(units, 1 / units), size=draws) if units > 1 else np.empty((0, units))
    found = [figure(total.reshape(sums.shape[1:])) for total in times @ flat]
    value = figure(sums.sum(axis=0)) if units else float("nan")
    return between(value, np.asarray(found, dtype=np.float64), level)


def rows_by_unit(units: Sequence[Hashable]) -> list[Counts]:
    """The numbers of the rows of each unit, units in the order in which they came first."""
    found: dict[Hashable, list[int]] = {}
    for row, unit in enumerate(units):
        found.setdefault(unit, []).append(row)
    return [np.array(rows, dtype=np.int64) for rows in found.values()]


def between(value: float, found: Floats, level: float) -> Interval:
    """``value`` with the interval in which a share ``level`` of the resampled figures ``found`` lies, NaN left out."""
    known = found[~np.isnan(found)]
    if not len(known):
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2], method="nearest")  # of infinities, too
    return Interval(value, float(low), float(high))

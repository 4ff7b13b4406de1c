"""Whether a series that was looked at again and again has a slope, or only wanders: least squares and its interval.

Looks that follow one another are alike, so the textbook's interval is too narrow. Here the slope is held against what
else is slow in the series (Sun 2011, "Robust trend inference with series variance estimator"; Müller 2007): the looks
are projected on orthonormal polynomials of time, degree 1 (the slope) and degrees 2 to ``WAVES + 1``. Without a slope
all these coefficients have one variance, whatever the noise, if it forgets sooner than the shortest of these waves
lasts; so the first over the root mean square of the others has Student's t distribution with ``WAVES`` degrees of
freedom: exactly for white Gaussian noise, in the limit for any that is stationary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.polynomial.legendre import legvander
from scipy.special import stdtrit  # type: ignore[import-untyped]  # scipy ships no types

WAVES = 8  # more would find smaller slopes, and take for steady only what forgets sooner
FEWEST = WAVES + 3  # looks
HOUR_S, DAY_HOURS = 3_600.0, 24.0


@dataclass(frozen=True, slots=True)
class Slope:
    """How much a series rises an hour, between which values that lies, and its ``mean``."""

    per_hour: float
    low: float
    high: float
    mean: float

    @property
    def contains_zero(self) -> bool:
        """Whether it may as well be level."""
        return self.low <= 0 <= self.high

    @property
    def percent_per_day(self) -> float | None:
        """The slope in percent of the mean a day; None where the mean is zero."""
        return 100 * DAY_HOURS * self.per_hour / self.mean if self.mean else None


def slope(at_s: Sequence[float], values: Sequence[float], level: float = 0.95) -> Slope:
    """The slope of ``values``, looked at at the seconds ``at_s``, with its interval of ``level``.

    Raises ValueError with fewer than ``FEWEST`` looks.
    """
    if len(values) < FEWEST:
        raise ValueError(f"{len(values)} looks are too few for a slope; at least {FEWEST}")
    time, y = np.asarray(at_s, np.float64), np.asarray(values, np.float64)
    half = (time[-1] - time[0]) / 2
    waves, triangle = np.linalg.qr(legvander((time - time[0] - half) / half, WAVES + 1))
    found = waves.T @ (y - y[0])  # less the first, so that what is constant is zero to the bit
    an_hour = HOUR_S / half / triangle[1, 1]
    spread = np.sqrt(np.mean(found[2:] ** 2)) * abs(an_hour) * stdtrit(WAVES, (1 + level) / 2)
    rise = found[1] * an_hour
    return Slope(float(rise), float(rise - spread), float(rise + spread), float(y.mean()))

"""Whether two samples come from one population: tests of means of features, of each number, and of many at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import fdtrc, kolmogorov  # type: ignore[import-untyped]  # scipy ships no types

Floats = npt.NDArray[np.float64]
LEAST = 0.01  # of the mean variance; where features hardly vary, means of few vectors are far from normal


@dataclass(frozen=True)
class Moments:
    """Of ``n`` vectors their ``mean`` [k] and ``m2`` [k, k], the sum of outer products of their deviations from it."""

    n: int
    mean: Floats
    m2: Floats

    @classmethod
    def none(cls, k: int) -> Moments:
        """Of no vectors of ``k`` numbers."""
        return cls(0, np.zeros(k), np.zeros((k, k)))

    @classmethod
    def of(cls, rows: npt.ArrayLike) -> Moments:
        """Of ``rows`` [n, k]."""
        given = np.asarray(rows, dtype=np.float64)
        if not len(given):
            return cls.none(given.shape[1])
        mean = given.mean(axis=0)
        return cls(len(given), mean, (given - mean).T @ (given - mean))

    def merge(self, other: Moments) -> Moments:
        """Of both samples together (Chan, Golub & LeVeque 1979, equation 2.1): shards need keep no vectors."""
        n = self.n + other.n
        if not n:
            return self
        apart = other.mean - self.mean
        m2 = self.m2 + other.m2 + np.outer(apart, apart) * (self.n * other.n / n)
        return Moments(n, self.mean + apart * (other.n / n), m2)

    @property
    def deviation(self) -> Floats:
        """The standard deviation of each number [k], 1 where it never varies."""
        found = np.sqrt(np.diag(self.m2) / max(self.n, 1))
        return np.where(found > 1e-9, found, 1.0)

    @cached_property
    def whitening(self) -> Floats:
        """[k, k]: the principal directions, each over its standard deviation, which counts at least as ``LEAST``."""
        variances, directions = np.linalg.eigh(self.m2 / max(self.n - 1, 1))
        return np.asarray(directions / np.sqrt(np.maximum(variances, max(LEAST * variances.mean(), 1e-6))))


class Compared(NamedTuple):
    """Of two samples: the test's ``statistic``, the chance ``p`` of one as large from one population, the ``effect``.

    ``towards`` [k] is the direction in which the second differs from the first: who lies far along it shows how.
    """

    statistic: float
    p: float
    effect: float
    towards: Floats


def compare_means(reference: Moments, means: npt.ArrayLike, counts: Sequence[int]) -> list[Compared]:
    """Hotelling's T² (1931) of each of some samples, with ``means`` [samples, k] of ``counts`` vectors, against
    ``reference``, whose covariance stands for both.

    Over random features this is the normalised maximum mean discrepancy (MMD) of Chwialkowski et al. (2015, eq. 13),
    whose null distribution needs no permutations. ``effect`` is the distance of the means in standard deviations
    (Mahalanobis), less what chance alone would give, not below 0. Raises ValueError where there are too few vectors.
    """
    held, k = reference.n, len(reference.mean)
    if held <= k + 1 or not counts or min(counts) < 1:
        raise ValueError(f"{held} and {counts} vectors of {k} numbers are too few to compare")
    apart = (np.atleast_2d(np.asarray(means, dtype=np.float64)) - reference.mean) @ reference.whitening
    squared, share = (apart**2).sum(axis=1), 1 / held + 1 / np.asarray(counts)
    statistic = squared / share
    p = fdtrc(k, held - k, statistic * (held - k) / (k * (held - 1)))
    effect = np.sqrt(np.maximum(squared - k * share, 0.0))
    towards = apart @ reference.whitening.T
    return [Compared(*each) for each in zip(statistic.tolist(), p.tolist(), effect.tolist(), towards, strict=True)]


@dataclass(frozen=True, slots=True)
class Fourier:
    """Random Fourier features of a Gaussian kernel (Rahimi & Recht 2007): cos(frequencies · x + phases).

    The squared distance of two samples' mean features estimates their MMD² (Gretton 2012), in time linear in both.
    """

    frequencies: Floats  # [k, features]
    phases: Floats  # [features]

    @classmethod
    def drawn(cls, k: int, features: int, seed: int, width: float | None = None) -> Fourier:
        """Of a kernel exp(-|x - y|² / (2 width²)) over ``k`` numbers; ``width`` defaults to √k, for standardised x."""
        draw = np.random.default_rng(seed)
        frequencies = draw.normal(size=(k, features)) / (width or max(k, 1) ** 0.5)
        return cls(frequencies, draw.uniform(0, 2 * np.pi, features))

    def __call__(self, rows: npt.ArrayLike) -> Floats:
        """The features [n, features] of ``rows`` [n, k]."""
        angles = np.asarray(rows, dtype=np.float64) @ self.frequencies + self.phases
        return np.asarray(np.sqrt(2 / len(self.phases)) * np.cos(angles))


def mmd(reference: npt.ArrayLike, recent: npt.ArrayLike, features: int = 64, seed: int = 0) -> Compared:
    """Whether ``recent`` [m, k] comes from where ``reference`` [n, k] came: both standardised by the reference.

    ``statistic`` is MMD² over random Fourier features, ``p`` and ``effect`` those of ``compare_means`` over them.
    """
    held = np.asarray(reference, dtype=np.float64)
    scale = Moments.of(held)
    of = Fourier.drawn(held.shape[1], features, seed)
    before, after = (of((np.asarray(rows) - scale.mean) / scale.deviation) for rows in (held, recent))
    (found,) = compare_means(Moments.of(before), after.mean(axis=0), [len(after)])
    return found._replace(statistic=float(((after.mean(axis=0) - before.mean(axis=0)) ** 2).sum()))


def ks(reference: npt.ArrayLike, recent: npt.ArrayLike) -> tuple[float, float]:
    """The two-sample statistic of Kolmogorov & Smirnov, in [0, 1], and its asymptotic p; careful where numbers repeat.

    What ``scipy.stats.ks_2samp(method="asymp")`` says to first order, for a fiftieth of the time: it stands in a loop.
    """
    one, two = np.sort(np.asarray(reference, dtype=np.float64)), np.sort(np.asarray(recent, dtype=np.float64))
    both = np.concatenate((one, two))
    shares = (np.searchsorted(each, both, side="right") / len(each) for each in (one, two))
    statistic = float(np.abs(np.subtract(*shares)).max())
    return statistic, float(kolmogorov(statistic * np.sqrt(len(one) * len(two) / len(both))))


def holm(p: Sequence[float]) -> list[float]:
    """The p-values corrected for their number (Holm 1979): all those below α hold together at level α."""
    corrected, highest = [0.0] * len(p), 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        highest = max(highest, min((len(p) - rank) * p[place], 1.0))
        corrected[place] = highest
    return corrected

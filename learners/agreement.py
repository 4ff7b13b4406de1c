"""How far judges agree, beyond what chance would give: two of them, or any number who judged what they liked.

Own code: the one well-kept package for Krippendorff's alpha is licensed under the GPL.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Level = Literal["nominal", "ordinal", "interval"]


def ranks(values: npt.ArrayLike) -> Floats:
    """The rank of each value, from 1; equal values share the mean of theirs (midranks). float64 [n]."""
    _, at, counts = np.unique(np.asarray(values, dtype=np.float64), return_inverse=True, return_counts=True)
    found: Floats = (np.cumsum(counts) - (counts - 1) / 2)[at]
    return found


def spearman(one: npt.ArrayLike, other: npt.ArrayLike) -> float:
    """Spearman's (1904) rho: the correlation of midranks; NaN where either is constant or there are fewer than two."""
    a, b = ranks(one), ranks(other)
    a, b = a - a.mean() if len(a) else a, b - b.mean() if len(b) else b
    spread = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / spread if spread > 0 else math.nan


def kappa(one: npt.ArrayLike, other: npt.ArrayLike) -> float:
    """Cohen's (1960) kappa of what two judges said of [n] items, names or numbers; NaN if both only say one thing."""
    said = np.stack((np.asarray(one), np.asarray(other)))
    if not said.size:
        return math.nan
    names, codes = np.unique(said, return_inverse=True)
    first, second = codes.reshape(said.shape)
    shares = [np.bincount(side, minlength=len(names)) / len(first) for side in (first, second)]
    chance = float(shares[0] @ shares[1])
    return (float((first == second).mean()) - chance) / (1 - chance) if chance < 1 else math.nan


def quadratic_kappa(one: npt.ArrayLike, other: npt.ArrayLike) -> float:
    """Kappa with weights (i - j)² (Cohen 1968) of whole numbers, to which others are rounded; NaN without spread.

    1 - Σ observed (i - j)² / Σ expected (i - j)²; both sums have a closed form in the means and variances.
    """
    a, b = np.round(np.asarray(one, dtype=np.float64)), np.round(np.asarray(other, dtype=np.float64))
    if not len(a):
        return math.nan
    expected = float(a.var() + b.var() + (a.mean() - b.mean()) ** 2)
    return 1 - float(((a - b) ** 2).mean()) / expected if expected > 0 else math.nan


def alpha(items: Iterable[Sequence[float | str]], level: Level = "nominal") -> float:
    """Krippendorff's alpha: 1 - D_observed / D_expected (Krippendorff 2011, "Computing Krippendorff's Alpha").

    Each item is what its judges said, who may be any and any number; items with fewer than two say nothing. Numbers for
    ordinal and interval. NaN where nobody ever differs in what is said, or nothing is pairable.
    """
    pairable = [list(said) for said in items if len(said) > 1]
    values = sorted({value for said in pairable for value in said}, key=lambda value: (isinstance(value, str), value))
    where = {value: at for at, value in enumerate(values)}
    met = np.zeros((len(values), len(values)))
    for said in pairable:
        for one, other in permutations(said, 2):
            met[where[one], where[other]] += 1 / (len(said) - 1)
    margin = met.sum(axis=1)
    apart = _distances(values, margin, level)
    expected = float(margin @ apart @ margin) / max(float(margin.sum()) - 1, 1)
    return 1 - float((met * apart).sum()) / expected if expected > 0 else math.nan


def _distances(values: Sequence[float | str], margin: Floats, level: Level) -> Floats:
    """The squared difference of each pair of values (Krippendorff 2011, section "metric differences")."""
    if level == "nominal":
        return 1 - np.eye(len(values))
    # Ordinal: how many judgements lie between the two, half of each end's.
    scale = np.cumsum(margin) - margin / 2 if level == "ordinal" else np.asarray(values, dtype=np.float64)
    return (scale[:, None] - scale[None, :]) ** 2


def consistency(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """1 - JSD(one, other) / ln 2, in [0, 1]: 1 where two distributions are the same (Lin 1991, equation 4.1)."""
    names = sorted({*one, *other})
    p, q = (np.array([given.get(name, 0.0) for name in names]) for given in (one, other))
    middle = (p + q) / 2
    return 1 - (_relative(p, middle) + _relative(q, middle)) / (2 * math.log(2))


def _relative(p: Floats, q: Floats) -> float:
    known = p > 0
    return float((p[known] * np.log(p[known] / q[known])).sum())

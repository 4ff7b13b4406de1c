"""What a confusion matrix and a table of confidences say: formulas over counts, so that shards and windows add up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import sqrt

BINS = 10
Matrix = dict[str, dict[str, int]]  # true class -> predicted class -> count


def row_sums(matrix: Matrix) -> dict[str, int]:
    """How often each class was true."""
    return {name: sum(row.values()) for name, row in matrix.items()}


def column_sums(matrix: Matrix) -> dict[str, int]:
    """How often each class was predicted."""
    sums: dict[str, int] = {}
    for row in matrix.values():
        for name, count in row.items():
            sums[name] = sums.get(name, 0) + count
    return sums


def matthews(matrix: Matrix) -> float:
    """R_K of Gorodkin (2004), equation 8 as sums: in [-1, 1], Matthews' coefficient for two classes, 0 if undefined."""
    true, predicted = row_sums(matrix), column_sums(matrix)
    total = sum(true.values())
    hits = sum(row.get(name, 0) for name, row in matrix.items())
    covariance = hits * total - sum(count * predicted.get(name, 0) for name, count in true.items())
    spread = (total**2 - sum(count**2 for count in true.values())) * (
        total**2 - sum(count**2 for count in predicted.values())
    )
    return covariance / sqrt(spread) if spread else 0.0


def cohen_kappa(matrix: Matrix) -> float:
    """Agreement beyond chance (Cohen 1960); 0 where chance alone would agree always."""
    true, predicted = row_sums(matrix), column_sums(matrix)
    total = sum(true.values())
    chance = sum(count * predicted.get(name, 0) for name, count in true.items())
    hits = sum(row.get(name, 0) for name, row in matrix.items())
    return (hits * total - chance) / (total**2 - chance) if total**2 > chance else 0.0


def f1_by_class(matrix: Matrix) -> dict[str, float]:
    """2 TP / (true + predicted) of each class that was true or predicted at least once."""
    true, predicted = row_sums(matrix), column_sums(matrix)
    came = {name: true.get(name, 0) + predicted.get(name, 0) for name in sorted(true.keys() | predicted.keys())}
    return {name: 2 * matrix.get(name, {}).get(name, 0) / both for name, both in came.items() if both}


def macro(values: Mapping[str, float], besides: str | None = None) -> float:
    """The mean over classes, leaving out ``besides``; 0 of nothing."""
    kept = [value for name, value in values.items() if name != besides]
    return sum(kept) / len(kept) if kept else 0.0


def calibration_error(bins: Iterable[tuple[float, float, float] | list[float]]) -> float:
    """Expected calibration error (Guo 2017, equation 3) from (count, sum of confidence, hits) of each bin."""
    kept = [tuple(each) for each in bins]
    total = sum(count for count, _, _ in kept)
    return sum(abs(confidence - hits) for _, confidence, hits in kept) / total if total else 0.0


def bin_of(confidence: float) -> int:
    """The bin of a confidence in [0, 1]: equal widths, the last closed."""
    return min(int(confidence * BINS), BINS - 1)

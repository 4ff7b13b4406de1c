"""Targets of accord: of the model with the scores of CLASS, with experts, and of one modality with another."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from learners.agreement import alpha, consistency, kappa, quadratic_kappa, spearman
from learners.judged import Floats, Judged, Row, likeliest, name_code
from schemas.prediction import Output

DIMENSIONS = ("emotional_support", "classroom_organization", "instructional_support")
HUMAN_CLASS = 0.55  # about how far trained observers of CLASS agree: no model can be asked for more than its judges are


@dataclass(frozen=True)
class ClassCorrelation:
    """CLASS correlation: Spearman's rho between expected and expert score, of each domain by itself, and of these the
    least, so that one domain does not hide another. Never over all domains at once: that would count as agreement that
    one domain is scored higher than another everywhere. Quadratic kappa of each domain stands beside it, and the
    ceiling, since observers themselves agree at about .55.
    """

    name: str = "class_correlation"
    target: float = 0.75
    ceiling: float | None = HUMAN_CLASS

    def row(self, judged: Judged) -> Row | None:
        """Label and value of each domain, NaN where one is missing."""
        found: list[float] = []
        for dimension in DIMENSIONS:
            label, output = judged.labels.get(dimension), judged.outputs.get(dimension)
            known = isinstance(label, int | float) and output is not None and output.value is not None
            found += [float(label), float(output.value)] if known else [math.nan, math.nan]  # type: ignore[arg-type, union-attr]  # known says that both are numbers
        return tuple(found) if not all(map(math.isnan, found)) else None

    def figure(self, rows: Floats) -> float:
        each = [spearman(*pair.T) for pair in _pairs(rows).values()]
        return min((rho for rho in each if not math.isnan(rho)), default=math.nan)

    def parts(self, rows: Floats) -> dict[str, float]:
        found: dict[str, float] = {}
        for dimension, pair in _pairs(rows).items():
            found |= {f"{dimension}_spearman": spearman(*pair.T), f"{dimension}_kappa": quadratic_kappa(*pair.T)}
        return found


def _pairs(rows: Floats) -> dict[str, Floats]:
    """The rows [n, 2] of each domain that both have: label and value."""
    each = {name: rows[:, 2 * n : 2 * n + 2] for n, name in enumerate(DIMENSIONS)}
    return {name: pair[np.isfinite(pair).all(axis=1)] for name, pair in each.items()}


@dataclass(frozen=True)
class ExpertAgreement:
    """Expert agreement: Cohen's kappa between the model's most likely class and the expert's, of each categorical task
    by itself, and the mean over the tasks that experts labelled. Beside it ``experts_alpha``, Krippendorff's nominal
    alpha among the experts themselves where several judged one interaction: the model cannot agree with them more than
    they do with one another.
    """

    tasks: tuple[str, ...]
    name: str = "expert_agreement"
    target: float = 0.80
    ceiling: float | None = None

    def row(self, judged: Judged) -> Row | None:
        """Item, rater, then label and answer of each task, as numbers that stand for names; NaN where missing."""
        found: list[float] = []
        for task in self.tasks:
            label, said = judged.labels.get(task), likeliest(judged.outputs.get(task))
            both = isinstance(label, str) and said is not None
            found += [name_code(str(label)), name_code(said)] if both and said else [math.nan, math.nan]
        if all(map(math.isnan, found)):
            return None
        return (name_code(judged.item), name_code(judged.rater), *found)

    def figure(self, rows: Floats) -> float:
        each = [value for value in self._each(rows).values() if not math.isnan(value)]
        return sum(each) / len(each) if each else math.nan

    def parts(self, rows: Floats) -> dict[str, float]:
        found = {f"{task}_kappa": value for task, value in self._each(rows).items()}
        return {**found, "experts_alpha": self._experts(rows)}

    def _each(self, rows: Floats) -> dict[str, float]:
        pairs = {task: rows[:, 2 + 2 * n : 4 + 2 * n] for n, task in enumerate(self.tasks)}
        return {task: kappa(*pair[~np.isnan(pair[:, 0])].T) for task, pair in pairs.items()}

    def _experts(self, rows: Floats) -> float:
        said: dict[tuple[int, float], dict[float, float]] = {}
        for item, rater, *pairs in rows.tolist():
            for task, label in enumerate(pairs[::2]):
                if not math.isnan(label):
                    said.setdefault((task, item), {})[rater] = label
        return alpha([list(by_rater.values()) for by_rater in said.values()])


@dataclass(frozen=True)
class CrossModal:
    """Cross-modal consistency: how alike two modalities, each by itself, speak of one interaction; the mean over
    interactions of which at least two did. Of a task of classes 1 - JSD / ln 2 between their probabilities (Lin 1991),
    of a number 1 - |difference| / width of its range; the mean over tasks and pairs of modalities. Two modalities that
    know nothing agree perfectly, so it is read beside what each of them is right about.
    """

    widths: Mapping[str, float]
    name: str = "cross_modal_consistency"
    target: float = 0.75
    ceiling: float | None = None

    def row(self, judged: Judged) -> Row | None:
        found = []
        for one, other in combinations(judged.by_modality.values(), 2):
            for task in sorted(one.keys() & other.keys()):
                value = self._alike(task, one[task], other[task])
                found += [] if value is None else [value]
        return (sum(found) / len(found),) if found else None

    def _alike(self, task: str, one: Output, other: Output) -> float | None:
        if one.value is not None and other.value is not None and task in self.widths:
            return 1 - min(abs(one.value - other.value) / self.widths[task], 1.0)
        if one.probabilities and other.probabilities:
            return consistency(one.probabilities, other.probabilities)
        return None

    def figure(self, rows: Floats) -> float:
        return float(rows.mean()) if len(rows) else math.nan

    def parts(self, rows: Floats) -> dict[str, float]:
        return {"least_tenth": float(np.quantile(rows, 0.1))} if len(rows) else {}

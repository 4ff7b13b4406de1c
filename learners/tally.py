"""Counts from which a task's metrics are computed: they add up over buckets, panes and shards.

Every tally knows the best constant and the uniform answer on the same labels, so that no figure stands without them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import log, sqrt
from typing import Any, Protocol

from learners.confusion import (
    BINS,
    Matrix,
    bin_of,
    calibration_error,
    cohen_kappa,
    f1_by_class,
    macro,
    matthews,
    row_sums,
)
from schemas.feedback import LabelValue
from schemas.prediction import Output

LEAST = 1e-12  # a probability below it counts as it, so that one impossible label costs 27.6 nats, not infinity


class Tally(Protocol):
    """What is counted of one kind of task."""

    n: int

    def add(self, label: LabelValue, output: Output) -> bool:
        """Count a label and the output it judges; False if the output says nothing about such a label."""

    def plus(self, other: Tally) -> None:
        """Count what ``other`` counted, too."""

    def summary(self, besides: str) -> dict[str, float]:
        """The metrics by name; empty where nothing was counted."""


def _no_bins() -> list[list[float]]:
    return [[0, 0.0, 0] for _ in range(BINS)]


@dataclass(slots=True)
class ClassTally:
    """Of a task whose label is one class."""

    n: int = 0
    matrix: Matrix = field(default_factory=dict)
    bins: list[list[float]] = field(default_factory=_no_bins)
    brier: float = 0.0
    log_loss: float = 0.0

    def add(self, label: LabelValue, output: Output) -> bool:
        probabilities = output.probabilities
        if not probabilities or not isinstance(label, str):
            return False
        self.count(label, probabilities)
        return True

    def count(self, label: str, probabilities: Mapping[str, float]) -> None:
        """Count a label and the distribution it judges. The Brier score is the sum over classes (Brier 1950)."""
        predicted = max(probabilities, key=probabilities.__getitem__)
        given = probabilities.get(label, 0.0)
        brier = sum([p * p for p in probabilities.values()]) + 1 - 2 * given
        self.judge(label, predicted, probabilities[predicted], given, brier)

    def judge(self, label: str, predicted: str, confidence: float, given: float, brier: float) -> None:
        """Count one answer: its confidence, the probability given to the label, and the Brier score."""
        self.n += 1
        row = self.matrix.setdefault(label, {})
        row[predicted] = row.get(predicted, 0) + 1
        held = self.bins[bin_of(confidence)]
        held[0] += 1
        held[1] += confidence
        held[2] += predicted == label
        self.brier += brier
        self.log_loss -= log(max(given, LEAST))

    def plus(self, other: Tally) -> None:
        if not isinstance(other, ClassTally):
            raise TypeError(f"a {type(other).__name__} cannot be added to counts of one class")
        self.n += other.n
        for label, row in other.matrix.items():
            mine = self.matrix.setdefault(label, {})
            for predicted, count in row.items():
                mine[predicted] = mine.get(predicted, 0) + count
        self.bins = [
            [a + b for a, b in zip(one, two, strict=True)] for one, two in zip(self.bins, other.bins, strict=True)
        ]
        self.brier += other.brier
        self.log_loss += other.log_loss

    def summary(self, besides: str) -> dict[str, float]:
        if not self.n:
            return {}
        f1 = f1_by_class(self.matrix)
        return {
            "n": self.n,
            "accuracy": sum(row.get(name, 0) for name, row in self.matrix.items()) / self.n,
            "mcc": matthews(self.matrix),
            "macro_f1": macro(f1),
            "macro_f1_besides": macro(f1, besides),
            "kappa": cohen_kappa(self.matrix),
            "ece": calibration_error(self.bins),
            "brier": self.brier / self.n,
            "log_loss": self.log_loss / self.n,
            **self._baselines(len(f1)),
        }

    def _baselines(self, classes: int) -> dict[str, float]:
        """Of the class most often true in hindsight, and of the expected confusion of the uniform answer; MCC is 0."""
        true = row_sums(self.matrix)
        most = max(true.values())
        uniform = sum(2 * count / classes / (count + self.n / classes) for count in true.values()) / classes
        return {
            "majority_accuracy": most / self.n,
            "majority_macro_f1": 2 * most / (self.n + most) / len(true),
            "uniform_accuracy": 1 / classes,
            "uniform_macro_f1": uniform,
            "uniform_log_loss": log(classes),
        }


@dataclass(slots=True)
class SeveralTally:
    """Of a task whose label is any number of classes: a yes-or-no tally for each."""

    n: int = 0
    classes: dict[str, ClassTally] = field(default_factory=dict)

    def add(self, label: LabelValue, output: Output) -> bool:
        if not output.probabilities or not isinstance(label, tuple):
            return False
        self.n += 1
        for name, p in output.probabilities.items():
            given = p if name in label else 1 - p
            tally = self.classes.get(name) or self.classes.setdefault(name, ClassTally())
            answer = ("yes" if name in label else "no", "yes" if p > 0.5 else "no")
            tally.judge(*answer, max(p, 1 - p), given, 2 * (1 - given) ** 2)
        return True

    def plus(self, other: Tally) -> None:
        if not isinstance(other, SeveralTally):
            raise TypeError(f"a {type(other).__name__} cannot be added to counts of several classes")
        self.n += other.n
        for name, tally in other.classes.items():
            self.classes.setdefault(name, ClassTally()).plus(tally)

    def summary(self, besides: str) -> dict[str, float]:
        """The mean over classes of each metric; F1 is that of "yes", over the classes that came or were predicted."""
        if not self.n or not self.classes:
            return {}
        each = {name: tally.summary("no") for name, tally in self.classes.items()}
        names = ("accuracy", "mcc", "kappa", "ece", "brier", "log_loss", "majority_accuracy", "uniform_accuracy")
        f1 = {name: f1_by_class(tally.matrix).get("yes") for name, tally in self.classes.items()}
        return {
            "n": self.n,
            "macro_f1": macro({name: value for name, value in f1.items() if value is not None}),
            **{name: sum(one[name] for one in each.values()) / len(each) for name in names},
        }


@dataclass(slots=True)
class NumberTally:
    """Of a task whose label is a number: sums of value v, label y, their squares and product, and of errors."""

    n: int = 0
    absolute: float = 0.0
    squared: float = 0.0
    v: float = 0.0
    y: float = 0.0
    vv: float = 0.0
    yy: float = 0.0
    vy: float = 0.0

    def add(self, label: LabelValue, output: Output) -> bool:
        v = output.value
        if v is None or not isinstance(label, float | int):
            return False
        self.n += 1
        self.absolute += abs(v - label)
        self.squared += (v - label) ** 2
        self.v += v
        self.y += label
        self.vv += v * v
        self.yy += label * label
        self.vy += v * label
        return True

    def plus(self, other: Tally) -> None:
        if not isinstance(other, NumberTally):
            raise TypeError(f"a {type(other).__name__} cannot be added to sums of numbers")
        for name in NumberTally.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def summary(self, besides: str) -> dict[str, float]:
        """Mean absolute and root mean squared error, the latter also of the best constant; correlation; concordance.

        Concordance (Lin 1989) is quadratic kappa where value and label are whole numbers.
        """
        if not self.n:
            return {}
        n = self.n
        variance_v = max(self.vv / n - (self.v / n) ** 2, 0.0)
        variance_y = max(self.yy / n - (self.y / n) ** 2, 0.0)
        covariance = self.vy / n - self.v * self.y / n**2
        apart = variance_v + variance_y + (self.v / n - self.y / n) ** 2
        return {
            "n": n,
            "mae": self.absolute / n,
            "rmse": sqrt(self.squared / n),
            "constant_rmse": sqrt(variance_y),
            "correlation": covariance / sqrt(variance_v * variance_y) if variance_v * variance_y > 0 else 0.0,
            "concordance": 2 * covariance / apart if apart > 0 else 1.0,
        }


KINDS: dict[str, type[ClassTally] | type[SeveralTally] | type[NumberTally]] = {
    "class": ClassTally,
    "several": SeveralTally,
    "number": NumberTally,
}


def kind_of(label: LabelValue) -> str:
    """Which of ``KINDS`` counts such a label."""
    return "class" if isinstance(label, str) else "several" if isinstance(label, tuple) else "number"


def restore(kind: str, counts: dict[str, Any]) -> Tally:
    """The tally whose fields ``counts`` holds, as JSON gives them. Raises KeyError, TypeError."""
    if kind == "several":
        counts = {**counts, "classes": {name: ClassTally(**one) for name, one in counts["classes"].items()}}
    return KINDS[kind](**counts)

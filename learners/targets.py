"""Labels as numbers that a loss can be computed against, and logits back as probabilities and values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from learners.tasks import Task
from schemas.feedback import LabelValue

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Targets:
    """The labels of one task in a batch. ``examples``: int64 [k], who has one; ``values``: float32 [k, logits].

    A categorical or multilabel label is ones at its classes; an ordinal one is, step by step, whether it lies above
    (Frank & Hall 2001); a regression one is its place between lowest and highest, in [0, 1].
    """

    task: Task
    examples: npt.NDArray[np.int64]
    values: Floats

    def __len__(self) -> int:
        return len(self.examples)


def targets(task: Task, labels: Sequence[Mapping[str, LabelValue]]) -> Targets:
    """The labels of ``task`` among those of a batch's examples. They have passed ``check_label``."""
    examples = [position for position, given in enumerate(labels) if task.name in given]
    values = np.zeros((len(examples), task.logits), dtype=np.float32)
    for row, position in enumerate(examples):
        values[row] = target(task, labels[position][task.name])
    return Targets(task, np.array(examples, dtype=np.int64), values)


def target(task: Task, value: LabelValue) -> Floats:
    """One label of ``task`` as float32 [logits]."""
    if task.range is None:
        chosen = {value} if isinstance(value, str) else set(_names(value))
        return np.array([name in chosen for name in task.classes], dtype=np.float32)
    lowest, highest = task.range
    number = float(value) if isinstance(value, int | float) else lowest
    if task.kind == "ordinal":
        return (number > lowest + np.arange(task.logits)).astype(np.float32)
    return np.array([(number - lowest) / (highest - lowest)], dtype=np.float32)


def _names(value: LabelValue) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else ()


def probabilities(task: Task, logits: Floats) -> Floats:
    """The probability of each level, float32 [n, levels] (multilabel: of each class apart); for regression [n, 0]."""
    if task.kind == "categorical":
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float32)
    above = sigmoid(logits)
    if task.kind == "multilabel":
        return above
    if task.kind == "regression":
        return np.zeros((len(logits), 0), dtype=np.float32)
    above = np.minimum.accumulate(above, axis=1)  # P(y > k) cannot rise with k
    edges = np.ones((len(above), 1), dtype=np.float32)
    return -np.diff(np.concatenate((edges, above, 0 * edges), axis=1), axis=1)


def values(task: Task, logits: Floats) -> npt.NDArray[np.float64] | None:
    """The expected number of a regression or ordinal task, float64 [n]; None for tasks of classes."""
    if task.range is None:
        return None
    lowest, highest = task.range
    if task.kind == "ordinal":
        return lowest + probabilities(task, logits) @ np.arange(task.logits + 1, dtype=np.float64)
    return lowest + (highest - lowest) * sigmoid(logits)[:, 0].astype(np.float64)


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(-logits)), without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)), dtype=np.float32)

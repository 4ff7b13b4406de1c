"""Two or more ways to answer, judged by the same labels: figures of confusion tables as arrays, and their differences.

What ways share, hard labels above all, cancels out of a difference; so far fewer labels show it than would show how
good either way is. Tables add up over units, so an interval costs the same for a hundred labels and for a million.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import xxhash

from learners.bootstrap import Interval, bootstrap_sums
from learners.judged import likeliest
from learners.tasks import Task
from schemas.feedback import LabelValue
from schemas.prediction import Output

BLOCKS = 64  # units, sessions for one, are dealt by hash into so many, which are resampled whole

Floats = npt.NDArray[np.float64]
Figure = Callable[[Floats], Floats]


def matthews(tables: Floats) -> Floats:
    """R_K (Gorodkin 2004, equation 8) of each table [..., true, said] of counts; 0 where it is undefined."""
    true, said, n = tables.sum(axis=-1), tables.sum(axis=-2), tables.sum(axis=(-2, -1))
    right = np.trace(tables, axis1=-2, axis2=-1)
    spread = (n**2 - (said**2).sum(axis=-1)) * (n**2 - (true**2).sum(axis=-1))
    covariance = n * right - (true * said).sum(axis=-1)
    return np.asarray(np.where(spread > 0, covariance / np.sqrt(np.where(spread > 0, spread, 1.0)), 0.0))


def macro_f1(tables: Floats, besides: int | None = None) -> Floats:
    """The mean F1 of the classes that were true or said but ``besides``, of each table [..., true, said]; 0 of none."""
    both = tables.sum(axis=-1) + tables.sum(axis=-2)
    right = np.diagonal(tables, axis1=-2, axis2=-1)
    came = both > 0
    if besides is not None:
        came[..., besides] = False
    f1 = np.where(came, 2 * right / np.maximum(both, 1), 0.0)
    return np.asarray(f1.sum(axis=-1) / np.maximum(came.sum(axis=-1), 1))


class Paired:
    """How often each class of each categorical task was answered with which, by way and by block of units."""

    def __init__(self, tasks: Sequence[Task], ways: int) -> None:
        self.classes = {task.name: task.classes for task in tasks if task.kind == "categorical"}
        self.ways = ways
        self.tables: dict[str, Floats] = {}

    def add(self, unit: str, labels: Mapping[str, LabelValue], said: Sequence[Mapping[str, Output]]) -> None:
        """Count the labels of one example of ``unit``, and what each way ``said`` of it; all ways answer, or none."""
        block = xxhash.xxh3_64_intdigest(unit.encode()) % BLOCKS
        for task, label in labels.items():
            answers = [likeliest(outputs.get(task)) for outputs in said]
            if task in self.classes and None not in answers:
                names = self.classes[task]
                empty = (BLOCKS, self.ways, len(names), len(names))
                table = self.tables.setdefault(task, np.zeros(empty))
                for way, answer in enumerate(answers):
                    table[block, way, names.index(str(label)), names.index(str(answer))] += 1

    def value(self, task: str, way: int, figure: Figure = matthews) -> float:
        """The figure of one way over all labels of ``task``."""
        return float(figure(self.tables[task][:, way].sum(axis=0)))

    def difference(self, task: str, way: int, seed: int, figure: Figure = matthews) -> Interval:
        """By how much ``way`` is above the first way, with its bootstrap interval over blocks of units."""
        met = self.tables[task][self.tables[task].any(axis=(1, 2, 3))]
        return bootstrap_sums(lambda total: float(figure(total[way]) - figure(total[0])), met, seed)


def in_words(difference: Interval) -> str:
    """What a difference shows: "better", "worse", or that it shows nothing; more is better."""
    if not difference.excludes_zero:
        return "no difference shown"
    return "better" if difference.value > 0 else "worse"

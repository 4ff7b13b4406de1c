"""Prequential quality read from the log: every label against the prediction made before it, beside two baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from learners.confusion import Matrix, f1_by_class, macro, matthews
from streams.hearing import DriftMark, Heard, TaskHeard

NONE_CLASS = "none"  # the class that macro F1 leaves out
WINDOW, FEWEST, MOST = 0.1, 200, 2_000  # labels a point of a curve: this share of all, within these bounds
POINTS = 150
FIRST = 30  # labels before a curve begins

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Score:
    """Of one way to predict, on all labels of a task. ``curve``: labels so far, MCC over the window that ends there."""

    mcc: float
    macro_f1: float
    accuracy: float
    last_quarter_mcc: float
    curve: tuple[tuple[int, float], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Quality:
    """A task whose label is one class, judged prequentially.

    ``majority`` says the class that was most often true so far; ``untrained`` is what a model says that has seen no
    label: every class is as likely as every other, so the first. Both see the same labels in the same order. Macro F1
    is over the classes besides "none". While fewer than ``window`` labels have come, a curve is over all of them.
    ``classes`` counts the labels.
    """

    task: str
    labels: int
    window: int
    model: Score
    majority: Score
    untrained: Score
    calibration_error: float
    classes: Mapping[str, int]
    drifts: tuple[DriftMark, ...] = ()


def quality(heard: Heard) -> dict[str, Quality]:
    """The quality by task, tasks with most labels first."""
    found = [_quality(task, of_task) for task, of_task in heard.tasks.items()]
    return {one.task: one for one in sorted(found, key=lambda one: -one.labels)}


def _quality(task: str, heard: TaskHeard) -> Quality:
    truth, names = np.array(heard.truth, np.int64), list(heard.numbers)
    window = int(np.clip(len(truth) * WINDOW, FEWEST, MOST))
    scores = {way: _score(truth, np.array(said, np.int64), names, window) for way, said in heard.said.items()}
    return Quality(
        task=task,
        labels=len(truth),
        window=window,
        model=scores["model"],
        majority=scores["majority"],
        untrained=scores["untrained"],
        calibration_error=heard.tally.summary(NONE_CLASS)["ece"],
        classes=dict(heard.counts.most_common()),
        drifts=tuple(heard.drifts),
    )


def _score(truth: Codes, said: Codes, names: Sequence[str], window: int) -> Score:
    everything = confusion(truth, said, names)
    last = len(truth) - max(len(truth) // 4, 1)
    step = max(len(truth) // POINTS, 1)
    spans = [(max(end - window, 0), end) for end in range(min(FIRST, len(truth)), len(truth) + 1, step)]
    return Score(
        mcc=matthews(everything),
        macro_f1=macro(f1_by_class(everything), NONE_CLASS),
        accuracy=float((truth == said).mean()),
        last_quarter_mcc=matthews(confusion(truth[last:], said[last:], names)),
        curve=tuple((b, round(matthews(confusion(truth[a:b], said[a:b], names)), 5)) for a, b in spans),
    )


def confusion(truth: Codes, said: Codes, names: Sequence[str]) -> Matrix:
    """How often each class that was true was predicted as which."""
    counts = np.bincount(truth * len(names) + said, minlength=len(names) ** 2).reshape(len(names), len(names))
    rows = zip(names, counts.tolist(), strict=True)
    return {true: {other: n for other, n in zip(names, row, strict=True) if n} for true, row in rows if any(row)}

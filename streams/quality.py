"""Prequential quality read from the log: every label against the prediction made before it, beside two baselines."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from learners.confusion import Matrix, f1_by_class, macro, matthews
from learners.metrics import Prequential
from schemas import codec, topics
from schemas.drift import Drift
from schemas.errors import BadEvent
from schemas.prediction import Example, Output
from streams.books import Books
from streams.ledger import attributes, hashed

NONE_CLASS = "none"  # the class that macro F1 leaves out
WINDOW, FEWEST, MOST = 0.1, 200, 2_000  # labels a point of a curve: this share of all, within these bounds
POINTS = 150
FIRST = 30  # labels before a curve begins


class DriftMark(NamedTuple):
    """After ``labels`` labels, ``detector`` saw the mean error go from ``before`` to ``after``."""

    labels: int
    detector: str
    before: float
    after: float


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


@dataclass
class _Seen:
    """The labels of one task as they come, and what each way to predict said; classes are numbered as they come."""

    names: dict[str, int] = field(default_factory=dict)
    truth: array[int] = field(default_factory=lambda: array("H"))
    said: dict[str, array[int]] = field(
        default_factory=lambda: {name: array("H") for name in ("model", "majority", "untrained")}
    )
    counts: Counter[str] = field(default_factory=Counter)
    drifts: list[DriftMark] = field(default_factory=list)

    def hear(self, label: str, probabilities: Mapping[str, float]) -> None:
        first = next(iter(probabilities))
        most = max(self.counts, key=self.counts.__getitem__) if self.counts else first
        said = {"model": max(probabilities, key=probabilities.__getitem__), "majority": most, "untrained": first}
        for name, found in said.items():
            self.said[name].append(self._code(found))
        self.truth.append(self._code(label))
        self.counts[label] += 1

    def _code(self, name: str) -> int:
        return self.names.setdefault(name, len(self.names))


def quality(books: Books) -> dict[str, Quality]:
    """The quality by task, tasks with most labels first. Raises BrokerError."""
    drifts = _drifts(books)
    seen: dict[str, _Seen] = {}
    prequential = Prequential()
    for id_, example in _labels(books):
        for task, label in example.labels.items():
            output = example.predicted.get(task)
            if not isinstance(label, str) or output is None or not output.probabilities:
                continue
            of_task = seen.setdefault(task, _Seen())
            of_task.hear(label, output.probabilities)
            prequential.update(task, label, Output.model_construct(probabilities=output.probabilities), example.delay_s)
            of_task.drifts += [mark._replace(labels=len(of_task.truth)) for t, mark in drifts.get(id_, ()) if t == task]
    found = [_quality(task, heard, prequential) for task, heard in seen.items()]
    return {one.task: one for one in sorted(found, key=lambda one: -one.labels)}


def _labels(books: Books) -> Iterator[tuple[int, Example]]:
    """The label examples of the model in log order, the first record of each id; with the id's hash."""
    met: set[int] = set()
    for record in books.all(topics.EXAMPLE):
        try:
            data = codec.decode_data(Example, record.value or b"")
        except BadEvent:
            continue
        id_ = hashed(attributes(record).id)
        if data.kind == "label" and data.model == books.model and id_ not in met:
            met.add(id_)
            yield id_, data


def _drifts(books: Books) -> dict[int, list[tuple[str, DriftMark]]]:
    """By the hash of the example at which it was seen: task and mark of each drift over everybody."""
    found: dict[int, list[tuple[str, DriftMark]]] = {}
    for record in books.all(topics.DRIFT):
        try:
            data = codec.decode_data(Drift, record.value or b"")
        except BadEvent:
            continue
        if data.model == books.model and data.cohort == "all":
            mark = DriftMark(0, data.detector, data.before, data.after)
            found.setdefault(hashed(data.example), []).append((data.task, mark))
    return found


def _quality(task: str, seen: _Seen, prequential: Prequential) -> Quality:
    truth, names = np.array(seen.truth, np.int64), list(seen.names)
    window = int(np.clip(len(truth) * WINDOW, FEWEST, MOST))
    scores = {name: _score(truth, np.array(said, np.int64), names, window) for name, said in seen.said.items()}
    summary = prequential.summary()[task]["all"]
    return Quality(
        task=task,
        labels=len(truth),
        window=window,
        model=scores["model"],
        majority=scores["majority"],
        untrained=scores["untrained"],
        calibration_error=summary["ece"],
        classes=dict(seen.counts.most_common()),
        drifts=tuple(seen.drifts),
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

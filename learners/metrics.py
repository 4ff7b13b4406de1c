"""Prequential metrics: each label judges the prediction that was made before the label was known.

Every label is counted in the bucket of its delay and in a pane of ``every`` labels. The last panes together are the
sliding window (Li 2005), exact whenever a pane is full; the state does not grow with the stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

import numpy as np
from numpy.typing import ArrayLike
from pydantic_core import from_json, to_json

from learners.confusion import f1_by_class, macro
from learners.tally import KINDS, ClassTally, Tally, kind_of, restore
from schemas.feedback import LabelValue
from schemas.prediction import Output

DELAYS_S = (60.0, 300.0, 1_800.0, 7_200.0, 86_400.0, float("inf"))
MOST_POINTS = 256  # of a curve: past it every second is dropped, and from then on points come half as often


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """``window`` labels slide by ``every`` labels; ``besides`` is the class that one of the F1 means leaves out."""

    window: int = 2_000
    every: int = 200
    besides: str = "none"


@dataclass(slots=True)
class Record:
    """What was counted of one task; ``unscored`` labels had no prediction to judge."""

    kind: str
    delays: dict[str, Tally] = field(default_factory=dict)
    panes: list[Tally] = field(default_factory=list)
    curve: dict[str, list[float]] = field(default_factory=dict)
    stride: int = 1
    unscored: int = 0

    def total(self) -> Tally:
        """The counts of all labels, however late."""
        return _sum(self.kind, self.delays.values())

    def recent(self) -> Tally:
        """The counts of the sliding window."""
        return _sum(self.kind, self.panes)

    def to_bytes(self) -> bytes:
        """This record as JSON: what a caller writes who stores each task by itself."""
        return to_json(self)

    @classmethod
    def from_bytes(cls, value: bytes) -> Record:
        """The inverse of ``to_bytes``. Raises ValueError, KeyError, TypeError."""
        return _restored(from_json(value))


def _sum(kind: str, tallies: Iterable[Tally]) -> Tally:
    total = KINDS[kind]()
    for tally in tallies:
        total.plus(tally)
    return total


def delay_bucket(delay_s: float) -> str:
    """The name of a delay's bucket: its upper edge in seconds, included; an early label's delay is negative."""
    return next(f"{edge:g}" for edge in DELAYS_S if delay_s <= edge)


class Prequential:
    """The metrics of every task of one model, in the order in which labels came."""

    def __init__(
        self, settings: MetricsSettings = MetricsSettings(), records: Mapping[str, Record] | None = None
    ) -> None:
        self.settings = settings
        self.records = dict(records or {})

    def update(self, task: str, label: LabelValue, output: Output | None, delay_s: float) -> None:
        """Count ``label``, which came ``delay_s`` seconds after the interaction, and the output that it judges.

        A label without an output, or of another kind than the task's first, counts as ``unscored``.
        """
        record = self.records.setdefault(task, Record(kind_of(label)))
        bucket = record.delays.setdefault(delay_bucket(delay_s), KINDS[record.kind]())
        if output is None or not bucket.add(label, output):
            record.unscored += 1
            return
        if not record.panes or record.panes[-1].n >= self.settings.every:
            record.panes.append(KINDS[record.kind]())
            del record.panes[: -max(self.settings.window // self.settings.every, 1)]
        record.panes[-1].add(label, output)
        if record.panes[-1].n == self.settings.every:
            self._point(record)

    def _point(self, record: Record) -> None:
        labels = sum(tally.n for tally in record.delays.values())
        if labels % (self.settings.every * record.stride):
            return
        point = record.recent().summary(self.settings.besides)
        for name, value in {**point, "n": labels}.items():
            record.curve.setdefault(name, []).append(round(value, 5))
        if len(record.curve["n"]) > MOST_POINTS:
            record.curve = {name: values[1::2] for name, values in record.curve.items()}
            record.stride *= 2

    def summary(self) -> dict[str, dict[str, dict[str, float]]]:
        """By task: the metrics of ``all`` labels, of the last ``window``, and of each delay as ``delay_<edge>``."""
        return {task: self._summary(record) for task, record in self.records.items()}

    def _summary(self, record: Record) -> dict[str, dict[str, float]]:
        buckets = {f"delay_{edge}": tally for edge, tally in record.delays.items()}
        tallies = {"all": record.total(), "window": record.recent(), **buckets}
        found = {name: tally.summary(self.settings.besides) for name, tally in tallies.items()}
        return {**found, "all": {**found["all"], "unscored": record.unscored}}

    def curve(self, task: str) -> dict[str, list[float]]:
        """Columns of equal length: ``n``, labels so far, and each metric over the window that ends there."""
        return {name: list(values) for name, values in self.records[task].curve.items()} if task in self.records else {}

    def to_bytes(self) -> bytes:
        """All records as JSON."""
        return to_json(self.records)

    @classmethod
    def from_bytes(cls, value: bytes, settings: MetricsSettings = MetricsSettings()) -> Prequential:
        """The inverse of ``to_bytes``. Raises ValueError, KeyError, TypeError."""
        return cls(settings, {task: _restored(found) for task, found in from_json(value).items()})


def _restored(found: dict[str, Any]) -> Record:
    delays = {edge: restore(found["kind"], counts) for edge, counts in found.pop("delays").items()}
    panes = [restore(found["kind"], counts) for counts in found.pop("panes")]
    return Record(**found, delays=delays, panes=panes)


class ClassScore(TypedDict):
    """Of one class: its F1 and how often it was true."""

    f1: float
    support: int


class Scores(TypedDict):
    """What ``scores`` says of a set of predictions."""

    n: int
    accuracy: float
    mcc: float
    macro_f1: float
    macro_f1_besides: float
    ece: float
    brier: float
    log_loss: float
    majority_accuracy: float
    per_class: dict[str, ClassScore]


def scores(
    labels: ArrayLike, probabilities: ArrayLike, classes: Sequence[str] | None = None, besides: str = "none"
) -> Scores:
    """The metrics of ``probabilities`` ([n, classes]) against ``labels`` ([n] of class indices), as prequential ones.

    ``classes`` names the columns, else they are numbered. Raises ValueError where the shapes do not fit.
    """
    truth, given = np.asarray(labels, dtype=np.int64), np.asarray(probabilities, dtype=np.float64)
    if given.ndim != 2 or truth.shape != given.shape[:1] or (classes is not None and len(classes) != given.shape[1]):
        raise ValueError(f"labels {truth.shape}, probabilities {given.shape}, {classes and len(classes)} class names")
    names = list(classes) if classes is not None else [str(i) for i in range(given.shape[1])]
    tally = ClassTally()
    for label, row in zip(truth.tolist(), given.tolist(), strict=True):
        tally.count(names[label], dict(zip(names, row, strict=True)))
    found, support = tally.summary(besides), {name: sum(row.values()) for name, row in tally.matrix.items()}
    f1 = f1_by_class(tally.matrix)
    return Scores(
        n=tally.n,
        accuracy=found.get("accuracy", 0.0),
        mcc=found.get("mcc", 0.0),
        macro_f1=found.get("macro_f1", 0.0),
        macro_f1_besides=macro(f1, besides),
        ece=found.get("ece", 0.0),
        brier=found.get("brier", 0.0),
        log_loss=found.get("log_loss", 0.0),
        majority_accuracy=found.get("majority_accuracy", 0.0),
        per_class={name: ClassScore(f1=value, support=support.get(name, 0)) for name, value in f1.items()},
    )

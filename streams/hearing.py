"""Labels as they come from the log, and what each way to predict had said of them: a few bytes a label."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from learners.tally import ClassTally
from streams.ledger import hashed

WAYS = ("model", "majority", "untrained")


class DriftMark(NamedTuple):
    """After ``labels`` labels, ``detector`` saw the mean error go from ``before`` to ``after``."""

    labels: int
    detector: str
    before: float
    after: float


@dataclass(slots=True)
class TaskHeard:
    """The labels of one task whose label is one class. Classes are numbered as they come; ``said`` is by ``WAYS``."""

    numbers: dict[str, int] = field(default_factory=dict)
    truth: array[int] = field(default_factory=lambda: array("H"))
    said: dict[str, array[int]] = field(default_factory=lambda: {way: array("H") for way in WAYS})
    counts: Counter[str] = field(default_factory=Counter)
    tally: ClassTally = field(default_factory=ClassTally)
    drifts: list[DriftMark] = field(default_factory=list)

    def hear(self, label: str, probabilities: Mapping[str, float]) -> None:
        """One label, and the model's distribution over the classes from before it was known.

        ``majority`` says the class that came most often so far. ``untrained`` says what a model says that has seen no
        label: every class is as likely as every other, so the first.
        """
        first = next(iter(probabilities))
        most = max(self.counts, key=self.counts.__getitem__) if self.counts else first
        for way, found in zip(WAYS, (max(probabilities, key=probabilities.__getitem__), most, first), strict=True):
            self.said[way].append(self._number(found))
        self.truth.append(self._number(label))
        self.counts[label] += 1
        self.tally.count(label, probabilities)

    def _number(self, name: str) -> int:
        return self.numbers.setdefault(name, len(self.numbers))


@dataclass(slots=True)
class Heard:
    """All labels of one model, by task, in log order."""

    tasks: dict[str, TaskHeard] = field(default_factory=dict)
    _drifts: dict[int, list[tuple[str, DriftMark]]] = field(default_factory=dict)

    def drift(self, data: Mapping[str, Any]) -> None:
        """Note a drift over everybody, before the example at which it was seen comes."""
        match data:
            case {"cohort": "all", "task": str(task), "detector": str(detector), "example": str(example),
                  "before": float(before) | int(before), "after": float(after) | int(after)}:  # fmt: skip
                mark = DriftMark(0, detector, before, after)
                self._drifts.setdefault(hashed(example), []).append((task, mark))

    def example(self, id_: int, data: Mapping[str, Any]) -> None:
        """Hear the labels of the example whose id hashes to ``id_``; those that no prediction stood against are not."""
        for task, label in pairs(data.get("labels")):
            predicted = dict(pairs(data.get("predicted"))).get(task)
            probabilities = dict(pairs(predicted.get("probabilities") if isinstance(predicted, dict) else None))
            if isinstance(label, str) and probabilities and all(map(_is_share, probabilities.values())):
                heard = self.tasks.setdefault(task, TaskHeard())
                heard.hear(label, probabilities)
                marks = (mark for of_task, mark in self._drifts.get(id_, ()) if of_task == task)
                heard.drifts += [mark._replace(labels=len(heard.truth)) for mark in marks]


def pairs(value: object) -> Iterable[tuple[str, Any]]:
    """The entries of a JSON object; none of anything else."""
    return value.items() if isinstance(value, dict) else ()


def _is_share(value: object) -> bool:
    return isinstance(value, float | int) and 0 <= value <= 1

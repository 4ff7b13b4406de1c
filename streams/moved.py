"""How far two models differ in what they say of the same inputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from learners.judged import likeliest
from learners.model import Model, served_view
from learners.predict import predict
from learners.tasks import Task
from schemas.prediction import ExampleInput, Output

CHUNK = 500  # inputs predicted at once


@dataclass(slots=True)
class Moved:
    """One task over ``n`` inputs: the sums of how far its answers lie apart, the largest, how many likeliest classes
    differ."""

    n: int = 0
    total: float = 0.0
    largest: float = 0.0
    changed: int = 0

    def add(self, distance: float, changed: bool) -> None:
        """Count one input."""
        self.n += 1
        self.total += distance
        self.largest = max(self.largest, distance)
        self.changed += changed

    def to_dict(self) -> dict[str, float]:
        """The ``mean`` and ``largest`` distance, in [0, 1]; ``changed``: the share whose likeliest class differs."""
        return {"n": self.n, "mean": self.total / self.n, "largest": self.largest, "changed": self.changed / self.n}


def moved(one: Model, other: Model, inputs: Iterable[ExampleInput]) -> Mapping[str, Moved]:
    """By task that either was taught, how far what ``other`` serves says of ``inputs`` lies from what ``one`` says: see
    ``distance``."""
    found: dict[str, Moved] = {}
    tasks = {task.name: task for task in one.settings.tasks if one.is_taught(task.name) or other.is_taught(task.name)}
    views = served_view(one), served_view(other)
    for chunk in _chunks(inputs):
        for said, says in zip(*(predict(view, chunk) for view in views), strict=True):
            for name, output in ((name, output) for name, output in said.items() if name in tasks):
                far, was = distance(tasks[name], output, says[name]), likeliest(output)
                found.setdefault(name, Moved()).add(far, was is not None and was != likeliest(says[name]))
    return found


def distance(task: Task, one: Output, other: Output) -> float:
    """Total variation, ½ Σ_c |p_c − q_c|, of a task of one class or level; of a multilabel task the mean over classes
    of |p_c − q_c|, each class' own total variation; of a number |a − b| over the width of its range. In [0, 1]."""
    p, q = one.probabilities, other.probabilities
    if p and q:
        apart = sum(abs(p[name] - q[name]) for name in p)
        return apart / len(p) if task.kind == "multilabel" else apart / 2
    if one.value is None or other.value is None or task.range is None:
        return 0.0
    low, high = task.range
    return abs(one.value - other.value) / (high - low)


def _chunks(inputs: Iterable[ExampleInput]) -> Iterator[list[ExampleInput]]:
    left = iter(inputs)
    while chunk := list(islice(left, CHUNK)):
        yield chunk

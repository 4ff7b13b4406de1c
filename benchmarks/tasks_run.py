"""One online pass over a stream of task sets: each example is new once; what was met is replayed hard.

Data sets of one or two thousand examples must be used well: a step has few new examples and many replayed ones, and
more steps replay alone. All that was met is remembered. Examples of rare classes weigh more, because macro F1 counts
classes alike.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.tasks_data import Part, tasks_of, together
from learners.agreement import spearman
from learners.encode import encode
from learners.fingerprint import fix_threads
from learners.fold import fold
from learners.model import Model, served_view
from learners.paired import macro_f1
from learners.predict import predict_arrays
from learners.request import NEW, REPLAYED
from learners.settings import LearningSettings
from learners.targets import targets, values
from learners.tasks import Task
from schemas.feedback import LabelValue
from schemas.training import TrainExample, TrainRequest

# Beside the defaults, which are for streams a hundred times longer: tables learn more slowly, what is dense faster,
# and the served average reaches further back. What was met early is no guide here: DER++ loses to plain replay.
SMALL: Mapping[str, object] = {
    "replay": "er", "linear_rate": 0.01, "embed_rate": 0.05, "dense_rate": 3e-3, "average_decay": 0.999,
}  # fmt: skip
ASKED = 512  # at once

Scores = dict[str, float]  # by task


class Pace(NamedTuple):
    """How a stream is learned: ``new`` and ``replayed`` examples of a step, then ``more`` steps that replay alone.

    ``balance``: an example of a class with share p of K classes so far weighs (1 / K p) ** balance.
    """

    new: int = 8
    replayed: int = 64
    more: int = 1
    balance: float = 1.0


@dataclass(frozen=True, slots=True)
class Job:
    """What to run: ``sets`` of ``cut`` alone or mixed, or ``in_turn``; ``name`` and ``fold`` say which it was."""

    name: str
    fold: int
    cut: Part
    sets: tuple[str, ...]
    settings: Mapping[str, object]
    pace: Pace
    in_turn: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a job: scores on what was kept back at the end, and in turn after each set."""

    name: str
    fold: int
    scores: tuple[Scores, ...]


def measured(job: Job) -> Run:
    """``job`` done; safe in a process of its own."""
    fix_threads()
    settings = LearningSettings.from_dict(
        {"tasks": [task.to_dict() for task in tasks_of(job.sets)], **SMALL, **job.settings}
    )
    learner = Learner(settings, job.pace, job.fold)
    learned = [job.cut.learn[name] for name in job.sets]
    probe = [example for name in job.sets for example in job.cut.probe[name]]
    scores = []
    for stream in learned if job.in_turn else [together(learned, job.fold)]:
        learner.meet(stream)
        scores.append(scored(learner.model, probe))
    return Run(job.name, job.fold, tuple(scores))


@dataclass(slots=True)
class Learner:
    """A model, all examples that it met, and how often each class of each task was among them."""

    settings: LearningSettings
    pace: Pace
    seed: int
    met: list[TrainExample] = field(default_factory=list)
    counts: dict[str, Counter[LabelValue]] = field(default_factory=dict)
    steps: int = 0
    draw: random.Random = field(init=False)
    model: Model = field(init=False)

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed)
        settings = self.settings.to_dict()
        genesis = TrainRequest(kind="genesis", model="bench", seed=self.seed, reason="bench", settings=settings)
        self.model, _ = fold(None, genesis, {}, "genesis", 0)

    def meet(self, stream: Sequence[TrainExample]) -> None:
        """Learn ``stream`` in one pass."""
        for first in range(0, len(stream), self.pace.new):
            new = stream[first : first + self.pace.new]
            self._count(new)
            self._step(new)
            self.met += new
            for _ in range(self.pace.more):
                self._step(())

    def _count(self, new: Sequence[TrainExample]) -> None:
        for example in new:
            for task, label in example.labels.items():
                self.counts.setdefault(task, Counter())[label] += 1

    def _step(self, new: Sequence[TrainExample]) -> None:
        replayed = self.draw.sample(self.met, min(self.pace.replayed, len(self.met)))
        self.steps += 1
        request = TrainRequest(
            kind="step", model="bench", seed=self.steps, reason="bench", new=tuple(new), replayed=tuple(replayed)
        )
        weights = {NEW: self._weights(new), REPLAYED: self._weights(replayed)}
        self.model, _ = fold(self.model, request, weights, f"step-{self.steps}", self.steps)

    def _weights(self, examples: Sequence[TrainExample]) -> npt.NDArray[np.float32]:
        return np.array([self.weight(example) for example in examples], dtype=np.float32)

    def weight(self, example: TrainExample) -> float:
        """The mean weight of an example's classes; of what is no class one."""
        return float(np.mean([self._weight(task, label) for task, label in example.labels.items()]))

    def _weight(self, task: str, label: LabelValue) -> float:
        if not isinstance(label, str):
            return 1.0
        counts = self.counts[task]
        return float((counts.total() / (len(counts) * counts[label])) ** self.pace.balance)


def scored(model: Model, probe: Sequence[TrainExample]) -> Scores:
    """What the served average makes of ``probe``: Spearman's correlation of numbers, macro F1 of classes, by task."""
    said: dict[str, list[npt.NDArray[np.float32]]] = {}
    for first in range(0, len(probe), ASKED):
        some = encode([example.input for example in probe[first : first + ASKED]], model.settings)
        for name, logits in predict_arrays(served_view(model), some).items():
            said.setdefault(name, []).append(logits)
    labels = [example.labels for example in probe]
    found = {}
    for task in model.settings.tasks:
        given = targets(task, labels)
        found[task.name] = 0.0  # of a task that was never taught
        if task.name in said and len(given):
            found[task.name] = score(task, np.concatenate(said[task.name])[given.examples], given.values)
    return found


def score(task: Task, logits: npt.NDArray[np.float32], truth: npt.NDArray[np.float32]) -> float:
    """Spearman's correlation with the label, or the mean F1 over classes, of logits [n, logits] and targets alike."""
    if (numbers := values(task, logits)) is not None:
        return spearman(numbers, truth.sum(axis=1))
    if task.kind == "multilabel":
        said, true = logits > 0, truth > 0
        f1 = 2 * (said & true).sum(axis=0) / np.maximum(said.sum(axis=0) + true.sum(axis=0), 1)
        return float(f1.mean())
    table = np.zeros((len(task.classes), len(task.classes)))
    np.add.at(table, (truth.argmax(axis=1), logits.argmax(axis=1)), 1)
    return float(macro_f1(table))

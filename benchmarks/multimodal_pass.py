"""One online pass: every moment is predicted when it comes, every label is learned from when it comes, once.

A label's prediction is the one made when its moment came. Beside the model, as in curation: how far each rater can be
trusted, how late labels are, whether errors rise, whether what is said to the model changes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from benchmarks.multimodal_stream import OPEN, QUESTION, Moment
from learners.delays import Delays
from learners.drift import DriftMonitor
from learners.entry import Entry, MemorySettings, entry
from learners.fold import fold
from learners.importance import disagreement
from learners.memory import Memory
from learners.model import Model, served_view
from learners.population import Population
from learners.predict import predict
from learners.replay import sample
from learners.request import NEW, REPLAYED
from learners.settings import LearningSettings
from learners.sketch import sketch
from learners.trust import Trust
from schemas.prediction import Output
from schemas.training import TrainExample, TrainRequest

NEW_EXAMPLES, REPLAYED_EXAMPLES = 32, 32
MEMORY = MemorySettings()
CALLED, TRULY = "as raters call them", "as they are"  # what an open question is
CLASSES = 3  # of question types
WINDOW_S = 600.0  # of the rate of open questions: ten minutes, renewed every ten
SETTLED_S = 3_600.0  # from when rates are asked for: the delays are known by then


class Rate(NamedTuple):
    """Of the moments of one window, at its end: how many there are, and the share of open questions: of all moments, of
    those called open of the labels that came by then, and of all by what is known by then of delays and raters."""

    moments: int
    truth: float
    naive: float
    corrected: float


class Alarm(NamedTuple):
    """A detector saw a change at ``at_s``."""

    at_s: float
    what: str


@dataclass
class Lesson:
    """A pass under way: the moments ahead, and all that was learned of those behind."""

    moments: Sequence[Moment]
    lines: int
    seed: int
    model: Model
    memory: Memory = field(default_factory=lambda: Memory.of(MEMORY))
    kept: dict[str, TrainExample] = field(default_factory=dict)
    predicted: list[dict[str, Output]] = field(default_factory=list)
    trust: Trust = field(default_factory=Trust)
    delays: Delays = field(default_factory=Delays)
    errors: DriftMonitor = field(default_factory=DriftMonitor)
    population: Population = field(default_factory=Population)
    heard: set[int] = field(default_factory=set)
    rates: dict[str, list[Rate]] = field(default_factory=lambda: {CALLED: [], TRULY: []})
    alarms: list[Alarm] = field(default_factory=list)
    labels: int = 0

    @classmethod
    def begin(cls, moments: Sequence[Moment], lines: int, settings: LearningSettings, seed: int) -> Lesson:
        """Before the first of ``lines`` moments; those after them are never met."""
        manifest = TrainRequest(
            kind="genesis", model="multimodal", seed=seed, reason="bench", settings=settings.to_dict()
        )
        return cls(moments, lines, seed, fold(None, manifest, {}, "genesis", 0)[0])

    def due(self) -> list[int]:
        """The moments whose labels come before the pass ends, in that order."""
        end = self.moments[self.lines - 1].at_s
        came = [
            (m.due_s, n) for n, m in enumerate(self.moments[: self.lines]) if m.due_s is not None and m.due_s <= end
        ]
        return [n for _, n in sorted(came)]

    def go(self, meet: Callable[[int], None]) -> None:
        """Take the whole pass. ``meet`` is told before every step how many moments have come."""
        due = self.due()
        for first in range(0, len(due), NEW_EXAMPLES):
            came = due[first : first + NEW_EXAMPLES]
            self._predict(max(self._due_s(n) for n in came))
            meet(len(self.predicted))
            weights = [self._hear(n) for n in came]
            self._learn(came, weights)

    def _due_s(self, number: int) -> float:
        return self.moments[number].due_s or 0.0

    def _predict(self, until_s: float) -> None:
        """Predict what has come by ``until_s`` with the model that serves."""
        begun = len(self.predicted)
        came = self.moments[begun : min(bisect_right(self.moments, until_s, key=lambda m: m.at_s), self.lines)]
        self.predicted += predict(served_view(self.model), [moment.example.input for moment in came])
        for moment in came:
            for seen in self.population.update(moment.example.id, sketch(moment.example.input)):
                self.alarms.append(Alarm(moment.at_s, f"{seen.detector} of {seen.part}"))

    def _hear(self, number: int) -> float:
        """Judge by a label that comes, and be judged by it; the weight of its example."""
        now, moment, said = self._due_s(number), self.moments[number], self.predicted[number]
        self._ask_rates(now)
        self.labels += 1
        example = moment.example
        for task in self.model.settings.tasks:
            label = example.labels[task.name]
            lowest, highest = task.range or (0.0, 1.0)
            error = disagreement(said[task.name], label, highest - lowest)
            for seen in self.errors.update(task.name, None, error, example.id):
                if seen.after > seen.before:  # a fall is what learning is for
                    self.alarms.append(Alarm(now, f"{seen.detector} of errors in {task.name}"))
        self.heard.add(number)
        self.trust.update(example.rater, QUESTION, example.labels[QUESTION], said[QUESTION])
        self.delays.update(QUESTION, _called(moment), moment.at_s, example.delay_s)
        return self.trust.weight(example.rater)

    def _ask_rates(self, now: float) -> None:
        """Ask at the end of every window that ends by ``now``, in turn."""
        while (end := SETTLED_S + WINDOW_S * (len(self.rates[CALLED]) + 1)) <= now:
            within = range(*(bisect_right(self.moments, at, key=lambda m: m.at_s) for at in (end - WINDOW_S, end)))
            called = [_called(self.moments[n]) for n in within]
            naive = _open([_called(self.moments[n]) for n in within if n in self.heard])
            corrected = self.delays.rates(QUESTION, end, end - WINDOW_S).get(OPEN, 0.0)
            self.rates[CALLED].append(Rate(len(within), _open(called), naive, corrected))
            truth = _open([self.moments[n].truth for n in within])
            right = without_mistakes(corrected, self._reliability(), CLASSES)
            self.rates[TRULY].append(Rate(len(within), truth, naive, right))

    def _reliability(self) -> float:
        """How often a label is right, as far as is known."""
        counts = {rater: count.n for rater, count in self.trust.counts.items()}
        return sum(n * self.trust.reliability(rater) for rater, n in counts.items()) / (sum(counts.values()) or 1.0)

    def _learn(self, came: Sequence[int], weights: Sequence[float]) -> None:
        """One step of the fold from these examples, beside as many remembered ones; then they may be remembered too."""
        again = sample(self.memory, REPLAYED_EXAMPLES, self.model.steps)
        new = tuple(self.moments[n].example for n in came)
        replayed = tuple(self.kept[id_] for id_ in again.ids)
        request = TrainRequest(
            kind="step", model="multimodal", seed=self.model.steps, reason="bench", new=new, replayed=replayed
        )
        rehearsed = [weight * self.trust.weight(one.rater) for one, weight in zip(replayed, again.weights, strict=True)]
        arrays = {NEW: np.array(weights, dtype=np.float32), REPLAYED: np.array(rehearsed, dtype=np.float32)}
        at = self.model.next_offset
        self.model, _ = fold(self.model, request, arrays, f"request-{at}", at)
        self.kept |= {one.id: one for one in new}
        left = self.memory.admit(*(_entry(self.moments[n]) for n in came))
        for id_ in (*left, *(one.id for one in new if one.id not in self.memory.entries)):
            self.kept.pop(id_, None)


def _entry(moment: Moment) -> Entry:
    """All moments are worth the same."""
    one = moment.example
    came_ms = round(1000 * (moment.due_s or 0.0))
    return entry(MEMORY, one.id, 1.0, _called(moment), one.input.learner, one.rater, came_ms)


def without_mistakes(rate: float, right: float, classes: int) -> float:
    """The share of a class that a share ``rate`` of labels name, where raters are right with probability ``right`` and
    else name any other of ``classes`` (Rogan & Gladen 1978); within [0, 1], and ``rate`` itself where they only guess.
    """
    wrong = (1 - right) / (classes - 1)
    return min(max((rate - wrong) / (right - wrong), 0.0), 1.0) if right > wrong else rate


def _called(moment: Moment) -> str:
    return str(moment.example.labels[QUESTION])


def _open(names: Sequence[str]) -> float:
    return names.count(OPEN) / max(len(names), 1)

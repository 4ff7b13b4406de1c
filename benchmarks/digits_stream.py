"""Split-Digits as a stream: scikit-learn's 1,797 digits in five tasks of two classes, met once, ten at a time.

Each digit is an example like any other: 64 pixels as the audio vector of an input without a word. In the
class-incremental setting the label is the digit, one of ten, in the domain-incremental one its parity (van de Ven,
Tuytelaars & Tolias 2022): there the two answers stay the same and what they are told by changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from learners.tasks import Task
from schemas.interaction import Payload
from schemas.prediction import ExampleInput
from schemas.training import TrainExample

Scenario = Literal["class_incremental", "domain_incremental"]
SCENARIOS: tuple[Scenario, ...] = ("class_incremental", "domain_incremental")
TASKS: tuple[tuple[int, int], ...] = ((0, 1), (2, 3), (4, 5), (6, 7), (8, 9))
PIXELS, TOGETHER, CAPACITY, PROBE = 64, 10, 100, 0.25
Ids = npt.NDArray[np.int64]
Draws = np.random.Generator


class Digits(NamedTuple):
    """pixels: float64 [n, 64]; classes: int64 [n] in 0–9; learn, probe: indices of the two parts."""

    pixels: npt.NDArray[np.float64]
    classes: Ids
    learn: Ids
    probe: Ids


@dataclass(frozen=True, slots=True)
class Stream:
    """One run's digits in the order in which they are met. ``parts`` are the tasks, or of ``iid`` five equal stretches.

    ``examples`` hold all digits, by their index; ``probes`` are the indices of each task's digits that are never met.
    """

    task: Task
    digits: Digits
    examples: Sequence[TrainExample]
    parts: Sequence[Ids]
    probes: Sequence[Ids]

    def batches(self, part: int) -> Iterator[Ids]:
        """The digits of a part in as few batches as hold ``TOGETHER`` each at most, of equal size give or take one.

        A rest of two digits, stepped at the full rate, can undo a task: over 32 runs rests raised the deviation of ER
        from 5 to 9 points.
        """
        ids = self.parts[part]
        return iter(np.array_split(ids, -(-len(ids) // TOGETHER)))

    def answers(self, ids: Ids) -> Ids:
        """The place of each one's label among the task's classes."""
        return self.digits.classes[ids] % len(self.task.classes)


def deal(seed: int) -> Digits:
    """All digits, a quarter of each class kept for the probe; pixels have mean 0 and variance 1 over the others."""
    pixels, classes = _loaded()
    learn, probe = train_test_split(np.arange(len(classes)), test_size=PROBE, random_state=seed, stratify=classes)
    return Digits((pixels - pixels[learn].mean()) / pixels[learn].std(), classes, learn, probe)


@cache
def _loaded() -> tuple[npt.NDArray[np.float64], Ids]:
    pixels, classes = load_digits(return_X_y=True)
    return pixels, classes


def stream(scenario: Scenario, seed: int, *, iid: bool = False) -> Stream:
    """The run number ``seed``; ``iid`` meets the same digits shuffled, as if there were no tasks."""
    digits, draws = deal(seed), np.random.default_rng([seed, 1])
    task = task_of(scenario)
    mixed = draws.permutation(digits.learn)
    in_turn = [mixed[np.isin(digits.classes[mixed], pair)] for pair in TASKS]
    return Stream(
        task=task,
        digits=digits,
        examples=_examples(digits, task),
        parts=np.array_split(mixed, len(TASKS)) if iid else in_turn,
        probes=[digits.probe[np.isin(digits.classes[digits.probe], pair)] for pair in TASKS],
    )


def task_of(scenario: Scenario) -> Task:
    """What is asked of a digit."""
    classes = tuple("0123456789") if scenario == "class_incremental" else ("even", "odd")
    return Task(name="digit", kind="categorical", classes=classes)


def _examples(digits: Digits, task: Task) -> list[TrainExample]:
    return [_example(n, row, int(kind), task) for n, (row, kind) in enumerate(zip(*digits[:2], strict=True))]


def _example(n: int, pixels: npt.NDArray[np.float64], kind: int, task: Task) -> TrainExample:
    label = task.classes[kind % len(task.classes)]
    seen = ExampleInput(session="digits", role="unknown", payload=Payload(audio=tuple(pixels.tolist())))
    name = f"digit-{n}"
    return TrainExample(id=name, interaction=name, feedback=name, rater="nist", input=seen, labels={task.name: label})


class Reservoir:
    """A uniform sample of what was offered, at most ``CAPACITY`` (Vitter 1985, algorithm R)."""

    def __init__(self, draws: Draws) -> None:
        self.draws, self.held, self.offered = draws, list[int](), 0

    def put(self, ids: Ids) -> None:
        """Offer ``ids``, one after another."""
        for at in ids.tolist():
            self.offered += 1
            place = len(self.held) if len(self.held) < CAPACITY else int(self.draws.integers(self.offered))
            if place < CAPACITY:
                self.held[place : place + 1] = [at]

    def draw(self) -> Ids:
        """``TOGETHER`` of those held, or all where they are fewer, each once."""
        held = np.array(self.held, dtype=np.int64)
        return self.draws.choice(held, min(TOGETHER, len(held)), replace=False)

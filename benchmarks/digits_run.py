"""One run over Split-Digits: the accuracy on each task's probe after each part of the stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from benchmarks import digits_slda
from benchmarks.digits_methods import METHODS, Method
from benchmarks.digits_stream import CAPACITY, PIXELS, TASKS, TOGETHER, Ids, Reservoir, Scenario, Stream, stream
from learners.encode import encode
from learners.entry import MemorySettings, entry
from learners.fold import fold
from learners.memory import Memory
from learners.model import Dense, Floats, Model, served_view
from learners.predict import predict_arrays
from learners.replay import sample
from learners.request import NEW, REPLAYED
from schemas.training import TrainExample, TrainRequest


class Remembered(Protocol):
    """What is kept of the stream for replay."""

    def put(self, ids: Ids) -> None:
        """Offer ``ids``."""

    def draw(self) -> tuple[Ids, Floats]:
        """Some of those kept, and the weight of each one's loss."""


class Plain:
    """A uniform reservoir, drawn from uniformly."""

    def __init__(self, seed: int) -> None:
        self.reservoir = Reservoir(np.random.default_rng([seed, 2]))

    def put(self, ids: Ids) -> None:
        """Offer ``ids``."""
        self.reservoir.put(ids)

    def draw(self) -> tuple[Ids, Floats]:
        """Uniformly, with weight one."""
        ids = self.reservoir.draw()
        return ids, np.ones(len(ids), dtype=np.float32)


class Curated:
    """The memory that curation keeps, a share for each class, and its replay. The class is the label, not the task."""

    def __init__(self, met: Stream, seed: int) -> None:
        self.met, self.draws = met, np.random.default_rng([seed, 2])
        shares = MemorySettings(CAPACITY, learner_share=1.0, rater_share=1.0, classes=len(met.task.classes))
        self.memory = Memory.of(shares)

    def put(self, ids: Ids) -> None:
        """Offer ``ids``, all alike in importance."""
        held = self.memory.settings
        labels = self.met.answers(ids)
        offered = [entry(held, str(at), 0.5, str(label), None, None, 0) for at, label in zip(ids, labels, strict=True)]
        self.memory.admit(*offered)

    def draw(self) -> tuple[Ids, Floats]:
        """Half uniformly, half by priority, with the weights that correct for it."""
        ids, weights = sample(self.memory, TOGETHER, int(self.draws.integers(2**31)))
        return np.array(ids, dtype=np.int64), np.array(weights, dtype=np.float32)


def matrix(scenario: Scenario, name: str, seed: int) -> list[list[float]]:
    """R[i][j], the accuracy on task j's probe after part i of the stream number ``seed``."""
    if name == "slda":
        return list(digits_slda.accuracies(stream(scenario, seed)))
    method = METHODS[name]
    return list(accuracies(method, stream(scenario, seed, iid=method.iid), scenario, seed))


def accuracies(method: Method, met: Stream, scenario: Scenario, seed: int) -> Iterator[list[float]]:
    """Of each task's probe after each part of the stream, by the served weights."""
    model = begun(method, scenario, seed)
    memory: Remembered = Curated(met, seed) if method.curated else Plain(seed)
    for part in range(len(TASKS)):
        model = _learned(model, method, met, part, memory)
        yield [_accuracy(model, met, ids) for ids in met.probes]


def begun(method: Method, scenario: Scenario, seed: int) -> Model:
    """A model that knows nothing, with the references' first weights: uniform within ±1/√inputs, biases too (torch's
    ``Linear``). What is not a pixel begins at zero, and stays there but for what is the same for every digit.
    """
    settings = method.settings(scenario).to_dict()
    genesis = TrainRequest(kind="genesis", model="digits", seed=seed, reason="bench", settings=settings)
    model, _ = fold(None, genesis, {}, "genesis", 0)
    draws = np.random.default_rng([seed, 3])
    dense = {name: np.zeros(held.served.shape, dtype=np.float32) for name, held in model.dense.items()}
    for name, value in dense.items():
        pixels = slice(-PIXELS - 1, -1)  # audio comes last of what the trunk sees, before its presence
        inputs = PIXELS if name.startswith("trunk.") else len(dense["trunk.bias"])
        at = pixels if name == "trunk.weight" else slice(None)
        value[at] = draws.uniform(-1, 1, value[at].shape) / np.sqrt(inputs)
    return replace(model, dense={name: Dense.at(value) for name, value in dense.items()})


def _learned(model: Model, method: Method, met: Stream, part: int, memory: Remembered) -> Model:
    """The model after a part of the stream, each batch beside what is replayed of the earlier ones."""
    batches = list(met.batches(part))
    for ids in batches:
        again, weights = memory.draw() if method.replay != "none" else (ids[:0], np.ones(0, dtype=np.float32))
        last = ids is batches[-1]
        if consolidate := last and method.consolidates:
            again = met.parts[part]  # at weight zero: for the Fisher information alone
            weights = np.zeros(len(again), dtype=np.float32)
        model = _step(model, _at(met, ids), _at(met, again), weights, consolidate=consolidate)
        memory.put(ids)
    return model


def _at(met: Stream, ids: Ids) -> tuple[TrainExample, ...]:
    return tuple(met.examples[at] for at in ids)


def _step(
    model: Model, new: Sequence[TrainExample], replayed: Sequence[TrainExample], weights: Floats, *, consolidate: bool
) -> Model:
    request = TrainRequest.model_construct(
        kind="step", model="digits", seed=model.steps, reason="bench", new=tuple(new), replayed=tuple(replayed),
        settings=None, version=None, consolidate=consolidate,
    )  # fmt: skip
    given = {NEW: np.ones(len(new), dtype=np.float32), REPLAYED: weights}
    return fold(model, request, given, f"step-{model.steps}", model.next_offset)[0]


def _accuracy(model: Model, met: Stream, ids: Ids) -> float:
    features = encode([met.examples[at].input for at in ids], model.settings)
    said = predict_arrays(served_view(model), features)[met.task.name].argmax(axis=1)
    return float((said == met.answers(ids)).mean())

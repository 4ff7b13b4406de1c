"""Streaming linear discriminant analysis (Hayes & Kanan 2020): a baseline without gradients, one example at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from benchmarks.digits_stream import TASKS, Stream

Floats = npt.NDArray[np.float64]
SHRINKAGE = 1e-4


class StreamingLda:
    """A running mean a class and one running covariance of what lies around them."""

    def __init__(self, classes: int, inputs: int) -> None:
        self.means, self.counts = np.zeros((classes, inputs)), np.zeros(classes)
        self.covariance = np.zeros((inputs, inputs))

    def learn(self, x: Floats, y: int) -> None:
        """Take one example in: Σ ← (t Σ + Δ) / (t + 1) with Δ = t / (t + 1) · (x − μ)(x − μ)ᵀ (eq. 2 and 3), then μ."""
        t, away = self.counts.sum(), x - self.means[y]
        self.covariance = (t * self.covariance + t / (t + 1) * np.outer(away, away)) / (t + 1)
        self.means[y] += away / (self.counts[y] + 1)
        self.counts[y] += 1

    def predict(self, x: Floats) -> npt.NDArray[np.int64]:
        """The class of each row of ``x`` among those met: the largest of Λμ·x − ½ μ·Λμ, Λ the shrunk inverse of Σ."""
        size = len(self.covariance)
        precision = np.linalg.inv((1 - SHRINKAGE) * self.covariance + SHRINKAGE * np.eye(size))
        weights = self.means @ precision
        scores = x @ weights.T - 0.5 * (weights * self.means).sum(axis=1)
        return np.asarray(np.where(self.counts > 0, scores, -np.inf).argmax(axis=1), dtype=np.int64)


def accuracies(met: Stream) -> Iterator[list[float]]:
    """Of each task's probe after each part of the stream."""
    model = StreamingLda(len(met.task.classes), met.digits.pixels.shape[1])
    for part in range(len(TASKS)):
        _learn_all(model, met, np.concatenate(list(met.batches(part))))
        yield [float((model.predict(met.digits.pixels[ids]) == met.answers(ids)).mean()) for ids in met.probes]


def _learn_all(model: StreamingLda, met: Stream, ids: Iterable[int]) -> None:
    for at in ids:
        model.learn(met.digits.pixels[at], int(met.digits.classes[at] % len(met.task.classes)))

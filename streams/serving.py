"""The model as the session role sees it: predictions and a version, from the first event on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from learners.predict import predict
from learners.served import Served
from learners.tasks import Task
from schemas.prediction import ExampleInput, Output


@dataclass(frozen=True, slots=True)
class ServedPredictor:
    """Predicts with served weights."""

    served: Served

    @property
    def version(self) -> str:
        """``lineage:next-offset`` of the weights."""
        return self.served.version

    def predict(self, inputs: Sequence[ExampleInput]) -> list[dict[str, Output]]:
        """One dictionary of outputs by task for each input."""
        return predict(self.served, inputs)


@dataclass(frozen=True, slots=True)
class Prior:
    """What is said before there is any model: every class is as likely as every other. Nothing waits for training."""

    tasks: tuple[Task, ...]
    version: str = "prior:0"

    def predict(self, inputs: Sequence[ExampleInput]) -> list[dict[str, Output]]:
        """The uniform outputs of the tasks that apply to each input's role."""
        return [self._of(seen.role) for seen in inputs]

    def _of(self, role: str) -> dict[str, Output]:
        asked = [task for task in self.tasks if task.role in (None, role)]
        return {task.name: _uniform(task) for task in asked}


def _uniform(task: Task) -> Output:
    middle = sum(task.range) / 2 if task.range else None
    share = 0.5 if task.kind == "multilabel" else round(1 / max(len(task.levels), 1), 4)
    return Output.model_construct(
        probabilities=dict.fromkeys(task.levels, share) if task.levels else None, value=middle
    )

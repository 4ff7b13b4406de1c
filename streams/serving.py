"""The roles that hold a model: what the session role predicts with, and the worker that makes it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from learners.predict import predict
from learners.served import Served
from learners.tasks import Task
from schemas.prediction import ExampleInput, Output
from streams.assembly import Workshop, learning_of
from streams.blobs import Blobs
from streams.engines.broker import Broker
from streams.engines.shard import RoleAt
from streams.metrics import Metrics
from streams.roles import ROLES
from streams.score import Predictor, Scoring, scales_of
from streams.session import Session, screen
from streams.settings import Settings
from streams.watcher import ModelWatcher
from streams.worker import Cadence, Worker


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


def session_watcher(settings: Settings, broker: Broker, blobs: Blobs, metrics: Metrics) -> ModelWatcher[Predictor]:
    """The watcher that keeps the session role's model fresh, and measures how fresh it is."""

    def swapped(served: Served, arrivals: list[int]) -> None:
        now = time.time()
        metrics.gauge("model_offset", served.next_offset, role="session")
        metrics.gauge("model_swapped_timestamp_seconds", now, role="session")
        for arrived_ms in arrivals:
            metrics.observe("feedback_to_model_seconds", now - arrived_ms / 1000, role="session")

    def refused() -> None:
        metrics.count("models_refused", role="session")

    return ModelWatcher(broker, blobs, settings.tenant, settings.model, ServedPredictor, swapped, on_refusal=refused)


def session_role(settings: Settings, watcher: ModelWatcher[Predictor]) -> RoleAt:
    """The session role, predicting with what ``watcher`` serves."""
    learning = learning_of(settings)
    prior = Prior(learning.tasks)
    scales = scales_of(learning.tasks)
    scoring = Scoring(settings.model, learning.context_turns, settings.horizon_s, scales, settings.shed_after_s)
    processor = Session(scoring, lambda: watcher.current.model if watcher.current else prior)
    role = ROLES["session"]
    check = screen({task.name: task for task in learning.tasks})
    return RoleAt(settings.tenant, role.name, role.inputs, role.outputs, processor, check)


def worker_of(shop: Workshop, partition: int) -> Worker:
    """The worker of one partition of train requests."""
    settings = shop.settings
    cadence = Cadence(
        settings.delta_s,
        settings.delta_bytes_per_s,
        settings.snapshot_steps,
        settings.snapshot_minutes * 60,
    )
    return Worker(
        shop.broker,
        shop.broker.producer(),
        shop.blobs,
        shop.metrics,
        shop.clock,
        settings.tenant,
        settings.model,
        cadence,
        partition,
    )

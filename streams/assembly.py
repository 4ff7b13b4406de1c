"""From settings to roles at work: which processor, store, broker and watcher a role is made of."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from learners.memory import MemorySettings
from learners.served import Served
from learners.settings import LearningSettings
from learners.tasks import default_tasks, load_tasks
from schemas.errors import ConfigurationError
from schemas.topics import Topic
from state.redis import RedisStore
from state.store import Shard, Store
from streams.blobs import Blobs
from streams.curate import Curate, Curation
from streams.engines.broker import Broker
from streams.engines.lanes import Runner
from streams.engines.shard import RoleAt, ShardRunner
from streams.metrics import Metrics, RoleMetrics
from streams.roles import ROLES
from streams.score import Predictor, Scoring
from streams.serving import Prior, ServedPredictor
from streams.session import Session, screen
from streams.settings import Settings
from streams.watcher import ModelWatcher
from streams.worker import Cadence, Worker


def learning_of(settings: Settings) -> LearningSettings:
    """The learning settings of a genesis. Raises ConfigurationError."""
    tasks = load_tasks(settings.tasks) if settings.tasks else default_tasks()
    given = {"tasks": [task.to_dict() for task in tasks], **settings.learning}
    return LearningSettings.from_dict(given)


def memory_of(settings: Settings) -> MemorySettings:
    """The memory's settings. Raises ConfigurationError."""
    try:
        return MemorySettings(**settings.memory)  # type: ignore[arg-type]  # from TOML or the environment
    except TypeError as error:
        raise ConfigurationError(f"memory: {error}") from error


def partitions_of(settings: Settings) -> Callable[[Topic], int]:
    """How many partitions each topic is made with."""
    return lambda topic: settings.partitions if topic.per_session else 1


def connect_store(settings: Settings) -> Store:
    """The store at ``settings.redis``."""
    return RedisStore.connect(settings.redis, cluster=settings.redis_cluster, replicas=settings.redis_replicas)


def session_watcher(settings: Settings, broker: Broker, blobs: Blobs, metrics: Metrics) -> ModelWatcher[Predictor]:
    """The watcher that keeps the session role's model fresh, and measures how fresh it is."""

    def swapped(served: Served, arrivals: list[int]) -> None:
        now = time.time()
        metrics.gauge("model_offset", served.next_offset, role="session")
        metrics.gauge("model_swapped_timestamp_seconds", now, role="session")
        for arrived_ms in arrivals:
            metrics.observe("feedback_to_model_seconds", now - arrived_ms / 1000, role="session")

    return ModelWatcher(broker, blobs, settings.model, ServedPredictor, swapped)


def session_role(settings: Settings, watcher: ModelWatcher[Predictor]) -> RoleAt:
    """The session role, predicting with what ``watcher`` serves."""
    tasks = learning_of(settings).tasks
    prior = Prior(tasks)
    scoring = Scoring(settings.model, horizon_s=settings.horizon_s)
    processor = Session(scoring, lambda: watcher.current.model if watcher.current else prior)
    role = ROLES["session"]
    check = screen({task.name: task for task in tasks})
    return RoleAt(settings.tenant, role.name, role.inputs, role.outputs, processor, check)


def curate_role(settings: Settings) -> RoleAt:
    """The curate role."""
    curation = Curation(
        settings.model,
        learning_of(settings),
        memory_of(settings),
        settings.consent,
        settings.new_per_request,
        settings.replayed_per_request,
        settings.request_wait_s,
        settings.horizon_s,
    )
    role = ROLES["curate"]
    return RoleAt(settings.tenant, role.name, role.inputs, role.outputs, Curate(curation))


@dataclass(frozen=True)
class Workshop:
    """What the roles of one process share."""

    settings: Settings
    broker: Broker
    store: Store
    blobs: Blobs
    metrics: Metrics

    def owner(self, at: RoleAt) -> Callable[[int], Runner]:
        """How a partition of a role is taken: a token, then what the log already holds, then work."""
        producer = self.broker.producer()

        def assign(partition: int) -> ShardRunner:
            shard = Shard(at.tenant, at.role, partition)
            counts = self.broker.partitions()
            metrics = RoleMetrics(self.metrics, at.role)
            runner = ShardRunner(at, shard, self.store, producer, counts, metrics, uuid.uuid4().hex)
            runner.recover(self.broker)
            return runner

        return assign

    def worker(self, partition: int) -> Worker:
        """The worker of one partition of train requests."""
        cadence = Cadence(
            self.settings.delta_s,
            self.settings.delta_bytes_per_s,
            self.settings.snapshot_steps,
            self.settings.snapshot_minutes * 60,
        )
        return Worker(
            self.broker,
            self.broker.producer(),
            self.blobs,
            self.metrics,
            time.time,
            self.settings.tenant,
            self.settings.model,
            cadence,
            partition,
        )

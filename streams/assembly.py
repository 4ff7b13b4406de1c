"""What every role is made of: learning settings, partitions, a store, and how a partition is taken.

Light to import: neither torch nor river.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from learners.settings import LearningSettings
from learners.tasks import default_tasks, load_tasks
from schemas.errors import ConfigurationError
from schemas.topics import Topic
from state.redis import RedisStore
from state.store import Shard, Store
from streams.blobs import Blobs
from streams.engines.broker import Broker
from streams.engines.lanes import Runner
from streams.engines.shard import RoleAt, ShardRunner
from streams.engines.tries import Care
from streams.metrics import Metrics, RoleMetrics
from streams.settings import Settings


def learning_of(settings: Settings) -> LearningSettings:
    """The learning settings of a genesis. Raises ConfigurationError."""
    tasks = load_tasks(settings.tasks) if settings.tasks else default_tasks()
    if settings.task_names is not None:
        if unknown := set(settings.task_names) - {task.name for task in tasks}:
            raise ConfigurationError(f"task_names holds {sorted(unknown)}; known are {[task.name for task in tasks]}")
        tasks = tuple(task for task in tasks if task.name in settings.task_names)
    given = {"tasks": [task.to_dict() for task in tasks], **settings.learning}
    try:
        return LearningSettings.from_dict(given)
    except ConfigurationError as error:  # memory has settings of the same names
        raise ConfigurationError(f"learning: {error}") from error


def partitions_of(settings: Settings) -> Callable[[Topic], int]:
    """How many partitions each topic is made with."""
    return lambda topic: settings.partitions if topic.per_session else 1


def connect_store(settings: Settings) -> Store:
    """The store at ``settings.redis``."""
    return RedisStore.connect(settings.redis, cluster=settings.redis_cluster, replicas=settings.redis_replicas)


@dataclass(frozen=True)
class Workshop:
    """What the roles of one process share."""

    settings: Settings
    broker: Broker
    store: Store
    blobs: Blobs
    metrics: Metrics
    clock: Callable[[], float] = time.time

    def owner(self, at: RoleAt) -> Callable[[int], Runner]:
        """How a partition of a role is taken: a token, then what the log already holds, then work."""
        producer, care = self.broker.producer(), Care(uuid.uuid4().hex, self.settings.poison_limit)

        def assign(partition: int) -> ShardRunner:
            shard = Shard(at.tenant, at.role, partition)
            counts = self.broker.partitions()
            metrics = RoleMetrics(self.metrics, at.role)
            runner = ShardRunner(at, shard, self.store, producer, counts, metrics, uuid.uuid4().hex, care)
            runner.recover(self.broker)
            return runner

        return assign

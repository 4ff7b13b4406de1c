"""What runs a role over a log with groups, and its settings: the port of ``KafkaEngine`` and ``FaustEngine``."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Protocol

from streams.health import Vitals
from streams.metrics import Metrics


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How a role polls. ``group_protocol`` is ``classic`` or ``consumer`` (KIP-848, Kafka 4).

    ``instance`` names a static member, which keeps its partitions through a restart. Under ``consumer`` the session
    timeout is the broker's, so ``session_timeout_ms`` must be None. ``most_queued``, 2 at least, are records of
    one partition: from there on nothing more of it is fetched. ``KafkaEngine`` waits as soon as half as many are queued
    of all partitions that move.
    """

    group: str
    instance: str | None = None
    group_protocol: str = "classic"
    session_timeout_ms: int | None = 10_000
    batch: int = 500
    tick_s: float = 0.1
    beat_s: float = 5.0
    most_queued: int = 2_000
    drain_s: float = 8.0
    refresh_s: float = 5.0  # how often the topics are looked at anew


class Engine(Protocol):
    """Owns the partitions that a group assigns to this process, and has their records decided in order.

    Whatever happens to it, a partition begins at the offset that its runner holds when it is taken.
    """

    vitals: Vitals
    metrics: Metrics

    def run(self, stop: threading.Event) -> None:
        """Poll until ``stop``, then finish the batches at work. Raises BrokerError, PartitionsChanged."""

    @property
    def partitions(self) -> set[int]:
        """Those that it has taken and serves."""

    def queued(self, partition: int) -> int:
        """Records of ``partition`` polled and not yet decided."""

"""What runs a role over a log with groups: the port of ``KafkaEngine`` and ``FaustEngine``."""

from __future__ import annotations

import threading
from typing import Protocol

from streams.health import Vitals
from streams.metrics import Metrics


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

"""Currere's own engine with a processor that does the common work: one read and one commit a batch, the outbox, the
marks that find what kills a process, groups, back-pressure, metrics.

Configured as ``currere up session`` is.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.contestants.work import READS, ROLE, WRITES, Answer, Job, answering
from state.store import Put
from streams.assembly import Workshop, connect_store
from streams.blobs import Blobs
from streams.engines.kafka import KafkaEngine
from streams.engines.shard import RoleAt
from streams.metrics import Metrics
from streams.processor import Batch, Plan
from streams.settings import load
from streams.up import engine_settings, kafka_of


@dataclass(frozen=True)
class Same:
    """The processor: each answer is written under its id, and published."""

    answer: Answer
    resident: bool = False
    quoted: tuple[str, ...] = (WRITES.name,)

    def keys(self, batch: Batch) -> Sequence[str]:
        """Nothing is looked up."""
        return ()

    def prepare(self, values: Mapping[str, bytes]) -> None:
        """Nothing."""

    def run(self, batch: Batch, values: Mapping[str, bytes]) -> Plan:
        """One write and one output an input."""
        outputs = self.answer(batch.inputs)
        return Plan([Put(output.id, output.value or b"") for output in outputs], outputs)


def run(job: Job) -> None:
    """Work until SIGTERM. Raises BrokerError."""
    serve(job, answering(job))


def serve(job: Job, answer: Answer) -> None:
    """As ``run``, with answers of one's own."""
    settings = load(kafka=job.kafka, redis=job.redis, tenant=job.tenant, partitions=job.partitions, batch=job.batch)
    at = RoleAt(job.tenant, ROLE, (READS.name,), (WRITES.name,), Same(answer))
    shop = Workshop(settings, kafka_of(settings), connect_store(settings), Blobs(settings.blobs), Metrics())
    polls = engine_settings(settings, ROLE)
    engine = KafkaEngine(kafka_of(settings), at.inputs, shop.owner(at), polls, shop.metrics, ROLE)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    engine.run(stop)

"""What events cost: CPU of the roles, of Redis and of Kafka by the kernel's count, and how fast they are decided."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.engines_run import ContestantFailed
from benchmarks.engines_watch import Sample, cpu_s, pace
from benchmarks.scale_model import record_bytes
from benchmarks.scale_role import Worker
from schemas.topics import Topic
from streams.engines.broker import Broker
from streams.message import Message, Record
from streams.stage import rss_mb

LOOK_S = 0.05
ENOUGH = 0.9  # of the events: the last come when some partitions have nothing left


@dataclass(frozen=True, slots=True)
class Cost:
    """Of each of ``events``: CPU microseconds of the roles, of Redis and of Kafka; events a second, resident MB."""

    events: int
    per_s: float
    role_us: float
    redis_us: float
    kafka_us: float
    rss_mb: float

    @property
    def whole_us(self) -> float:
        """What an event costs everybody."""
        return self.role_us + self.redis_us + self.kafka_us


def watched(
    workers: Sequence[Worker],
    servers: Mapping[str, int],
    done: Callable[[], int],
    wanted: int,
    patience_s: float,
    look_s: float = LOOK_S,
) -> Cost:
    """The cost between the first tenth and the ninth of ``wanted`` events, of which ``done`` tells how many are.

    ``servers`` are process ids of ``redis`` and ``kafka``. Raises ContestantFailed.
    """
    pids = {"role": [worker.pid for worker in workers], **{name: [pid] for name, pid in servers.items()}}
    samples: dict[str, list[Sample]] = {name: [] for name in pids}
    begun, pause, enough = time.monotonic(), threading.Event(), max(round(ENOUGH * wanted), 1)
    while True:
        for worker in workers:
            worker.check()  # first: of one that ended there is nothing to be read
        found, now = done(), time.monotonic()
        for name, seen in samples.items():
            seen.append(Sample(now, found, sum(cpu_s(pid) for pid in pids[name])))
        if found >= wanted:
            break
        if now > begun + patience_s:
            raise ContestantFailed(f"{found} of {wanted} events within {patience_s:.0f} s; see {workers[0].log}")
        pause.wait(look_s)
    paces = {name: pace(seen, enough, 0.1 * wanted / enough) for name, seen in samples.items()}
    of_role = paces["role"]
    cost = {name: paces[name].cpu_us for name in ("redis", "kafka")}
    return Cost(of_role.events, of_role.per_s, of_role.cpu_us, cost["redis"], cost["kafka"], rss_mb(pids["role"]))


def records(broker: Broker, topics: Sequence[Topic], counts: Mapping[str, int]) -> int:
    """How many records these topics have ever had."""
    return sum(broker.ends(topic.name, number)[1] for topic in topics for number in range(counts[topic.name]))


@dataclass(frozen=True, slots=True)
class OnDisk:
    """What a topic takes: records, their bytes before compression, and its log's bytes on the broker's disk."""

    records: int
    raw: int
    log: int

    @property
    def ratio(self) -> float:
        """What compression and the batches' frames make of a byte."""
        return self.log / self.raw if self.raw else 0.0


def on_disk(broker: Broker, folder: Path, topic: Topic, partitions: int) -> OnDisk:
    """The log of ``topic``, whose broker keeps it in ``folder``. Raises BrokerError."""
    spans = {number: broker.ends(topic.name, number) for number in range(partitions)}
    found = [record for number, span in spans.items() for record in broker.read(topic.name, number, *span)]
    places = [
        folder / f"{topic.name}-{number}" for number in range(partitions)
    ]  # of deleted topics others stay a while
    log = sum(path.stat().st_size for place in places for path in place.glob("*.log"))
    return OnDisk(len(found), sum(map(raw_bytes, found)), log)


def raw_bytes(record: Record | Message) -> int:
    """The bytes of a record before compression."""
    headers = [(len(name), len(value or b"")) for name, value in record.headers]
    return record_bytes(len(record.key or b""), len(record.value or b""), headers)

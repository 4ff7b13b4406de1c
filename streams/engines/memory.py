"""An in-process log and the engine over it: for tests, for folding recorded logs, and for a demo without a broker.

``MemoryLog`` is a second implementation of the broker port: partitions, offsets, append times from a clock that the
caller may hold, acknowledgements, retention. ``MemoryEngine`` runs a role over it with the same ``ShardRunner`` as the
Kafka engine, one batch at each ``step``.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from schemas.envelope import Origin
from schemas.errors import BrokerError, OffsetOutOfRange, Refused
from schemas.topics import Topic
from state.store import Shard, Store
from streams.engines.broker import Acknowledged
from streams.engines.shard import RoleAt, ShardRunner
from streams.engines.tries import Care
from streams.message import Message, Record
from streams.metrics import Metrics, RoleMetrics

Clock = Callable[[], float]


@dataclass(slots=True)
class ManualClock:
    """A clock that moves only when told to. Epoch seconds."""

    now: float = 1_600_000_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Move on by ``seconds``."""
        self.now += seconds


@dataclass(slots=True)
class _Partition:
    start: int = 0
    records: list[Record] = field(default_factory=list)


class MemoryLog:
    """Topics in memory, safe for many threads. Append times come from ``clock``."""

    address = "memory"

    def __init__(self, clock: Clock = time.time) -> None:
        self.clock = clock
        self._topics: dict[str, list[_Partition]] = {}
        self._changed = threading.Condition()

    def create(self, wanted: Sequence[Topic], partitions: Callable[[Topic], int]) -> list[str]:
        """Create the topics that are absent; returns their names."""
        new = [topic for topic in wanted if topic.name not in self._topics]
        for topic in new:
            self._topics[topic.name] = [_Partition() for _ in range(partitions(topic))]
        return [topic.name for topic in new]

    def partitions(self) -> dict[str, int]:
        """Partition count by topic name."""
        return {name: len(found) for name, found in self._topics.items()}

    def ends(self, topic: str, partition: int) -> tuple[int, int]:
        """The first offset held and the next to be written."""
        found = self._partition(topic, partition)
        return found.start, found.start + len(found.records)

    def offset_at(self, topic: str, partition: int, timestamp_ms: int) -> int:
        """The first offset received at or after ``timestamp_ms``; the end if there is none."""
        found = self._partition(topic, partition)
        later = (record.origin.offset for record in found.records if record.timestamp_ms >= timestamp_ms)
        return next(later, found.start + len(found.records))

    def read(self, topic: str, partition: int, start: int, end: int) -> Iterator[Record]:
        """The records in [start, end). Raises OffsetOutOfRange below the first offset held."""
        found = self._partition(topic, partition)
        if start < found.start:
            raise OffsetOutOfRange(f"{topic}/{partition} begins at {found.start}, asked for {start}: retention took it")
        return iter(found.records[start - found.start : max(end - found.start, 0)])

    def append(self, message: Message) -> int:
        """Write a message at the end of its partition; returns its offset."""
        headers = tuple((name, value) for name, value in message.headers)
        return self.append_raw(message.topic, message.partition, message.key, message.value, headers)

    def append_raw(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: tuple[tuple[str, bytes | None], ...] = (),
    ) -> int:
        """Write anything, readable or not."""
        found = self._partition(topic, partition)
        with self._changed:
            offset = found.start + len(found.records)
            stamp = int(self.clock() * 1000)
            found.records.append(Record(Origin(topic, partition, offset), key, value, headers, stamp))
            self._changed.notify_all()
        return offset

    def expire(self, topic: str, partition: int, before: int) -> None:
        """Retention: forget the records below ``before``."""
        found = self._partition(topic, partition)
        with self._changed:
            del found.records[: max(before - found.start, 0)]
            found.start = max(before, found.start)

    def wait(self, timeout_s: float) -> None:
        """Sleep until something is appended, or the time is over."""
        with self._changed:
            self._changed.wait(timeout_s)

    def producer(self) -> MemoryProducer:
        """A new producer."""
        return MemoryProducer(self)

    def tail(self, topic: str, partition: int, start: int) -> MemoryTail:
        """Follow a partition from ``start``."""
        return MemoryTail(self, topic, partition, start)

    def _partition(self, topic: str, partition: int) -> _Partition:
        try:
            return self._topics[topic][partition]
        except (KeyError, IndexError) as error:
            raise BrokerError(f"{topic}/{partition} does not exist; create it with `currere topics create`") from error


class MemoryProducer:
    """Appends at once; acknowledgements wait for ``poll``, as a real producer's do."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self._acknowledgements: list[tuple[Acknowledged, int]] = []

    def send(self, message: Message, on_ack: Acknowledged) -> None:
        """Append ``message``."""
        self._acknowledgements.append((on_ack, self._log.append(message)))

    def poll(self) -> None:
        """Run the acknowledgements that have come in."""
        arrived, self._acknowledgements = self._acknowledgements, []
        for on_ack, offset in arrived:
            on_ack(offset, None)

    def flush(self, timeout_s: float) -> int:
        """Nothing is ever outstanding for longer than this call."""
        self.poll()
        return 0


class MemoryTail:
    """Follows one partition of a MemoryLog."""

    def __init__(self, log: MemoryLog, topic: str, partition: int, start: int) -> None:
        self._log, self._topic, self._number, self._at = log, topic, partition, start

    def poll(self, timeout_s: float) -> Sequence[Record]:
        """The next records, waiting up to ``timeout_s`` for the first."""
        _, end = self._log.ends(self._topic, self._number)
        if self._at >= end:
            self._log.wait(timeout_s)
            _, end = self._log.ends(self._topic, self._number)
        records = list(self._log.read(self._topic, self._number, self._at, min(end, self._at + 1_000)))
        self._at += len(records)
        return records

    def close(self) -> None:
        """Nothing to let go of."""


class MemoryEngine:
    """Owns every partition of one role over a MemoryLog.

    ``step`` takes at most ``batch`` records of each partition, decides and publishes them; a refused shard is assigned
    anew at the next step.
    """

    def __init__(self, log: MemoryLog, store: Store, at: RoleAt, metrics: Metrics, batch: int = 500) -> None:
        self.log, self.store, self.at, self.batch = log, store, at, batch
        self.metrics = metrics
        self.producer, self._care = log.producer(), Care(uuid.uuid4().hex)
        self._shards: dict[int, ShardRunner] = {}

    def step(self) -> int:
        """One batch of every partition; returns how many records were decided."""
        counts = self.log.partitions()
        return sum(self._step(partition) for partition in range(max(counts[topic] for topic in self.at.inputs)))

    def drain(self, most: int = 10_000) -> int:
        """Step until nothing is left to take; returns how many records were decided."""
        total = 0
        for _ in range(most):
            taken = self.step()
            total += taken
            if not taken:
                return total
        raise BrokerError(f"{self.at.role} is not done after {most} steps; something feeds it its own outputs")

    def close(self) -> None:
        """Trim the outboxes and give up every partition."""
        for runner in self._shards.values():
            with suppress(Refused):  # another has it, and with it what is left to send
                runner.close(1.0)
        self._shards.clear()

    def _step(self, partition: int) -> int:
        try:
            runner = self._shards.get(partition) or self._assign(partition)
            return runner.process(self._take(runner, partition), self.log.clock())
        except Refused:
            self._shards.pop(partition, None)
            self.metrics.count("refusals", role=self.at.role)
            return self._step(partition)

    def _assign(self, partition: int) -> ShardRunner:
        shard = Shard(self.at.tenant, self.at.role, partition)
        runner = ShardRunner(
            self.at,
            shard,
            self.store,
            self.producer,
            self.log.partitions(),
            RoleMetrics(self.metrics, self.at.role),
            uuid.uuid4().hex,
            self._care,
        )
        runner.recover(self.log)
        self._shards[partition] = runner
        return runner

    def _take(self, runner: ShardRunner, partition: int) -> list[Record]:
        taken: list[Record] = []
        for topic in self.at.inputs:
            start, end = self.log.ends(topic, partition)
            begin = runner.offsets.get(f"{topic}/{partition}", start)
            taken += self.log.read(topic, partition, begin, min(end, begin + self.batch))
        return taken

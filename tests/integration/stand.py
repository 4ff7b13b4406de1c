"""One engine over topics of its own, with runners whose every step a test sees and holds."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from schemas.errors import CurrereError
from streams.engines.engine import Engine, EngineSettings
from streams.engines.faust import FaustEngine
from streams.engines.kafka import KafkaEngine
from streams.engines.kafka_broker import KafkaBroker
from streams.message import Record
from streams.metrics import Metrics

PATIENCE_S = 60.0
LOG = logging.getLogger("stand")  # librdkafka's lines go here instead of to standard error


def eventually(holds: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
    """Return once ``holds`` does."""
    deadline = time.monotonic() + patience_s
    pause = threading.Event()
    while not holds():
        assert time.monotonic() < deadline, f"not within {patience_s:.0f} s: {what}"
        pause.wait(0.1)


@dataclass
class Hand:
    """A runner that decides while its gate is open; ``fails`` is asked before each batch."""

    offsets: dict[str, int] = field(default_factory=dict)
    gate: threading.Event = field(default_factory=threading.Event)
    fails: Callable[[], CurrereError | None] = lambda: None
    seen: list[Record] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)
    closed: bool = False

    def process(self, records: Sequence[Record], now: float) -> int:
        """Note what came."""
        if records:
            self.threads.add(threading.current_thread().name)
            self.gate.wait()
            if (error := self.fails()) is not None:
                raise error
        self.seen += records
        self.offsets.update({f"{r.origin.topic}/{r.origin.partition}": r.origin.offset + 1 for r in records})
        return len(records)

    def beat(self) -> None:
        """Nothing to compare."""

    def close(self, timeout_s: float) -> None:
        """Note that it was let go in order."""
        self.closed = True


def opened(**offsets: int) -> Hand:
    """A hand that holds nothing back."""
    hand = Hand(dict(offsets))
    hand.gate.set()
    return hand


@dataclass
class Ground:
    """Topics of one test on a broker."""

    address: str
    partitions: int
    names: tuple[str, ...]
    group: str = field(default_factory=lambda: f"stand-{uuid.uuid4().hex[:8]}")

    def __post_init__(self) -> None:
        self.admin = AdminClient({"bootstrap.servers": self.address}, logger=LOG)
        made = self.admin.create_topics([NewTopic(name, self.partitions, 1) for name in self.names])
        for future in made.values():
            future.result(PATIENCE_S)
        self._sender = Producer({"bootstrap.servers": self.address}, logger=LOG)

    def put(self, topic: str, partition: int, count: int, first: int = 0) -> None:
        """Put the numbers from ``first`` on into a partition."""
        for number in range(first, first + count):
            self._sender.produce(topic, str(number).encode(), partition=partition)
        assert self._sender.flush(PATIENCE_S) == 0

    def settings(self, **chosen: object) -> EngineSettings:
        """Engine settings for a group of this test's own, quick to notice."""
        quick = {"session_timeout_ms": 6_000, "batch": 10, "drain_s": 1.0, "refresh_s": 0.5, "tick_s": 0.02}
        return EngineSettings(self.group, **{**quick, **chosen})  # type: ignore[arg-type]  # a test's own choice

    @contextmanager
    def engine(self, assign: Callable[[int], Hand], kind: str = "kafka", **chosen: object) -> Iterator[Stand]:
        """An engine that polls in a thread until the block ends."""
        broker, metrics, make = KafkaBroker(self.address), Metrics(), {"kafka": KafkaEngine, "faust": FaustEngine}[kind]
        found = Stand(make(broker, self.names, assign, self.settings(**chosen), metrics, "stand"), metrics)
        found.thread.start()
        try:
            yield found
        finally:
            found.end()


def ground(address: str, partitions: int, topics: int = 1) -> Ground:
    """Fresh topics."""
    name = f"stand-{uuid.uuid4().hex[:8]}"
    return Ground(address, partitions, tuple(f"{name}-{letter}" for letter in "abc"[:topics]))


@dataclass
class Stand:
    """An engine at work; ``ended`` is what its ``run`` came to."""

    engine: Engine
    metrics: Metrics
    stop: threading.Event = field(default_factory=threading.Event)
    ended: Future[None] = field(default_factory=Future)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._run, name="polling")

    def _run(self) -> None:
        try:
            self.engine.run(self.stop)
        except CurrereError as error:
            self.ended.set_exception(error)
        else:
            self.ended.set_result(None)

    def end(self) -> None:
        """Stop the engine and wait until it has."""
        self.stop.set()
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive()

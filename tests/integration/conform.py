"""One role over each engine, in the same words: records go in, outcomes are looked for in the log."""

from __future__ import annotations

import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, Protocol

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient
from stand import LOG, PATIENCE_S, eventually

from schemas import topics
from schemas.codec import decode_data, encode
from schemas.envelope import Origin, read_envelope
from schemas.errors import CurrereError
from schemas.event import Data, Event
from schemas.feedback import Feedback, Flag
from schemas.interaction import Interaction, Payload
from schemas.prediction import Fate
from schemas.topics import Topic
from state.memory import MemoryStore
from state.redis import RedisStore
from state.store import Commit, Shard, Store
from streams.assembly import Workshop, partitions_of
from streams.blobs import Blobs
from streams.client import event
from streams.engines.broker import Broker
from streams.engines.engine import Engine, EngineSettings
from streams.engines.faust import FaustEngine
from streams.engines.kafka import KafkaEngine
from streams.engines.kafka_broker import KafkaBroker
from streams.engines.memory import MemoryEngine, MemoryLog
from streams.engines.shard import RoleAt, ShardRunner
from streams.message import Message, Record
from streams.metrics import Metrics
from streams.processor import Batch, Plan, fate
from streams.settings import load

Kind = Literal["kafka", "faust", "memory"]
INPUTS = (topics.INTERACTION, topics.FEEDBACK)
OUTPUTS = (topics.FATE, *map(topics.dlq, INPUTS))
BATCH = 10
SLACK: Mapping[Kind, int] = {"kafka": 1, "faust": 3, "memory": 0}  # batches on their way when a partition is held back


@dataclass
class Noting:
    """A processor that answers each input with one fate, whose detail is ``word``; it waits while its gate is shut.

    Only batches of partition 0 wait.
    """

    word: str = "noted"
    gate: threading.Event = field(default_factory=threading.Event)
    at_work: threading.Event = field(default_factory=threading.Event)
    threads: set[str] = field(default_factory=set)
    resident: bool = False
    quoted: Collection[str] = ()

    def shut(self) -> None:
        """Let the next batch wait."""
        self.at_work.clear()
        self.gate.clear()

    def keys(self, batch: Batch) -> Sequence[str]:
        """It remembers nothing."""
        return []

    def prepare(self, values: Mapping[str, bytes]) -> None:
        """Nothing."""

    def run(self, batch: Batch, values: Mapping[str, bytes]) -> Plan:
        """A fate for each input that has none yet."""
        self.threads.add(threading.current_thread().name)
        if any(found.origin.partition == 0 for found in batch.inputs):
            self.at_work.set()
            assert self.gate.wait(PATIENCE_S)
        return Plan(
            outputs=[fate("shed", found, self.word) for found in batch.inputs if found.origin not in batch.sent]
        )


def noting(word: str = "noted") -> Noting:
    """One that waits for nothing."""
    found = Noting(word)
    found.gate.set()
    return found


class Running(Protocol):
    """An engine at work in a thread."""

    metrics: Metrics

    def owns(self) -> set[int]:
        """The partitions that it serves."""

    def ahead(self, partition: int) -> int:
        """Records that it has taken from the log and not begun to decide."""

    def polls(self) -> float:
        """Changes when the log is asked."""

    def ask_to_stop(self) -> None:
        """Ask it to finish what it has begun."""

    def end(self) -> None:
        """Stop it and wait until it has. Raises what it ended with."""


@dataclass
class World:
    """A tenant on a log and a store of one kind. ``begun`` says where its inputs begin."""

    kind: Kind
    log: Broker
    store: Store
    blobs: str
    tenant: str = field(default_factory=lambda: f"conform-{uuid.uuid4().hex[:8]}")

    def __post_init__(self) -> None:
        self.log.create(topics.ALL, partitions_of(load(partitions=2)))
        self.counts = self.log.partitions()
        self.partitions = range(self.counts[INPUTS[0].name])
        self.begun = {(t.name, p): self.log.ends(t.name, p)[1] for t in (*INPUTS, *OUTPUTS) for p in self.partitions}
        self.sent: dict[tuple[str, int], list[int]] = defaultdict(list)  # offsets
        self._producer = self.log.producer()
        for partition in self.partitions:
            self.stored(partition, {t.name: self.begun[t.name, partition] for t in INPUTS})

    def role(self, processor: Noting) -> RoleAt:
        """The role under test."""
        inputs, outputs = tuple(t.name for t in INPUTS), tuple(t.name for t in OUTPUTS)
        return RoleAt(self.tenant, "conform", inputs, outputs, processor)

    def shard(self, partition: int) -> Shard:
        """Where the role's state is."""
        return Shard(self.tenant, "conform", partition)

    def stored(self, partition: int, offsets: Mapping[str, int]) -> None:
        """Let an owner have been there, who has decided all before ``offsets``, by topic."""
        token, shard = uuid.uuid4().hex, self.shard(partition)
        before = self.store.take(shard, token).offsets
        known = {f"{t.name}/{partition}": self.begun[t.name, partition] for t in OUTPUTS}
        after = {f"{topic}/{partition}": offset for topic, offset in offsets.items()}
        self.store.commit(shard, token, before, Commit({**before, **after}, known=known))

    def put(self, partition: int, count: int, topic: Topic = topics.INTERACTION) -> None:
        """Put that many events of several sessions into a partition."""
        for number in range(count):
            made = _event(topic, f"s{number % 3}", self.tenant)
            self.put_raw(topic, partition, encode(made.data), made.envelope.headers())
        assert self._producer.flush(PATIENCE_S) == 0

    def put_raw(self, topic: Topic, partition: int, value: bytes, headers: tuple[tuple[str, bytes], ...]) -> None:
        """Put any bytes."""

        def landed(offset: int | None, error: str | None) -> None:
            assert offset is not None, error
            self.sent[topic.name, partition].append(offset)

        self._producer.send(Message(topic.name, partition, b"s", value, headers), landed)

    def records(self, topic: Topic, partition: int) -> list[Record]:
        """What the role has published there."""
        _, end = self.log.ends(topic.name, partition)
        found = self.log.read(topic.name, partition, self.begun[topic.name, partition], end)
        return [record for record in found if record.header("ce_source") == self.role(noting()).source]

    def causes(self, topic: Topic, partition: int) -> list[Origin]:
        """The inputs of what it has published there, in order."""
        return [cause for record in self.records(topic, partition) for cause in read_envelope(record.headers).causes]

    def words(self, partition: int) -> list[str]:
        """What was said to the inputs, in order."""
        return [decode_data(Fate, record.value or b"").detail for record in self.records(topics.FATE, partition)]

    def decided(self, topic: Topic, partition: int) -> list[int]:
        """The offsets of ``topic`` that have a fate, in the order in which they were decided."""
        return [o.offset for o in self.causes(topics.FATE, partition) if o.topic == topic.name]

    def all_decided(self) -> bool:
        """Whether every input has an outcome; ``exactly_once`` says whether it has one only."""
        outcomes = sum(len(self.causes(topic, p)) for topic in OUTPUTS for p in self.partitions)
        return outcomes >= sum(map(len, self.sent.values()))

    def exactly_once(self) -> None:
        """Once all is decided: each input of each partition once, in the order of the log."""
        eventually(self.all_decided, "every input has an outcome")
        for (topic, partition), offsets in self.sent.items():
            assert self.decided(topics.BY_NAME[topic], partition) == offsets, f"{topic}/{partition}"

    def owner(self, processor: Noting, metrics: Metrics) -> Callable[[int], ShardRunner]:
        """How a partition is taken, as ``currere up`` does."""
        shop = Workshop(load(), self.log, self.store, Blobs(self.blobs), metrics)
        return shop.owner(self.role(processor))  # type: ignore[return-value]  # a Runner, which is a ShardRunner

    @property
    def group(self) -> str:
        """Of the engines that are groups."""
        return f"currere-{self.tenant}"

    def mislead(self, offset: int) -> None:
        """Commit another offset to Kafka than the store holds, where there is a Kafka."""
        if isinstance(self.log, KafkaBroker):
            places = [TopicPartition(t.name, p, offset) for t in INPUTS for p in self.partitions]
            admin = AdminClient({"bootstrap.servers": self.log.address}, logger=LOG)
            asked = admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(self.group, places)])
            asked[self.group].result(PATIENCE_S)

    @contextmanager
    def running(self, processor: Noting, **chosen: object) -> Iterator[Running]:
        """The role at work until the block ends."""
        metrics = Metrics()
        at = self.role(processor)
        found: Running
        if isinstance(self.log, MemoryLog):
            found = InProcess(MemoryEngine(self.log, self.store, at, metrics, BATCH), metrics)
        else:
            assert isinstance(self.log, KafkaBroker)
            engine = FaustEngine if self.kind == "faust" else KafkaEngine
            quick = {"session_timeout_ms": 6_000, "batch": BATCH, "tick_s": 0.02, "refresh_s": 0.5, **chosen}
            settings = EngineSettings(self.group, **quick)  # type: ignore[arg-type]  # a test's own choice
            assign = self.owner(processor, metrics)
            found = InGroup(engine(self.log, at.inputs, assign, settings, metrics, at.role), metrics)
        try:
            yield found
        finally:
            processor.gate.set()
            found.end()


def _event(topic: Topic, session: str, tenant: str) -> Event[Data]:
    data: Data = Interaction(session=session, role="teacher", payload=Payload(text="why?"))
    if topic == topics.FEEDBACK:
        data = Feedback(session=session, interaction="i", rater="ann", judgement=Flag(kind="flag", name="exemplary"))
    return event(data, tenant=tenant, source="/apps/test")


class Threaded:
    """Work in a thread until ``stop``."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics, self.stop, self._ended = metrics, threading.Event(), Future[None]()
        self._thread = threading.Thread(target=self._run, name="engine")
        self._thread.start()

    def work(self) -> None:
        """What the thread does."""
        raise NotImplementedError

    def _run(self) -> None:
        try:
            self.work()
        except CurrereError as error:
            self._ended.set_exception(error)
        else:
            self._ended.set_result(None)

    def ask_to_stop(self) -> None:
        """Ask it to finish what it has begun."""
        self.stop.set()

    def end(self) -> None:
        """Stop it and wait until it has. Raises what it ended with."""
        self.stop.set()
        self._ended.result(PATIENCE_S)
        self._thread.join(PATIENCE_S)


class InGroup(Threaded):
    """Kafka's engine, or Faust's."""

    def __init__(self, engine: Engine, metrics: Metrics) -> None:
        self.engine = engine
        super().__init__(metrics)

    def work(self) -> None:
        """Poll."""
        self.engine.run(self.stop)

    def owns(self) -> set[int]:
        """The partitions that it serves."""
        return self.engine.partitions

    def ahead(self, partition: int) -> int:
        """Records in the queue."""
        return self.engine.queued(partition)

    def polls(self) -> float:
        """When it polled last."""
        return self.engine.vitals.polled


class InProcess(Threaded):
    """The in-process engine, stepped as ``currere demo`` steps it: it takes a batch, decides it, takes the next.

    So it queues nothing and holds nothing back: it does not ask for what it cannot decide.
    """

    def __init__(self, engine: MemoryEngine, metrics: Metrics) -> None:
        self.engine = engine
        super().__init__(metrics)

    def work(self) -> None:
        """Step."""
        while not self.stop.is_set():
            if not self.engine.step():
                self.engine.log.wait(0.02)
        self.engine.close()

    def owns(self) -> set[int]:
        """All: it has no group. What another takes from it, it takes back with its next step."""
        return set(range(self.engine.log.partitions()[self.engine.at.inputs[0]]))

    def ahead(self, partition: int) -> int:
        """Nothing is taken before it is decided."""
        return 0

    def polls(self) -> float:
        """The log is memory: it is always there."""
        return time.monotonic()


def world(kind: Kind, kafka: str, redis_url: str, blobs: str) -> World:
    """A log and a store of one kind."""
    if kind == "memory":
        return World(kind, MemoryLog(), MemoryStore(), blobs)
    return World(kind, KafkaBroker(kafka), RedisStore.connect(redis_url), blobs)

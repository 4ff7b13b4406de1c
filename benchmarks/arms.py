"""The two arms of the score benchmark: the session role, and the least code that makes the same predictions.

Both read the same records with confluent-kafka, give the model the same inputs in batches of the same
size, and publish one prediction an interaction. The session role also knows repeats, joins feedback, finds what each
moment is worth, and survives the death of whatever it runs on; the bare loop does none of that.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from confluent_kafka import Consumer, Producer, TopicPartition

from learners.predict import predict
from learners.served import Served
from schemas import codec, topics
from schemas.errors import BrokerError
from schemas.event import Data, Event
from schemas.interaction import Interaction
from schemas.prediction import ExampleInput, Prediction
from state.pending import Context
from streams.assembly import Workshop, connect_store
from streams.blobs import Blobs
from streams.engines.kafka import KafkaEngine
from streams.engines.lanes import Runner
from streams.engines.shard import RoleAt
from streams.message import Record
from streams.metrics import Metrics
from streams.roles import ROLES
from streams.score import Scoring, next_context, with_context
from streams.serving import ServedPredictor
from streams.session import Session, screen
from streams.settings import Settings
from streams.up import engine_settings, kafka_of

FETCH = {"fetch.wait.max.ms": 50, "queued.max.messages.kbytes": 16_384}  # as the engine's consumer
SEND = {"enable.idempotence": True, "linger.ms": 5, "compression.type": "lz4"}  # as the engine's producer
FLUSH_S = 60.0


@dataclass(frozen=True, slots=True)
class Stretch:
    """The interactions of one round, of a tenant of its own: of each partition the records in [start, end)."""

    settings: Settings
    starts: Mapping[int, int]
    ends: Mapping[int, int]

    @property
    def count(self) -> int:
        """How many they are."""
        return sum(self.ends.values()) - sum(self.starts.values())


@dataclass(frozen=True, slots=True)
class Spent:
    """Wall and CPU seconds of this process, from the first records polled to the last prediction acknowledged."""

    wall_s: float
    cpu_s: float


@dataclass(slots=True)
class Watch:
    """Wall and CPU clock of this process."""

    wall: float = field(default_factory=time.perf_counter)
    cpu: float = field(default_factory=time.process_time)

    def spent(self) -> Spent:
        """Since it was made."""
        return Spent(time.perf_counter() - self.wall, time.process_time() - self.cpu)


def bare(served: Served, stretch: Stretch) -> Spent:
    """Decode, fill in the context, predict, publish: what any scoring loop must do. No store, no repeats, no worth."""
    address, batch = stretch.settings.kafka, stretch.settings.batch
    reader = {"group.id": "bare", "enable.auto.commit": False, "auto.offset.reset": "error"}
    consumer = Consumer({"bootstrap.servers": address, **reader, **FETCH})
    producer = Producer({"bootstrap.servers": address, **SEND})
    consumer.assign([TopicPartition(topics.INTERACTION.name, number, at) for number, at in stretch.starts.items()])
    contexts: dict[str, Context] = {}
    left, watch = stretch.count, None
    while left:
        messages = consumer.consume(min(batch, left), timeout=0.05)
        watch = watch or (Watch() if messages else None)
        asked: list[tuple[Event[Data], int]] = []
        inputs: list[ExampleInput] = []
        for message in messages:
            headers = cast(list[tuple[str, bytes | None]], message.headers())  # its stub is wider
            event = codec.decode(topics.INTERACTION, headers, message.value())
            assert isinstance(event.data, Interaction)
            context = contexts.get(event.data.session) or Context()
            inputs.append(with_context(event.data, context))
            contexts[event.data.session] = next_context(event.data, context, served.settings.context_turns)
            asked.append((event, message.partition() or 0))
        predicted = predict(served, inputs)
        for (event, partition), seen, outputs in zip(asked, inputs, predicted, strict=True):
            said = Prediction(
                session=seen.session,
                interaction=event.id,
                model=stretch.settings.model,
                version=served.version,
                outputs=outputs,
                importance=0.0,
                reasons={},
            )
            producer.produce(topics.PREDICTION.name, codec.encode(said), seen.session.encode(), partition)
            producer.poll(0)
        left -= len(messages)
    if watch is None or producer.flush(FLUSH_S):
        raise BrokerError(f"{address} did not take the predictions within {FLUSH_S:.0f} s")
    spent = watch.spent()
    consumer.close()
    return spent


def session(served: Served, stretch: Stretch) -> Spent:
    """The session role as ``currere up session`` runs it, with ``served`` as its model."""
    settings, role = stretch.settings, ROLES["session"]
    predictor = ServedPredictor(served)
    processor = Session(Scoring(settings.model, horizon_s=settings.horizon_s), lambda: predictor)
    check = screen({task.name: task for task in served.settings.tasks})
    at = RoleAt(settings.tenant, role.name, role.inputs, role.outputs, processor, check)
    shop = Workshop(settings, kafka_of(settings), connect_store(settings), Blobs(settings.blobs), Metrics())
    assign, finish = shop.owner(at), _Finish(stretch)
    engine = KafkaEngine(
        kafka_of(settings), role.inputs, lambda partition: _Timed(assign(partition), partition, finish),
        engine_settings(settings, role.name), shop.metrics, role.name,
    )  # fmt: skip
    engine.run(finish.reached)
    shop.store.close()
    if finish.spent is None:
        raise BrokerError(f"the session role stopped while {sorted(finish.left)} were at work")
    return finish.spent


class _Finish:
    """When the first records came, and when every partition was decided and acknowledged."""

    def __init__(self, stretch: Stretch) -> None:
        self.ends = stretch.ends
        self.left = {number for number, end in stretch.ends.items() if end > stretch.starts[number]}
        self.reached = threading.Event()
        self.watch: Watch | None = None
        self.spent: Spent | None = None

    def begin(self) -> None:
        """Records have come."""
        self.watch = self.watch or Watch()

    def reach(self, partition: int) -> None:
        """A partition is done."""
        self.left.discard(partition)
        if not self.left and self.watch and self.spent is None:
            self.spent = self.watch.spent()
            self.reached.set()


class _Timed:
    """A runner under a watch."""

    def __init__(self, runner: Runner, partition: int, finish: _Finish) -> None:
        self.runner, self.partition, self.finish = runner, partition, finish

    @property
    def offsets(self) -> dict[str, int]:
        """The runner's."""
        return self.runner.offsets

    @offsets.setter
    def offsets(self, offsets: dict[str, int]) -> None:
        self.runner.offsets = offsets

    def process(self, records: Sequence[Record], now: float) -> int:
        """Let the runner decide a batch."""
        if records:
            self.finish.begin()
        done = self.runner.process(records, now)
        at_end = self.offsets.get(f"{topics.INTERACTION.name}/{self.partition}") == self.finish.ends[self.partition]
        if at_end and self.partition in self.finish.left:
            self.runner.close(FLUSH_S)
            self.finish.reach(self.partition)
        return done

    def beat(self) -> None:
        """The runner's."""
        self.runner.beat()

    def close(self, timeout_s: float) -> None:
        """The runner's."""
        self.runner.close(timeout_s)

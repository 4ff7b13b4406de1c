"""All roles at work in threads of this process, over a real Kafka and a real Redis, under a tenant of their own."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from schemas import codec, topics
from schemas.envelope import Envelope, Origin
from schemas.event import Data, Event
from schemas.prediction import DeadLetter
from schemas.topics import Topic
from streams.assembly import Workshop, connect_store, partitions_of
from streams.blobs import Blobs
from streams.client import event, key_of
from streams.engines.kafka import KafkaEngine
from streams.message import Record, partition_of
from streams.metrics import Metrics
from streams.roles import ROLES
from streams.settings import Settings, load
from streams.stage import begin_at_end
from streams.up import engine_settings, kafka_of, owner_of

PATIENCE_S = 60.0
SMALL = {"buckets": 4096, "dim": 4, "hidden": 8}


@dataclass
class Town:
    """Where tests put records and look for what became of them."""

    settings: Settings
    engines: dict[str, KafkaEngine]
    metrics: Metrics
    sender: Producer = field(init=False)

    def __post_init__(self) -> None:
        self.broker = kafka_of(self.settings)
        self.sender = Producer({"bootstrap.servers": self.settings.kafka, "message.max.bytes": 20_000_000})
        self.counts = self.broker.partitions()
        self.begun = {(t, p): self.broker.ends(t, p)[1] for t, n in self.counts.items() for p in range(n)}

    def event(self, data: Data, id: str | None = None, **envelope: object) -> Event[Data]:
        """An event of this tenant's."""
        made = event(data, tenant=self.settings.tenant, source="/apps/test", id=id)
        return Event(replace(made.envelope, **envelope), made.data)  # type: ignore[arg-type]  # a test's own fields

    def send(self, made: Event[Data], value: bytes | None = None) -> Origin:
        """Put an event, or other bytes under its envelope, into its topic; returns where it stands."""
        content = codec.encode(made.data) if value is None else value
        return self.send_raw(topics.BY_NAME[made.data.TYPE], key_of(made.data), content, made.envelope)

    def send_raw(self, topic: Topic, key: str, value: bytes | None, envelope: Envelope | None) -> Origin:
        """Put any bytes anywhere."""
        place = partition_of(key.encode(), self.counts[topic.name])
        headers = list(envelope.headers()) if envelope else []
        landed: list[int] = []
        self.sender.produce(
            topic.name, value, key.encode(), place, headers=headers, on_delivery=lambda e, m: landed.append(m.offset())
        )
        assert self.sender.flush(PATIENCE_S) == 0
        return Origin(topic.name, place, landed[0])

    def records(self, topic: Topic) -> list[Record]:
        """What stands in a topic since this town began."""
        places = range(self.counts[topic.name])
        ends = {p: self.broker.ends(topic.name, p)[1] for p in places}
        return [r for p in places for r in self.broker.read(topic.name, p, self.begun[topic.name, p], ends[p])]

    def wait_for(self, topic: Topic, wanted: Callable[[Record], bool], count: int = 1) -> list[Record]:
        """The first ``count`` records that are ``wanted``, once they are there."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            found = [record for record in self.records(topic) if wanted(record)]
            if len(found) >= count:
                return found
        raise AssertionError(f"{topic.name} does not hold {count} such records after {PATIENCE_S} s")

    def outcome(self, topic: Topic, origin: Origin) -> Record:
        """The record of ``topic`` that is the outcome of the input at ``origin``."""
        return self.wait_for(topic, lambda record: str(origin) in (record.header("ce_causes") or "").split(","))[0]

    def dead_letter(self, origin: Origin) -> DeadLetter:
        """The dead letter of the input at ``origin``."""
        record = self.outcome(topics.dlq(topics.BY_NAME[origin.topic]), origin)
        return codec.decode_data(DeadLetter, record.value or b"")


def allow(address: str, topic: Topic, size: int) -> None:
    """Let a topic take values of ``size`` bytes, as a broker of other people might."""
    entry = ConfigEntry("max.message.bytes", str(size), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic.name, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": address})
    admin.incremental_alter_configs([resource])[resource].result(10)


@contextmanager
def town(kafka: str, redis_url: str, folder: Path, **settings: object) -> Iterator[Town]:
    """Roles at work until the block ends."""
    given = {"partitions": 2, "learning": SMALL, "snapshot_steps": 5, "session_timeout_ms": 6_000, **settings}
    tenant = f"town-{uuid.uuid4().hex[:8]}"
    chosen = load(kafka=kafka, redis=redis_url, blobs=f"file://{folder}", tenant=tenant, **given)
    broker, metrics = kafka_of(chosen), Metrics()
    broker.create(topics.ALL, partitions_of(chosen))
    store = connect_store(chosen)
    begin_at_end(broker, store, tenant)
    shop = Workshop(chosen, broker, store, Blobs(chosen.blobs), metrics)
    stop = threading.Event()
    engines, threads, closers = {}, [], []
    for role in ROLES:
        assign, close = owner_of(role, shop)
        engines[role] = KafkaEngine(broker, ROLES[role].inputs, assign, engine_settings(chosen, role), metrics, role)
        threads.append(threading.Thread(target=engines[role].run, args=(stop,), name=role))
        closers.append(close)
    found = Town(chosen, engines, metrics)
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        for close in closers:
            close()
        store.close()

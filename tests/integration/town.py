"""A tenant on a real Kafka and a real Redis; its roles are threads of this process that tests start and stop."""

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
from stand import LOG, PATIENCE_S, eventually

from schemas import codec, topics
from schemas.envelope import Envelope, Origin
from schemas.event import Data, Event
from schemas.prediction import DeadLetter
from schemas.topics import Topic
from state.inventory import inventory
from streams.assembly import Workshop, connect_store, partitions_of
from streams.audit import Audit, audit
from streams.blobs import Blobs
from streams.client import event, key_of
from streams.health import Limits, Verdict, verdict
from streams.message import Record, partition_of
from streams.metrics import Metrics
from streams.play import Played, play
from streams.roles import ROLES
from streams.settings import Settings, load
from streams.simulated import simulate
from streams.stage import begin_at_end, standing
from streams.up import engine_of, kafka_of, owner_of

FAR = 2**62  # beyond any offset
SMALL = {"buckets": 4096, "dim": 4, "hidden": 8}


class Crew:
    """One owner of a role, at work until ``stop``."""

    def __init__(self, role: str, settings: Settings) -> None:
        self.role, self.metrics, self._stop = role, Metrics(), threading.Event()
        broker = kafka_of(settings)
        self._store = connect_store(settings)
        shop = Workshop(settings, broker, self._store, Blobs(settings.blobs), self.metrics)
        assign, self._close = owner_of(role, shop)
        self.engine = engine_of(role, shop, broker, assign)
        self._thread = threading.Thread(target=self.engine.run, args=(self._stop,), name=role)
        self._thread.start()

    def ready(self) -> bool:
        """Whether it may be given work."""
        return self.verdict(Limits()).ready

    def verdict(self, limits: Limits) -> Verdict:
        """How it is."""
        return verdict(self.engine.vitals, time.monotonic(), limits)

    def stop(self) -> None:
        """Let it finish what it has begun."""
        self._stop.set()
        self._thread.join()
        self._close()
        self._store.close()


@dataclass
class Town:
    """Where tests put records and look for what became of them. ``since`` says where its roles began."""

    settings: Settings
    crews: list[Crew] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.broker = kafka_of(self.settings)
        self.broker.create(topics.ALL, partitions_of(self.settings))
        self.store = connect_store(self.settings)
        self.since = begin_at_end(self.broker, self.store, self.settings.tenant)
        self.sender = Producer({"bootstrap.servers": self.settings.kafka, "message.max.bytes": 20_000_000}, logger=LOG)
        self.counts = self.broker.partitions()
        self.begun = {(t, p): self.broker.ends(t, p)[1] for t, n in self.counts.items() for p in range(n)}

    def start(self, *roles: str, **settings: object) -> list[Crew]:
        """Put owners of ``roles`` to work; returns once each is ready."""
        begun = [Crew(role, self.settings.model_copy(update=settings)) for role in roles]
        self.crews += begun
        eventually(lambda: all(crew.ready() for crew in begun), f"{', '.join(roles)} are ready")
        return begun

    def stop(self, *crews: Crew) -> None:
        """Stop these, or all."""
        for crew in crews or list(self.crews):
            crew.stop()
            self.crews.remove(crew)

    def play(self, events: int, seed: int = 1) -> Played:
        """Publish simulated lessons."""
        return play(simulate(seed, events, tenant=self.settings.tenant), self.broker)

    def settle(self) -> Audit:
        """What the audit says once the roles have taken all there is; an audit that is not content is asked again."""
        eventually(lambda: standing(self, FAR).at_rest, "session and curate have taken all there is")  # type: ignore[arg-type]  # of a stage it needs these only
        deadline = time.monotonic() + PATIENCE_S
        while not (found := self.audit()).ok and time.monotonic() < deadline:
            pass
        return found

    def audit(self, *, fold: bool = False) -> Audit:
        """What the audit says now of topics and store, and with ``fold`` of snapshots, deltas and versions."""
        tenant, model = self.settings.tenant, self.settings.model
        fetch = Blobs(self.settings.blobs).look if fold else None
        with inventory(self.settings.redis, tenant) as holdings:
            return audit(self.broker, tenant, model, since=self.since, holdings=holdings, fetch=fetch)

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
    admin = AdminClient({"bootstrap.servers": address}, logger=LOG)
    admin.incremental_alter_configs([resource])[resource].result(10)


@contextmanager
def empty_town(kafka: str, redis_url: str, folder: Path, **settings: object) -> Iterator[Town]:
    """A town whose roles nobody has started; those that somebody does are stopped at the end."""
    given = {"partitions": 2, "learning": SMALL, "snapshot_steps": 5, "session_timeout_ms": 6_000, **settings}
    tenant = f"town-{uuid.uuid4().hex[:8]}"
    found = Town(load(kafka=kafka, redis=redis_url, blobs=f"file://{folder}", tenant=tenant, **given))
    try:
        yield found
    finally:
        found.stop()
        found.store.close()


@contextmanager
def town(kafka: str, redis_url: str, folder: Path, **settings: object) -> Iterator[Town]:
    """All roles at work until the block ends."""
    with empty_town(kafka, redis_url, folder, **settings) as found:
        found.start(*ROLES)
        yield found

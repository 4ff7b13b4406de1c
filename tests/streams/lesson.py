"""A whole run in process: simulated schools, every role, an observer; and its log copied with something changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from schemas import topics
from schemas.topics import Topic
from state.memory import MemoryStore
from streams.assembly import partitions_of
from streams.blobs import Blobs
from streams.client import message_of
from streams.curating import curate_role
from streams.engines.memory import ManualClock, MemoryEngine, MemoryLog
from streams.message import Message, Record
from streams.metrics import Metrics
from streams.observe import Observer
from streams.serving import session_role, session_watcher
from streams.settings import Settings, load
from streams.simulated import simulate
from streams.worker import Cadence, Worker

TENANT, MODEL = "oakfield", "default"
SMALL: dict[str, object] = {"buckets": 4096, "dim": 4, "hidden": 8}
NEVER = "never-came"
EVENTS, CHUNK, STEP_S = 160, 20, 0.5

Change = Callable[[Record], Record | None]


@dataclass(frozen=True)
class Lesson:
    """What a run leaves behind."""

    log: MemoryLog
    observer: Observer
    store: MemoryStore
    blobs: Blobs


def settings_in(folder: Path) -> Settings:
    """Small requests, so that there are many, and a delta after each."""
    return load(tenant=TENANT, blobs=f"file://{folder}", partitions=2, learning=SMALL, new_per_request=8,
                replayed_per_request=4, request_wait_s=1.0, delta_s=0.4)  # fmt: skip


def held(folder: Path, seed: int = 0) -> Lesson:
    """Simulated schools, with a record that nobody can read, one that came twice, and feedback on what never comes;
    until every role is at rest."""
    settings, clock, metrics = settings_in(folder), ManualClock(1_800_000_000.0), Metrics()
    log = MemoryLog(clock)
    log.create(topics.ALL, partitions_of(settings))
    blobs, store = Blobs(settings.blobs), MemoryStore()
    watcher = session_watcher(settings, log, blobs, metrics)
    observer = Observer(log, blobs, TENANT, MODEL, clock)
    session = MemoryEngine(log, store, session_role(settings, watcher), metrics)
    curate = MemoryEngine(log, store, curate_role(settings), metrics)
    cadence = Cadence(delta_s=settings.delta_s, delta_bytes_per_s=1e9)
    worker = Worker(log, log.producer(), blobs, metrics, clock, TENANT, MODEL, cadence, 0)

    def turn() -> None:
        session.drain()
        curate.step()
        fold(worker, log, clock.now)
        watcher.step(0)
        observer.step(0)
        clock.advance(STEP_S)

    events = [message_of(event, log.partitions()) for event in simulate(seed, EVENTS, tenant=TENANT)]
    for start in range(0, len(events), CHUNK):
        for message in events[start : start + CHUNK]:
            log.append(message)
        turn()
    log.append(events[0])
    log.append_raw(topics.INTERACTION.name, 0, b"s", b"no event")
    log.append(astray(next(message for message in events if message.topic == topics.FEEDBACK.name)))
    clock.advance(11.0)
    for _ in range(4):
        turn()
    worker.close(1.0)
    observer.step(0)
    for engine in (session, curate):
        engine.close()
    return Lesson(log, observer, store, blobs)


def astray(feedback: Message) -> Message:
    """The same feedback on an interaction that nobody sends."""
    value = json.dumps({**json.loads(feedback.value), "interaction": NEVER}).encode()
    headers = tuple((name, b"feedback-astray" if name == "ce_id" else content) for name, content in feedback.headers)
    return replace(feedback, value=value, headers=headers)


def fold(worker: Worker, log: MemoryLog, now: float) -> None:
    """Give the worker what has come."""
    name = topics.TRAIN_REQUEST.name
    at = worker.offsets.get(f"{name}/0", 0)
    worker.process(list(log.read(name, 0, at, log.ends(name, 0)[1])), now)


def copied(log: MemoryLog, change: Change = lambda record: record) -> MemoryLog:
    """The same log, each record as ``change`` leaves it; later offsets move up where it leaves none."""
    clock = ManualClock()
    copy, counts = MemoryLog(clock), log.partitions()
    copy.create(topics.ALL, lambda topic: counts[topic.name])
    for record in (r for topic in topics.ALL for r in records(log, topic)):
        changed = change(record)
        if changed is not None:
            put(copy, changed)
    return copy


def put(log: MemoryLog, record: Record) -> None:
    """Append ``record`` with its own time."""
    assert isinstance(log.clock, ManualClock)
    log.clock.now = (record.timestamp_ms + 0.5) / 1000
    log.append_raw(record.origin.topic, record.origin.partition, record.key, record.value, record.headers)


def without(chosen: Record) -> Change:
    """Leave out one record."""
    return lambda record: None if record.origin == chosen.origin else record


def instead(chosen: Record, other: Record) -> Change:
    """Put ``other`` where ``chosen`` stands."""
    return lambda record: other if record.origin == chosen.origin else record


def with_header(record: Record, name: str, value: str) -> Record:
    """``record`` with one header changed."""
    return replace(record, headers=tuple((n, value.encode() if n == name else v) for n, v in record.headers))


def records(log: MemoryLog, topic: Topic) -> list[Record]:
    """All records of ``topic``, partition by partition."""
    places = range(log.partitions()[topic.name])
    return [record for place in places for record in log.read(topic.name, place, *log.ends(topic.name, place))]

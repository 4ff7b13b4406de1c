"""The runs of the growth benchmark: more processes and partitions, and stores that hold more and more."""

from __future__ import annotations

import argparse
import pickle
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import redis

from benchmarks.engines_run import Place, fresh, lessons, of_tenant, paced, wait_for
from benchmarks.output import progress
from benchmarks.redis_program import redis_program
from benchmarks.scale_fill import (
    ITEMS,
    LEARNERS,
    SESSIONS,
    Written,
    endless,
    expected,
    fill,
    fill_outbox,
    repeated,
    used_memory,
    written,
)
from benchmarks.scale_role import Worker, working
from benchmarks.scale_watch import Cost, OnDisk, on_disk, records, watched
from deploy.kafka import broker as servers
from schemas import topics
from state.store import Shard, Store
from streams.assembly import connect_store
from streams.embedded import EmbeddedRedis
from streams.engines.kafka_broker import KafkaBroker
from streams.message import Message
from streams.settings import Settings, load
from streams.simulated import LESSON, simulate
from streams.stage import begin_at_end, rss_mb

TAUGHT = 1_000  # interactions whose labels the model has learned
PARTITIONS = 4  # while sizes are compared
CHUNKS = 3  # as many figures of each size
LESSONS = 60  # that are made, and then said again and again
FEEDBACK = 0.9  # for each interaction: fewer than have a label, so that each meets its own
AT_ONCE = 64  # examples that curate decides at once
ALONE = 100  # interactions that are sent one by one
ANOTHER = "somebody-else"


@dataclass(frozen=True, slots=True)
class Held:
    """Bytes that ``entries`` of a kind take in Redis: measured, and as the model has it."""

    entries: int
    measured: float
    expected: float


@dataclass(frozen=True)
class Full:
    """A role whose store held ``size`` of something: what events of each kind cost, in turns; what was held; seconds
    until it was ready; its resident megabytes then."""

    size: int
    costs: Mapping[str, Sequence[Cost]]
    held: Mapping[str, Held]
    ready_s: float
    rss_mb: float


@dataclass
class Found:
    """Everything that a run has measured."""

    throughput: list[tuple[int, int, Cost]] = field(default_factory=list)
    sizes: dict[str, list[Full]] = field(default_factory=dict)
    foreign: Cost | None = None
    worker: Cost | None = None
    examples_per_step: float = 0.0
    snapshot_mb: float = 0.0
    disk: dict[str, OnDisk] = field(default_factory=dict)
    again: dict[str, OnDisk] = field(default_factory=dict)
    alone_bytes: float = 0.0
    outbox: Held | None = None


@dataclass(frozen=True)
class Ground:
    """What a run stands on: a Kafka of its own, a model, and what the roles wrote of some lessons."""

    given: argparse.Namespace
    folder: Path
    broker: servers.Broker
    model: Path
    written: Written

    @contextmanager
    def place(self, partitions: int, **more: object) -> Iterator[Stand]:
        """Fresh topics, a Redis of its own, and a tenant."""
        tenant = f"scale-{secrets.token_hex(4)}"
        with EmbeddedRedis(self.folder / tenant, redis_program()) as server:
            settings = load(kafka=self.broker.bootstrap, redis=server.url, tenant=tenant, partitions=partitions,
                            shed_after_s=0.0, blobs=f"file://{self.folder}/blobs-{tenant}", **more)  # fmt: skip
            broker = fresh(Place(self.broker.bootstrap, server.url, self.folder), partitions, topics.ALL)
            store = connect_store(settings)
            with redis.Redis.from_url(server.url) as client:
                client.config_set("auto-aof-rewrite-percentage", 0)  # it would take a core now and then
            begin_at_end(broker, store, tenant)
            try:
                yield Stand(self, settings, broker, store, server)
            finally:
                store.close()
        shutil.rmtree(self.folder / tenant)


@dataclass(frozen=True)
class Stand:
    """A tenant's topics and store for one measurement."""

    ground: Ground
    settings: Settings
    broker: KafkaBroker
    store: Store
    server: EmbeddedRedis

    @contextmanager
    def working(self, role: str, processes: int = 1) -> Iterator[tuple[Sequence[Worker], float]]:
        """``processes`` of a role that are ready, and how many seconds that took. Raises ContestantFailed."""
        ground = self.ground
        begun = time.monotonic()
        with working(role, self.settings, ground.model, ground.folder, processes) as workers:
            wait_for(lambda: all(worker.ready() for worker in workers), f"{role} was not ready", ground.given.patience)
            yield workers, time.monotonic() - begun

    def cost(
        self, workers: Sequence[Worker], sent: Sequence[Message], done: Callable[[], int], tenant: str | None = None
    ) -> Cost:
        """What ``sent`` costs, of this tenant or another. Raises BrokerError, ContestantFailed."""
        before, mine = done(), [of_tenant(one, tenant or self.settings.tenant) for one in sent]
        with ThreadPoolExecutor(1) as sender:
            sending = sender.submit(paced, self.broker, mine, 0)
            found = self.watched(workers, lambda: done() - before, len(mine))
            sending.result()
        return found

    def watched(self, workers: Sequence[Worker], done: Callable[[], int], wanted: int) -> Cost:
        """What comes until ``done``. Raises ContestantFailed."""
        pids = {"redis": self.server.pid, "kafka": self.ground.broker.pid}
        return watched(workers, pids, done, wanted, self.ground.given.patience)

    def records(self, *of: topics.Topic) -> int:
        """How many records these topics have had."""
        return records(self.broker, of, {t.name: self.settings.partitions if t.per_session else 1 for t in of})

    def decided(self, role: str, topic: topics.Topic, partitions: int) -> int:
        """How many records of ``topic`` the store says are decided."""
        stored = [self.store.offsets(Shard(self.settings.tenant, role, number)) for number in range(partitions)]
        return sum(of.get(f"{topic.name}/{number}", 0) for number, of in enumerate(stored))

    def disk(self, topic: topics.Topic) -> OnDisk:
        """What the broker keeps of ``topic``."""
        count = self.settings.partitions if topic.per_session else 1
        return on_disk(self.broker, self.ground.folder / "kafka" / "log", topic, count)

    def filled(self, shards: Sequence[Shard], kinds: Sequence[str], size: int) -> dict[str, Held]:
        """Fill ``shards`` with ``size`` of each of ``kinds``. Raises StoreUnavailable."""
        found: dict[str, Held] = {}
        held = [0, 0]
        for kind in kinds:
            before, now = used_memory(self.server.url), time.time()
            some = fill(self.store, shards, endless(self.ground.written.entries[kind], now), size)
            self.store.close()  # with what its connection has buffered
            taken = used_memory(self.server.url) - before
            found[kind] = Held(size, taken, expected(some, size, len(shards), held))
            held = [held[0] + size, held[1] + (size if some[0].due is not None else 0)]
        return found


def run(given: argparse.Namespace, found: Found) -> None:
    """Everything into ``found``, one after the other. Raises BrokerFailed, CurrereError."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="currere-scale-")))
        ground = _ground(given, folder, stack.enter_context(servers.Broker(folder / "kafka", settings=servers.QUICK)))
        turns = list(dict.fromkeys([*((p, 1) for p in given.partitions), *((given.group, n) for n in given.processes)]))
        runs = len(turns) * given.rounds + len(given.series) * len(given.sizes)
        advance = stack.enter_context(progress("runs", runs))
        for _ in range(given.rounds):
            for partitions, processes in turns:
                cost = throughput(ground, partitions, processes, found)
                found.throughput.append((partitions, processes, cost))
                _say(f"{partitions} partitions, {processes} processes", cost)
                advance()
        for name in given.series:
            found.sizes[name] = []
            for size in given.sizes:
                full = SERIES[name](ground, size, found)
                found.sizes[name].append(full)
                for kind, costs in full.costs.items():
                    _say(f"{size:,} {name}, {kind}, ready after {full.ready_s:.1f} s", costs[-1])
                advance()


def throughput(ground: Ground, partitions: int, processes: int, found: Found) -> Cost:
    """Scored interactions a second, of a backlog. Raises BrokerError, ContestantFailed."""
    some = lessons(ground.given.seed + 1, min(ground.given.events, LESSONS * LESSON), partitions)
    said = list(repeated(some, ground.given.events, partitions))
    with ground.place(partitions) as stand, stand.working("session", processes) as (workers, _):
        cost = stand.cost(workers, said, lambda: stand.records(topics.PREDICTION))
        if not found.again.keys() & {topics.PREDICTION.name}:
            found.again |= {topic.name: stand.disk(topic) for topic in (topics.INTERACTION, topics.PREDICTION)}
        return cost


def of_sessions(ground: Ground, size: int, found: Found) -> Full:
    """Interactions, then feedback on them, where ``size`` sessions are open and as many predictions wait for labels."""
    made = ground.written
    with ground.place(PARTITIONS) as stand:
        shards = [Shard(stand.settings.tenant, "session", number) for number in range(PARTITIONS)]
        held = stand.filled(shards, SESSIONS, size)
        with stand.working("session") as (workers, ready_s):
            rss = rss_mb([worker.pid for worker in workers])
            costs = {
                "interaction": [stand.cost(workers, chunk, lambda: stand.records(topics.PREDICTION))
                                for chunk in chunks(made.interactions, ground.given.batch, PARTITIONS)],
                "feedback": [stand.cost(workers, chunk, lambda: stand.records(topics.EXAMPLE, topics.FATE))
                             for chunk in chunks(made.feedback, round(FEEDBACK * ground.given.batch), PARTITIONS)],
            }  # fmt: skip
            if found.foreign is None:
                kept = (topics.INTERACTION, topics.FEEDBACK, topics.PREDICTION, topics.EXAMPLE)
                found.disk |= {topic.name: stand.disk(topic) for topic in kept}
                found.foreign = _foreign(stand, workers)
                found.alone_bytes = _alone(stand)
        if size == max(ground.given.sizes):
            spare = [Shard(stand.settings.tenant, "spare", number) for number in range(PARTITIONS)]
            held |= stand.filled(spare, ("feedback", "labels"), size)
            found.outbox = _outbox(stand)
        return Full(size, costs, held, ready_s, rss)


def of_learners(ground: Ground, size: int, found: Found) -> Full:
    """Examples, where ``size`` learners have had their say on consent, and as many examples were met in the horizon."""
    return _curated(ground, size, LEARNERS, found, memory={})


def of_items(ground: Ground, size: int, found: Found) -> Full:
    """Examples, where the replay memory has room for ``size`` items and is full."""
    return _curated(ground, size, ITEMS, found, memory={"capacity": size})


SERIES = {"sessions": of_sessions, "learners": of_learners, "items": of_items}


def _curated(ground: Ground, size: int, kinds: Sequence[str], found: Found, memory: dict[str, object]) -> Full:
    with ground.place(PARTITIONS, memory=memory, batch=AT_ONCE) as stand:
        shard = Shard(stand.settings.tenant, "curate", 0)
        held = stand.filled([shard], kinds, size)
        with stand.working("curate") as (workers, ready_s):
            rss = rss_mb([worker.pid for worker in workers])
            costs = [stand.cost(workers, chunk, lambda: stand.decided("curate", topics.EXAMPLE, 1))
                     for chunk in chunks(ground.written.examples, ground.given.batch, 1)]  # fmt: skip
        requests = {topics.TRAIN_REQUEST.name: stand.disk(topics.TRAIN_REQUEST)}
        if found.worker is None:
            found.disk |= requests
            _fold(stand, found)
        elif topics.TRAIN_REQUEST.name not in found.again and kinds is LEARNERS:
            found.again |= requests
        return Full(size, {"example": costs}, held, ready_s, rss)


def _fold(stand: Stand, found: Found) -> None:
    """Let a worker fold the requests that are there."""
    requests = stand.records(topics.TRAIN_REQUEST)
    with working("worker", stand.settings, stand.ground.model, stand.ground.folder) as workers:
        found.worker = stand.watched(workers, lambda: stand.records(topics.TRAIN_STEP), requests)
    found.examples_per_step = stand.decided("curate", topics.EXAMPLE, 1) / requests
    kept = (topics.TRAIN_STEP, topics.DELTA, topics.CHECKPOINT)
    found.disk |= {topic.name: stand.disk(topic) for topic in kept}
    blobs = Path(stand.settings.blobs.removeprefix("file://"))
    found.snapshot_mb = max(path.stat().st_size for path in blobs.rglob("*.safetensors")) / 1e6


def _foreign(stand: Stand, workers: Sequence[Worker]) -> Cost:
    """What it costs to pass over another tenant's interactions."""
    others = repeated(stand.ground.written.interactions, CHUNKS * stand.ground.given.batch, PARTITIONS)
    return stand.cost(
        workers, list(others), lambda: stand.decided("session", topics.INTERACTION, PARTITIONS), tenant=ANOTHER
    )


def _alone(stand: Stand) -> float:
    """Bytes of an interaction in the log that comes in a batch of its own, as from an app."""
    before = stand.disk(topics.INTERACTION).log
    few = [of_tenant(one, ANOTHER) for one in stand.ground.written.interactions[:ALONE]]
    for one in few:
        paced(stand.broker, [one], 0)
    return (stand.disk(topics.INTERACTION).log - before) / len(few)


def _outbox(stand: Stand) -> Held:
    before = used_memory(stand.server.url)
    packed = stand.ground.written.outbox
    should = fill_outbox(stand.store, Shard(stand.settings.tenant, "nobody", 0), packed)
    stand.store.close()
    return Held(len(packed), used_memory(stand.server.url) - before, should)


def chunks(messages: Sequence[Message], each: int, partitions: int) -> Iterator[Sequence[Message]]:
    """``CHUNKS`` parts of ``each`` messages, which are ``messages`` again and again."""
    every = repeated(messages, CHUNKS * each, partitions)
    return (list(islice(every, each)) for _ in range(CHUNKS))


def _ground(given: argparse.Namespace, folder: Path, broker: servers.Broker) -> Ground:
    from benchmarks.score import taught  # imports torch
    from streams.serving import ServedPredictor

    served = taught(islice(simulate(given.seed, TAUGHT), 2 * TAUGHT), given.seed)
    model = folder / "model.pickle"
    model.write_bytes(pickle.dumps(served))
    return Ground(given, folder, broker, model, written(given.seed, LESSONS, ServedPredictor(served), PARTITIONS))


def _say(what: str, cost: Cost) -> None:
    spent = f"{cost.role_us:,.0f} µs CPU an event, Redis {cost.redis_us:,.0f}, Kafka {cost.kafka_us:,.0f}"
    print(f"{what}: {cost.per_s:,.0f}/s, {spent}, {cost.rss_mb:,.0f} MB", file=sys.stderr, flush=True)

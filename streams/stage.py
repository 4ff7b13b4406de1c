"""Where a run's roles are: processes over real servers, or threads over an in-process log. Both look alike."""

from __future__ import annotations

import json
import logging
import os
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic_core import from_json

from learners.entry import Entry
from schemas import topics
from schemas.errors import CurrereError
from state.redis import without_secrets
from state.store import Commit, Shard, Store
from streams.assembly import Workshop, connect_store, partitions_of
from streams.blobs import Blobs
from streams.embedded import EmbeddedRedis
from streams.engines.broker import Broker
from streams.engines.memory import MemoryEngine, MemoryLog
from streams.metrics import Metrics
from streams.roles import ROLES
from streams.settings import Settings
from streams.supervisor import RoleDied, Supervisor
from streams.up import kafka_of

LOG = logging.getLogger("streams.stage")
IDLE_S = 0.02


class Place(Protocol):
    """A tenant on a log and a store."""

    settings: Settings
    broker: Broker
    store: Store


class Stage(Place, Protocol):
    """The servers and roles of one run."""

    since: Mapping[str, int]
    what_broker: str
    what_store: str

    def pids(self) -> Sequence[int]:
        """The processes that the run is made of, this one first."""

    def start(self) -> None:
        """Start every role."""

    def ready(self) -> bool:
        """Whether every role may be given work."""

    def tend(self) -> None:
        """See that the roles run. Raises CurrereError when one cannot."""

    def stop(self) -> None:
        """Drain and stop the roles; servers go on until ``close``."""

    def close(self) -> None:
        """End what was started."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the roles are: records not yet taken, by role. ``None``: not known."""

    behind: Mapping[str, int]

    @property
    def at_rest(self) -> bool:
        """Nothing is left to take."""
        return not any(self.behind.values())


def standing(stage: Place, folded_to: int | None) -> Standing:
    """How far the roles are, by the offsets in the store and, for the worker, by the model that was published."""
    settings, counts = stage.settings, stage.broker.partitions()
    behind: dict[str, int] = {}
    for role in ("session", "curate"):
        left = 0
        for partition in range(counts[ROLES[role].inputs[0]]):
            stored = stage.store.offsets(Shard(settings.tenant, role, partition))
            for topic in ROLES[role].inputs:
                start, end = stage.broker.ends(topic, partition)
                left += max(end - stored.get(f"{topic}/{partition}", start), 0)
        behind[role] = left
    _, requests = stage.broker.ends(topics.TRAIN_REQUEST.name, 0)
    behind["worker"] = max(requests - (folded_to or 0), 0)
    return Standing(behind)


class KafkaStage:
    """Roles as processes over real Kafka and Redis, under a tenant of its own that begins at the topics' present ends.

    Whatever is left out of ``kafka`` and ``redis`` must be configured; see ``EmbeddedStage`` for no servers at all.
    """

    def __init__(self, settings: Settings, folder: Path, on_death: Callable[[str, int], None]) -> None:
        self.settings = settings
        self.broker: Broker = kafka_of(settings)
        self.store = connect_store(settings)
        self.what_broker, self.what_store = f"kafka {settings.kafka}", f"redis {without_secrets(settings.redis)}"
        self.broker.create(topics.ALL, partitions_of(settings))
        self.store.ping()
        self.since: Mapping[str, int] = begin_at_end(self.broker, self.store, settings.tenant)
        given = settings.model_dump(mode="json", exclude_none=True)
        self._supervisor = Supervisor(
            tuple(ROLES), environment_of(given), folder / "logs", ports=True, on_death=on_death
        )

    def pids(self) -> Sequence[int]:
        """This process and the roles'."""
        return [os.getpid(), *(child.process.pid for child in self._supervisor.children.values())]

    def start(self) -> None:
        """Start the processes; call it from a thread that outlives them."""
        self._supervisor.start()

    def ready(self) -> bool:
        """Whether every process says so."""
        return self._supervisor.ready()

    def tend(self) -> None:
        """Start again what died. Raises RoleDied."""
        self._supervisor.tend()

    def stop(self) -> None:
        """Drain and stop the processes."""
        self._supervisor.stop()

    def close(self) -> None:
        """End whatever still runs."""
        self._supervisor.stop()
        self.store.close()


class EmbeddedStage:
    """Roles as threads over an in-process log, state in an embedded Redis-compatible server."""

    def __init__(self, settings: Settings, folder: Path, redis: str | None) -> None:
        self._stack = ExitStack()
        self.what_store = f"redis {without_secrets(redis)}" if redis else "valkey (embedded)"
        self.what_broker = "in-process log"
        url = redis or self._stack.enter_context(EmbeddedRedis(folder / "redis")).url
        self.settings = settings.model_copy(update={"redis": url})
        self._log = MemoryLog()
        self.broker: Broker = self._log
        self.broker.create(topics.ALL, partitions_of(self.settings))
        self.store = connect_store(self.settings)
        self.since: Mapping[str, int] = {}
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._failure: list[CurrereError] = []
        self._begun: set[str] = set()

    def pids(self) -> Sequence[int]:
        """This process, which is all of them but the store."""
        return [os.getpid()]

    def start(self) -> None:
        """Start the threads."""
        self._threads = [threading.Thread(target=self._run, args=(role,), name=role, daemon=True) for role in ROLES]
        for thread in self._threads:
            thread.start()

    def ready(self) -> bool:
        """Whether every thread has what it needs."""
        return self._begun >= set(ROLES)

    def tend(self) -> None:
        """Raise what a role has raised."""
        if self._failure:
            raise self._failure[0]
        if ended := [thread.name for thread in self._threads if not thread.is_alive() and not self._stop.is_set()]:
            raise RoleDied(f"{', '.join(ended)} ended on an unexpected error, which is shown above")

    def stop(self) -> None:
        """Let every role finish its batch."""
        self._stop.set()
        for thread in self._threads:
            thread.join(15.0)

    def close(self) -> None:
        """Stop the roles and the store's server."""
        self.stop()
        self.store.close()
        self._stack.close()

    def _run(self, role: str) -> None:
        log, metrics = self._log, Metrics()
        try:
            shop = Workshop(self.settings, log, connect_store(self.settings), Blobs(self.settings.blobs), metrics)
            if role == "worker":
                self._fold(shop, log)
            elif role == "curate":
                from streams.curating import curate_role

                self._step(MemoryEngine(log, shop.store, curate_role(self.settings), metrics, self.settings.batch), log)
            else:
                from streams.serving import session_role, session_watcher

                watcher = session_watcher(self.settings, log, shop.blobs, metrics)
                watcher.start()
                at = session_role(self.settings, watcher)
                self._step(MemoryEngine(log, shop.store, at, metrics, self.settings.batch), log)
                watcher.close()
            shop.store.close()
        except CurrereError as error:
            LOG.exception("%s", role)
            self._failure.append(error)

    def _step(self, engine: MemoryEngine, log: MemoryLog) -> None:
        engine.step()
        self._begun.add(engine.at.role)
        while not self._stop.is_set():
            if not engine.step():
                log.wait(IDLE_S)
        engine.close()

    def _fold(self, shop: Workshop, log: MemoryLog) -> None:
        from learners.fingerprint import fix_threads
        from streams.serving import worker_of

        fix_threads()
        worker, name = worker_of(shop, 0), topics.TRAIN_REQUEST.name
        self._begun.add("worker")
        while not self._stop.is_set():
            at = worker.offsets.get(f"{name}/0", 0)
            _, end = log.ends(name, 0)
            worker.process(list(log.read(name, 0, at, min(end, at + 20))), time.time())
            if at == end:
                log.wait(IDLE_S)
        worker.close(5.0)


def run_settings(settings: Settings, folder: Path) -> Settings:
    """The settings of one run: a tenant of its own, snapshots in ``folder``."""
    blobs = f"file://{folder.resolve() / 'blobs'}"  # without "..", so that whoever writes out the path names the same
    return settings.model_copy(update={"tenant": f"demo-{secrets.token_hex(4)}", "blobs": blobs})


def begin_at_end(broker: Broker, store: Store, tenant: str) -> dict[str, int]:
    """Let a new tenant's shards begin where the topics end now: what earlier runs left there is not theirs.

    Returns the ends, by topic/partition.
    """
    counts = broker.partitions()
    ends = {f"{t.name}/{p}": broker.ends(t.name, p)[1] for t in topics.ALL for p in range(counts[t.name])}
    for role in ("session", "curate"):
        at = ROLES[role]
        known = {place: end for place, end in ends.items() if place.rpartition("/")[0] in at.outputs}
        for partition in range(counts[at.inputs[0]]):
            shard, token = Shard(tenant, role, partition), secrets.token_hex(16)
            offsets = {f"{t}/{partition}": ends[f"{t}/{partition}"] for t in at.inputs}
            if not store.take(shard, token).offsets:
                store.commit(shard, token, {}, Commit(offsets, known=known))
    return ends


def memory_by_class(store: Store, tenant: str) -> dict[str, int]:
    """What the replay memory holds, by ``task/class``; ask once curate has stopped, since this takes its token."""
    shard, token = Shard(tenant, "curate", 0), secrets.token_hex(16)
    taken = store.take(shard, token)
    held = store.read_all(shard, token, taken.offsets)
    return dict(Counter(Entry(*from_json(value)).label for key, value in held.items() if key.startswith("m:")))


def rss_mb(pids: Sequence[int]) -> float:
    """Resident memory of these processes together, megabytes; 0 where there is no /proc."""
    total = 0.0
    for pid in pids:
        with suppress(OSError):
            status = Path(f"/proc/{pid}/status").read_text()
            total += next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")), 0) / 1024
    return total


def environment_of(given: Mapping[str, object]) -> dict[str, str]:
    """Settings as the environment of a child."""
    return {
        f"CURRERE_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
        for name, value in given.items()
        if value not in ({}, [])
    }

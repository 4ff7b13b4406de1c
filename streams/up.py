"""One role in this process, over Kafka and Redis: assembled, watched over, and stopped in order."""

from __future__ import annotations

import gc
import logging
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from schemas.errors import ConfigurationError, CurrereError
from streams.assembly import Workshop, connect_store
from streams.blobs import Blobs
from streams.clock import wall_clock
from streams.engines.engine import Engine, EngineSettings
from streams.engines.kafka import KafkaEngine
from streams.engines.kafka_broker import KafkaBroker
from streams.engines.lanes import Runner
from streams.health import HealthServer, Limits, Verdict, verdict
from streams.malloc import keep_little
from streams.metrics import Metrics
from streams.roles import ROLES
from streams.settings import Settings

LOG = logging.getLogger("streams.up")
TURN_S = 0.02  # of CPU, after which a thread that others wait for lets go of the interpreter; Python has 0.005
WORKER_BATCH = 16  # steps: what is at work when the role is told to stop must be done in a few seconds

Owner = tuple[Callable[[int], Runner], Callable[[], None]]


class Stalled(CurrereError):
    """The role stood still while there was work; the process ends so that another can take over."""


def kafka_of(settings: Settings) -> KafkaBroker:
    """The broker that ``settings`` name."""
    return KafkaBroker(settings.kafka, settings.kafka_options, settings.kafka_replication)


def engine_settings(settings: Settings, role: str) -> EngineSettings:
    """How ``role`` polls."""
    return EngineSettings(
        group=f"currere-{settings.tenant}-{role}",
        instance=f"{role}-{settings.instance}" if settings.instance else None,
        group_protocol=settings.group_protocol,
        session_timeout_ms=settings.session_timeout_ms or (10_000 if settings.group_protocol == "classic" else None),
        batch=settings.batch if role != "worker" else min(settings.batch, WORKER_BATCH),
        tick_s=min(max(settings.request_wait_s / 2, 0.02), 0.5) if role != "session" else 0.5,
    )


def engine_of(role: str, shop: Workshop, broker: KafkaBroker, assign: Callable[[int], Runner]) -> Engine:
    """The engine that the settings name, for ``role``. Raises ConfigurationError if it is not installed, or refuses."""
    settings, polls = shop.settings, engine_settings(shop.settings, role)
    inputs = ROLES[role].inputs
    if settings.engine == "kafka":
        return KafkaEngine(broker, inputs, assign, polls, shop.metrics, role, shop.clock)
    try:
        from streams.engines.faust import FaustEngine
    except ModuleNotFoundError as missing:
        raise ConfigurationError(f"engine = faust: {missing}; pip install 'currere[roles,faust]'") from missing
    return FaustEngine(broker, inputs, assign, polls, shop.metrics, role, shop.clock, settings.faust_options)


def owner_of(role: str, shop: Workshop) -> Owner:
    """How ``role`` takes a partition, and what to call when it is over."""
    if role == "curate":
        from streams.curating import curate_role  # river takes seconds to import

        return shop.owner(curate_role(shop.settings)), lambda: None
    # Only these two need torch, which takes seconds and hundreds of megabytes to import.
    from learners.fingerprint import fix_threads
    from streams.serving import session_role, session_watcher, worker_of

    fix_threads()
    if role == "worker":
        return partial(worker_of, shop), lambda: None
    watcher = session_watcher(shop.settings, shop.broker, shop.blobs, shop.metrics)
    watcher.start()
    return shop.owner(session_role(shop.settings, watcher)), watcher.close


def settle() -> None:
    """Let the garbage collector leave alone what is there now, and come seldom: call it once all is imported.

    A batch makes some 10^5 objects that reference counting frees; only what stands in a circle waits for the collector.
    At its own settings it spent 150 of 370 µs CPU an interaction going through what torch has imported. Threads take
    turns less often, too: most batches are decided in less than ``TURN_S``.
    """
    sys.setswitchinterval(TURN_S)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)


@dataclass
class RoleProcess:
    """A role of ``ROLES`` at work in this process until ``stop`` is set.

    ``own`` says how it takes a partition. ``give_up`` is called when it makes no progress, before it is stopped: what
    stands still may not stop in order.

    Raises from ``run``: Stalled when it makes no progress, BrokerError or PartitionsChanged when it cannot go on.
    """

    role: str
    settings: Settings
    stop: threading.Event
    own: Callable[[str, Workshop], Owner] = owner_of
    give_up: Callable[[], None] = lambda: None
    _stalled: str = field(default="", init=False)

    def run(self) -> None:
        """Assemble, serve metrics, poll, drain."""
        keep_little()
        broker, clock, metrics = kafka_of(self.settings), wall_clock(), Metrics()
        store, blobs = connect_store(self.settings), Blobs(self.settings.blobs)
        shop = Workshop(self.settings, broker, store, blobs, metrics, clock)
        assign, close = self.own(self.role, shop)
        engine = engine_of(self.role, shop, broker, assign)
        health = self._serve(engine, metrics)
        guard = threading.Thread(target=self._guard, args=(engine,), name="guard", daemon=True)
        guard.start()
        settle()
        try:
            engine.run(self.stop)
        finally:
            self.stop.set()
            guard.join()
            close()
            if health is not None:
                health.close()
            shop.store.close()
        if self._stalled:
            raise Stalled(f"{self.role}: {self._stalled}")

    def _judge(self, engine: Engine) -> Verdict:
        return verdict(engine.vitals, time.monotonic(), Limits(stall_s=self.settings.stall_s))

    def _serve(self, engine: Engine, metrics: Metrics) -> HealthServer | None:
        if self.settings.metrics_port is None:
            return None
        roles = {self.role: lambda: self._judge(engine)}
        return HealthServer(metrics, roles, self.settings.metrics_host, self.settings.metrics_port)

    def _guard(self, engine: Engine) -> None:
        """Standing still is not health: end the process, so that another takes its partitions."""
        while not self.stop.wait(1.0):
            engine.metrics.gauge("poll_age_seconds", time.monotonic() - engine.vitals.polled, role=self.role)
            found = self._judge(engine)
            if not found.alive:
                self._stalled = "; ".join(found.why)
                LOG.error("%s is not alive: %s; stopping", self.role, self._stalled)
                self.give_up()
                self.stop.set()

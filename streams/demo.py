"""One whole run: play a classroom, let the roles learn from it, watch from outside, and stop when all is done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from learners.metrics import Prequential
from schemas import codec, topics
from schemas.errors import BadEvent, CurrereError
from schemas.prediction import Example
from streams.blobs import Blobs
from streams.engines.broker import Broker, Tail
from streams.observe import Observer
from streams.play import Pace, Played, play
from streams.schedule import Classroom
from streams.stage import Stage, Standing, rss_mb, standing

QUIET_S = 1.5  # at rest for so long: done
LOOK_S = 0.5  # between two looks at how far the roles are
READY_S = 120.0  # longest wait for the roles before the first event
SETTLE_S = 1_800.0  # longest wait for the roles after the last event


class NotDone(CurrereError):
    """The roles did not come to rest; what was played is in the log, and the audit says what is missing."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A run at a moment, for a person: seconds since its start, what was played, what was learned."""

    seconds: float
    played: Played
    labels: int
    mcc: Mapping[str, float]
    curve: Mapping[str, list[float]]
    version: str
    fresh: int
    behind: Mapping[str, int]
    deaths: int


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run leaves behind beside its topics."""

    played: Played
    seconds: float
    first_model_s: float | None
    deaths: Mapping[str, int]
    rss_mb: float
    observer: Observer


class Listener:
    """Follows the examples and judges the model as they come: the curve that a person sees while it is drawn."""

    def __init__(self, broker: Broker, tenant: str) -> None:
        self.tenant, self.quality, self.labels = tenant, Prequential(), 0
        self._tail: Tail = broker.tail(topics.EXAMPLE.name, 0, broker.ends(topics.EXAMPLE.name, 0)[1])

    def step(self) -> None:
        """Take in what has come."""
        for record in self._tail.poll(0.0):
            if record.header("ce_tenant") != self.tenant:
                continue
            try:
                data = codec.decode_data(Example, record.value or b"")
            except BadEvent:
                continue
            for task, label in data.labels.items():
                self.labels += 1
                self.quality.update(task, label, data.predicted.get(task), data.delay_s)

    def close(self) -> None:
        """Stop following."""
        self._tail.close()

    def recent(self) -> dict[str, float]:
        """Matthews correlation over the last labels, by task."""
        found = {task: summary["window"].get("mcc") for task, summary in self.quality.summary().items()}
        return {task: mcc for task, mcc in found.items() if mcc is not None}

    def curves(self) -> dict[str, list[float]]:
        """The same over time, by task."""
        return {task: self.quality.curve(task).get("mcc", []) for task in self.quality.summary()}


@dataclass
class Demo:
    """A run of ``events`` on ``stage``; ``on_progress`` is told twice a second. ``stop`` ends it early, in order.

    ``most_behind`` is how many records the roles may be behind before the player waits for them; None: it never does.
    """

    stage: Stage
    events: Iterable[Classroom]
    pace: Pace
    stop: threading.Event
    on_progress: Callable[[Progress], None]
    deaths: dict[str, int] = field(default_factory=dict)
    most_behind: int | None = None
    _rss_mb: float = 0.0
    _credit: int = 0

    def run(self) -> Ran:
        """Play, wait until the roles are at rest, drain them. Raises NotDone, BrokerError, RoleDied."""
        settings, broker = self.stage.settings, self.stage.broker
        observer = Observer(broker, Blobs(settings.blobs), settings.tenant, settings.model, time.time)
        listener = Listener(broker, settings.tenant)
        begun, started_at = time.monotonic(), time.time()
        self.stage.start()
        observer.start()
        player = _Player(self, broker)
        try:
            self._wait_until_ready(begun, player, observer, listener)
            player.start()
            seconds = self._watch(begun, player, observer, listener)
        finally:
            self.stop.set()
            if player.ident is not None:
                player.join(10.0)
            self.stage.stop()
            observer.close()
            listener.close()
        if player.failure is not None:
            raise player.failure
        fresh = observer.swaps[1:]  # the first is the genesis, which has learned nothing
        first = fresh[0].at - started_at if fresh else None
        return Ran(player.played, seconds, first, dict(self.deaths), self._rss_mb, observer)

    def _wait_until_ready(self, begun: float, player: _Player, observer: Observer, listener: Listener) -> None:
        """Until every role may be given work and a model is served: what is played before counts as waiting."""
        while not self.stop.is_set() and time.monotonic() - begun < READY_S:
            self.stage.tend()
            if observer.watcher.current is not None and self.stage.ready():
                return
            self._tell(begun, player, observer, listener, Standing({}))
            self.stop.wait(0.1)

    def _watch(self, begun: float, player: _Player, observer: Observer, listener: Listener) -> float:
        """Look on until all is at rest; returns the seconds until then."""
        rest_since: float | None = None
        ended: float | None = None
        while not self.stop.is_set():
            self.stage.tend()
            listener.step()
            served = observer.watcher.current.served if observer.watcher.current else None
            where = standing(self.stage, served.next_offset if served else None)
            self._tell(begun, player, observer, listener, where)
            if self.most_behind is not None:
                self._credit = self.most_behind - sum(where.behind.values())
            now = time.monotonic()
            if player.is_alive():
                rest_since = None
            else:
                ended = ended or now
                rest_since = (rest_since or now) if where.at_rest else None
                if player.failure is not None or (rest_since is not None and now - rest_since > QUIET_S):
                    return (rest_since or now) - begun
                if now - ended > SETTLE_S:
                    left = ", ".join(f"{role} {n}" for role, n in where.behind.items() if n)
                    raise NotDone(f"{SETTLE_S:.0f} s after the last event there are still records to take: {left}")
            self._rss_mb = max(self._rss_mb, rss_mb(self.stage.pids()))
            self.stop.wait(LOOK_S)
        return time.monotonic() - begun

    def kept_up(self) -> Iterator[Classroom]:
        """The events, no faster than the roles keep up."""
        for event in self.events:
            while self.most_behind is not None and self._credit <= 0 and not self.stop.is_set():
                self.stop.wait(0.01)
            self._credit -= 1
            yield event

    def _tell(self, begun: float, player: _Player, observer: Observer, listener: Listener, where: Standing) -> None:
        served = observer.watcher.current.served if observer.watcher.current else None
        self.on_progress(
            Progress(
                seconds=time.monotonic() - begun,
                played=player.played,
                labels=listener.labels,
                mcc=listener.recent(),
                curve=listener.curves(),
                version=served.version if served else "none yet",
                fresh=len(observer.swaps),
                behind=where.behind,
                deaths=sum(self.deaths.values()),
            )
        )


class _Player(threading.Thread):
    """Publishes the events while the roles work."""

    def __init__(self, demo: Demo, broker: Broker) -> None:
        super().__init__(name="player", daemon=True)
        self._demo, self._broker = demo, broker
        self.played = Played()
        self.failure: CurrereError | None = None

    def run(self) -> None:
        try:
            self.played = play(
                self._demo.kept_up(),
                self._broker,
                pace=self._demo.pace,
                stop=self._demo.stop,
                on_progress=self._note,
            )
        except CurrereError as error:
            self.failure = error

    def _note(self, played: Played) -> None:
        self.played = played

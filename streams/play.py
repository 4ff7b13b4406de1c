"""Publish scheduled events at a pace: as fast as the log takes them, so many a second, or as time went in them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from schemas import topics
from schemas.errors import BrokerError, ConfigurationError
from schemas.interaction import Interaction
from streams.client import message_of
from streams.engines.broker import Broker
from streams.schedule import Classroom

REPORT_S = 0.1  # between two calls of ``on_progress``
PATIENCE_S = 60.0  # without any acknowledgement

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Pace:
    """``speed`` is seconds of event time a second; ``events_per_s`` counts events; neither: as fast as they are taken.

    Raises ConfigurationError when both are given, or one is not positive.
    """

    speed: float | None = None
    events_per_s: float | None = None

    def __post_init__(self) -> None:
        if self.speed is not None and self.events_per_s is not None:
            raise ConfigurationError("a pace is a speed or a number of events a second, not both")
        for name in ("speed", "events_per_s"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigurationError(f"{name} is {value}; expected more than 0, or leave it out for full speed")

    def due_s(self, sent: int, event_s: float) -> float:
        """Seconds after the beginning at which an event may leave: ``sent`` before it, ``event_s`` of event time."""
        if self.speed is not None:
            return event_s / self.speed
        return sent / self.events_per_s if self.events_per_s is not None else 0.0


@dataclass(frozen=True, slots=True)
class Played:
    """What has been played: events by kind, those that the log has acknowledged, seconds it took, event time reached.

    ``stopped`` says that the rest was left out because somebody asked.
    """

    interactions: int = 0
    feedback: int = 0
    acknowledged: int = 0
    seconds: float = 0.0
    reached: datetime | None = None
    stopped: bool = False

    @property
    def sent(self) -> int:
        """Events of both kinds."""
        return self.interactions + self.feedback


class _Sender:
    """Sends events to one log and counts what it acknowledges. Raises BrokerError when topics are missing."""

    def __init__(self, broker: Broker, clock: Clock) -> None:
        self._address, self._clock = broker.address, clock
        self._partitions, self._producer = broker.partitions(), broker.producer()
        self.sent = self.taken = 0
        self._failures: list[str] = []
        if missing := {topics.INTERACTION.name, topics.FEEDBACK.name} - set(self._partitions):
            raise BrokerError(f"{broker.address} lacks {', '.join(sorted(missing))}; run `currere topics create`")

    def send(self, event: Classroom) -> None:
        """Enqueue ``event``. Raises TooLarge, and BrokerError for an earlier event that was not taken."""
        self._producer.send(message_of(event, self._partitions), self._acknowledged)
        self.sent += 1
        self._producer.poll()
        self._raise_failure()

    def wait_for(self, most_missing: int) -> None:
        """Return once at most so many are missing. Raises BrokerError for one that was not taken, or for silence."""
        heard, at = self.taken, self._clock()
        while self.sent - self.taken > most_missing:
            self._producer.flush(REPORT_S)
            self._raise_failure()
            if self.taken > heard:
                heard, at = self.taken, self._clock()
            elif self._clock() - at > PATIENCE_S:
                raise BrokerError(f"{self._address} has acknowledged nothing for {PATIENCE_S:.0f} s; play again")

    def _acknowledged(self, offset: int | None, error: str | None) -> None:
        if error is None:
            self.taken += 1
        else:
            self._failures.append(error)

    def _raise_failure(self) -> None:
        if self._failures:
            raise BrokerError(f"{self._address} did not take an event: {self._failures[0]}; play again")


def play(
    events: Iterable[Classroom],
    broker: Broker,
    pace: Pace = Pace(),
    *,
    stop: threading.Event | None = None,
    on_progress: Callable[[Played], None] = lambda played: None,
    most_unacknowledged: int = 10_000,
    clock: Clock = time.monotonic,
) -> Played:
    """Publish ``events`` in their order until they end or ``stop`` is set; all that was sent is then acknowledged.

    Events keep their ids, so that playing the same again adds nothing. Event time never runs backwards here: one that
    arrives after later ones leaves with them. ``on_progress`` is told ten times a second, and at the end.

    Raises:
        BrokerError: topics are missing, or the log did not take an event or fell silent; play again.
        TooLarge: an event has more bytes than a value may have.
    """
    stop, sender = stop or threading.Event(), _Sender(broker, clock)
    begun = reported = clock()
    interactions, stopped = 0, False
    first = reached = None

    def played() -> Played:
        feedback = sender.sent - interactions
        return Played(interactions, feedback, sender.taken, clock() - begun, reached, stopped)

    for event in events:
        first = first or event.envelope.time
        ahead = max(reached or first, event.envelope.time)
        wait_s = begun + pace.due_s(sender.sent, (ahead - first).total_seconds()) - clock()
        stopped = stop.wait(wait_s) if wait_s > 0 else stop.is_set()
        if stopped:
            break
        sender.send(event)
        sender.wait_for(most_unacknowledged)
        reached, interactions = ahead, interactions + isinstance(event.data, Interaction)
        if clock() - reported >= REPORT_S:
            reported = clock()
            on_progress(played())
    sender.wait_for(0)
    done = played()
    on_progress(done)
    return done

"""Publish scheduled events at a pace: as fast as the log takes them, so many a second, or as time went in them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
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


@dataclass
class _Acknowledgements:
    """What the log has answered so far."""

    taken: int = 0
    failures: list[str] = field(default_factory=list)

    def __call__(self, offset: int | None, error: str | None) -> None:
        if error is None:
            self.taken += 1
        else:
            self.failures.append(error)


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
    stop = stop or threading.Event()
    partitions = broker.partitions()
    if missing := {topics.INTERACTION.name, topics.FEEDBACK.name} - set(partitions):
        raise BrokerError(f"{broker.address} lacks {', '.join(sorted(missing))}; run `currere topics create`")
    producer, answers = broker.producer(), _Acknowledgements()
    begun, reported, played = clock(), clock(), Played()
    first: datetime | None = None

    def wait_for(most_missing: int) -> None:
        heard, at = answers.taken, clock()
        while played.sent - answers.taken > most_missing and not answers.failures:
            producer.flush(REPORT_S)
            if answers.taken > heard:
                heard, at = answers.taken, clock()
            elif clock() - at > PATIENCE_S:
                raise BrokerError(f"{broker.address} has acknowledged nothing for {PATIENCE_S:.0f} s; play again")
        if answers.failures:
            raise BrokerError(f"{broker.address} did not take an event: {answers.failures[0]}; play again")

    for event in events:
        first = first or event.envelope.time
        reached = max(played.reached or first, event.envelope.time)
        wait_s = begun + pace.due_s(played.sent, (reached - first).total_seconds()) - clock()
        if stop.wait(wait_s) if wait_s > 0 else stop.is_set():
            played = replace(played, stopped=True)
            break
        producer.send(message_of(event, partitions), answers)
        producer.poll()
        said = isinstance(event.data, Interaction)
        played = replace(
            played, interactions=played.interactions + said, feedback=played.feedback + (not said), reached=reached
        )
        wait_for(most_unacknowledged)
        if (now := clock()) - reported >= REPORT_S:
            reported = now
            on_progress(replace(played, acknowledged=answers.taken, seconds=now - begun))
    wait_for(0)
    played = replace(played, acknowledged=answers.taken, seconds=clock() - begun)
    on_progress(played)
    return played

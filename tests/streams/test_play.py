"""Playing events into a log: all of them, once, in order, at the pace that was asked for."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import timedelta

import pytest

from schemas import topics
from schemas.errors import BrokerError, ConfigurationError
from streams.client import message_of
from streams.engines.broker import Acknowledged
from streams.engines.memory import ManualClock, MemoryLog, MemoryProducer
from streams.message import Message
from streams.play import PATIENCE_S, Pace, Played, play
from streams.schedule import Classroom
from streams.simulated import simulate

EVENTS = 40


@pytest.fixture
def events() -> list[Classroom]:
    return list(simulate(seed=3, events=EVENTS))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def log(clock: ManualClock) -> MemoryLog:
    return _with_topics(MemoryLog(clock))


def _with_topics(log: MemoryLog) -> MemoryLog:
    log.create((topics.INTERACTION, topics.FEEDBACK), lambda topic: 3)
    return log


class _Waits(threading.Event):
    """A stop that nobody asks for, whose waiting moves the clock."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self.clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        self.clock.advance(timeout or 0.0)
        return self.is_set()


def _ids(log: MemoryLog) -> set[tuple[str, int, str | None]]:
    places = [(topic, number) for topic, count in log.partitions().items() for number in range(count)]
    return {(t, n, record.header("ce_id")) for t, n in places for record in log.read(t, n, *log.ends(t, n))}


def _arrivals_s(log: MemoryLog, clock: ManualClock, events: Sequence[Classroom], pace: Pace) -> list[float]:
    """Seconds after the beginning at which each event was played."""
    begun, seen = clock.now, []

    def noted() -> Sequence[Classroom]:
        for event in events:
            yield event
            seen.append(clock.now - begun)

    play(noted(), log, pace, stop=_Waits(clock), clock=clock)
    return seen


def test_every_event_is_in_the_log_on_the_partition_of_its_session(log: MemoryLog, events: list[Classroom]) -> None:
    done = play(events, log)
    sent = [message_of(event, log.partitions()) for event in events]
    assert _ids(log) == {(message.topic, message.partition, message.id) for message in sent}
    assert (done.interactions, done.sent, done.acknowledged) == (EVENTS, len(events), len(events))
    assert not done.stopped


def test_events_of_a_partition_stand_in_the_order_in_which_they_came(log: MemoryLog, events: list[Classroom]) -> None:
    play(events, log)
    sent = [message_of(event, log.partitions()) for event in events]
    for topic, count in log.partitions().items():
        for number in range(count):
            there = [record.header("ce_id") for record in log.read(topic, number, *log.ends(topic, number))]
            assert there == [m.id for m in sent if (m.topic, m.partition) == (topic, number)]


def test_playing_again_adds_no_new_id(log: MemoryLog, events: list[Classroom]) -> None:
    play(events, log)
    before = _ids(log)
    play(events, log)
    assert _ids(log) == before


def test_a_speed_makes_time_go_as_it_went_so_many_times_faster(
    log: MemoryLog, clock: ManualClock, events: list[Classroom]
) -> None:
    reached = events[0].envelope.time
    wanted = []
    for event in events:
        reached = max(reached, event.envelope.time)
        wanted.append((reached - events[0].envelope.time) / timedelta(seconds=60))
    assert _arrivals_s(log, clock, events, Pace(speed=60)) == pytest.approx(wanted)


def test_events_a_second_are_evenly_spaced(log: MemoryLog, clock: ManualClock, events: list[Classroom]) -> None:
    wanted = [number / 50 for number in range(len(events))]
    assert _arrivals_s(log, clock, events, Pace(events_per_s=50)) == pytest.approx(wanted)


def test_without_a_pace_nothing_waits(log: MemoryLog, clock: ManualClock, events: list[Classroom]) -> None:
    assert _arrivals_s(log, clock, events, Pace()) == [0.0] * len(events)


def test_who_asks_to_stop_finds_what_was_sent_in_the_log(log: MemoryLog, events: list[Classroom]) -> None:
    stop = threading.Event()

    def interrupted() -> Sequence[Classroom]:
        for number, event in enumerate(events):
            if number == 5:
                stop.set()
            yield event

    done = play(interrupted(), log, stop=stop)
    assert done.stopped
    assert done.acknowledged == len(_ids(log)) == 5


def test_progress_ends_with_the_result(log: MemoryLog, events: list[Classroom]) -> None:
    seen: list[Played] = []
    assert play(events, log, on_progress=seen.append) == seen[-1]


def test_a_log_without_the_topics_says_how_to_make_them(events: list[Classroom]) -> None:
    with pytest.raises(BrokerError, match="topics create"):
        play(events, MemoryLog(ManualClock()))


class _Producer(MemoryProducer):
    """Acknowledges nothing before it is flushed; remembers how much was outstanding. A silent one never does."""

    def __init__(self, log: MemoryLog, clock: ManualClock, error: str | None = None, *, silent: bool = False) -> None:
        super().__init__(log)
        self.clock, self.error, self.silent = clock, error, silent
        self.waiting: list[Acknowledged] = []
        self.most = 0

    def send(self, message: Message, on_ack: Acknowledged) -> None:
        self.waiting.append(on_ack)
        self.most = max(self.most, len(self.waiting))

    def poll(self) -> None:
        """Nothing has come in."""

    def flush(self, timeout_s: float) -> int:
        self.clock.advance(timeout_s)
        while self.waiting and not self.silent:
            self.waiting.pop()(0 if self.error is None else None, self.error)
        return len(self.waiting)


class _Log(MemoryLog):
    """A log whose producer is given."""

    def __init__(self, clock: ManualClock, error: str | None = None, *, silent: bool = False) -> None:
        super().__init__(clock)
        self.made = _Producer(self, clock, error, silent=silent)

    def producer(self) -> MemoryProducer:
        return self.made


def test_no_more_than_so_many_are_unacknowledged(clock: ManualClock, events: list[Classroom]) -> None:
    log = _Log(clock)
    play(events, _with_topics(log), most_unacknowledged=7, clock=clock)
    assert log.made.most == 7 + 1


def test_a_log_that_falls_silent_is_an_error_that_says_to_play_again(
    clock: ManualClock, events: list[Classroom]
) -> None:
    begun = clock.now
    with pytest.raises(BrokerError, match="play again"):
        play(events, _with_topics(_Log(clock, silent=True)), clock=clock)
    assert clock.now - begun == pytest.approx(PATIENCE_S, abs=1.0)


def test_an_event_that_the_log_does_not_take_is_an_error(clock: ManualClock, events: list[Classroom]) -> None:
    with pytest.raises(BrokerError, match="no space left"):
        play(events, _with_topics(_Log(clock, "no space left")), clock=clock)


@pytest.mark.parametrize("pace", [{"speed": 0.0}, {"events_per_s": -1.0}, {"speed": 1.0, "events_per_s": 1.0}])
def test_a_pace_that_cannot_be_is_refused(pace: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        Pace(**pace)

"""A few threads decide all partitions of a process, in turn; what goes wrong in one stays there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.envelope import Origin
from schemas.errors import CurrereError, Refused
from streams.engines.lanes import STUCK_S, THREADS, Lanes, undecided
from streams.message import Record

WAIT_S = 20.0  # a test that hangs fails after this; none waits so long


def record(offset: int, partition: int = 0, topic: str = "t") -> Record:
    return Record(Origin(topic, partition, offset), None, None, (), 1_000 + offset)


@dataclass
class Watched:
    """A runner that notes what it is given, by whom, and may be held up, or fail."""

    partition: int = 0
    offsets: dict[str, int] = field(default_factory=dict)
    batches: list[list[int]] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)
    beats: int = 0
    at_work: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    failure: CurrereError | None = None
    changed: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self.go_on.set()

    def process(self, records: Sequence[Record], now: float) -> int:
        if records:
            self.at_work.set()
            assert self.go_on.wait(WAIT_S)
        with self.changed:
            self.threads.add(threading.get_ident())
            if records:
                if self.failure is not None:
                    self.batches.append([])
                    self.changed.notify_all()
                    raise self.failure
                self.batches.append([r.origin.offset for r in records])
                self.offsets[f"t/{self.partition}"] = records[-1].origin.offset + 1
            self.changed.notify_all()
        return len(records)

    def beat(self) -> None:
        with self.changed:
            self.beats += 1
            self.changed.notify_all()

    def close(self, timeout_s: float) -> None:
        pass

    def decided(self) -> list[int]:
        return [offset for batch in self.batches for offset in batch]

    def until(self, condition: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, WAIT_S)


class SteadyClock:
    """A clock that moves a little at each look, so that ticks and beats become due without anyone waiting."""

    def __init__(self) -> None:
        self._now = 0.0
        self._lock = threading.Lock()

    def __call__(self) -> float:
        with self._lock:
            self._now += 0.25
            return self._now


@pytest.fixture
def lanes() -> Iterator[Lanes]:
    found = Lanes(lambda: 0.0, batch=3, tick_s=0.01, beat_s=5.0, steady=SteadyClock())
    yield found
    found.close(WAIT_S)


def test_what_is_fed_is_decided_in_order_in_batches(lanes: Lanes) -> None:
    runner = Watched()
    runner.go_on.clear()
    lanes.open(0, runner)
    lanes.feed(0, [record(0)])
    assert runner.at_work.wait(WAIT_S)
    lanes.feed(0, [record(n) for n in range(1, 8)])
    runner.go_on.set()
    runner.until(lambda: len(runner.decided()) == 8)
    assert runner.decided() == list(range(8))
    assert max(map(len, runner.batches)) == 3


def test_all_partitions_are_served_by_a_few_threads_none_of_which_is_the_feeder(lanes: Lanes) -> None:
    runners = [Watched(n) for n in range(5)]
    for n, runner in enumerate(runners):
        lanes.open(n, runner)
        lanes.feed(n, [record(offset, n) for offset in range(10)])
    for runner in runners:
        runner.until(lambda runner=runner: len(runner.decided()) == 10)  # type: ignore[misc]  # bound as a default
    threads = set.union(*(runner.threads for runner in runners))
    assert len(threads) <= THREADS
    assert threading.get_ident() not in threads


def test_while_one_partition_waits_another_is_served(lanes: Lanes) -> None:
    waits, other = Watched(0), Watched(1)
    waits.go_on.clear()
    lanes.open(0, waits)
    lanes.open(1, other)
    lanes.feed(0, [record(0, 0)])
    assert waits.at_work.wait(WAIT_S)
    lanes.feed(1, [record(0, 1)])
    other.until(lambda: other.decided() == [0])
    assert waits.decided() == []
    waits.go_on.set()


def test_who_feeds_waits_for_room_but_not_for_a_partition_that_is_stuck() -> None:
    now, runner = [0.0], Watched()
    runner.go_on.clear()
    lanes = Lanes(lambda: 0.0, batch=3, tick_s=0.01, beat_s=5.0, steady=lambda: now[0])
    lanes.open(0, runner)
    lanes.feed(0, [record(n) for n in range(9)])
    assert runner.at_work.wait(WAIT_S)
    assert lanes.wait_for_room(7, 0.0), "three of nine are at work"
    assert not lanes.wait_for_room(6, 0.0)
    now[0] = STUCK_S
    assert lanes.wait_for_room(6, 0.0)
    now[0] = 0.0
    runner.go_on.set()
    assert lanes.wait_for_room(1, WAIT_S)
    lanes.close(WAIT_S)
    assert runner.decided() == list(range(9))


def test_who_feeds_does_not_wait_for_what_follows_a_stuck_batch_of_the_same_partition(lanes: Lanes) -> None:
    stuck, next_owner = Watched(), Watched()
    stuck.go_on.clear()
    lanes.open(0, stuck)
    lanes.feed(0, [record(0)])
    assert stuck.at_work.wait(WAIT_S)
    lanes.drop(0, 0.0)
    lanes.open(0, next_owner)
    lanes.feed(0, [record(n) for n in range(9)])
    assert lanes.wait_for_room(1, 0.0)
    assert not next_owner.at_work.is_set()
    stuck.go_on.set()
    next_owner.until(lambda: next_owner.decided() == list(range(9)))


@given(
    st.lists(st.tuples(st.sampled_from(["t", "u"]), st.integers(0, 20))),
    st.dictionaries(st.sampled_from(["t/4", "u/4", "v/4"]), st.integers(0, 20)),
)
def test_what_is_undecided_is_what_lies_at_or_after_the_offset_of_its_topic(
    places: list[tuple[str, int]], offsets: dict[str, int]
) -> None:
    records = [record(offset, 4, topic) for topic, offset in places]
    assert undecided(records, offsets) == [
        r for r in records if r.origin.offset >= offsets.get(f"{r.origin.topic}/4", 0)
    ]


def test_a_partition_is_never_served_twice_at_once_even_if_it_is_opened_again(lanes: Lanes) -> None:
    first, second = Watched(), Watched()
    first.go_on.clear()
    lanes.open(0, first)
    lanes.feed(0, [record(0)])
    assert first.at_work.wait(WAIT_S)
    assert lanes.drop(0, 0.0) is not None, "lost: there is no time to wait for the batch at work"
    lanes.open(0, second)
    lanes.feed(0, [record(0)])
    assert not second.at_work.is_set()
    first.go_on.set()
    second.until(lambda: second.decided() == [0])
    assert first.decided() == [0]


def test_drop_waits_for_the_batch_at_work_and_leaves_what_is_queued(lanes: Lanes) -> None:
    runner = Watched()
    runner.go_on.clear()
    lanes.open(0, runner)
    lanes.feed(0, [record(n) for n in range(9)])
    assert runner.at_work.wait(WAIT_S)
    threading.Timer(0.05, runner.go_on.set).start()
    lane = lanes.drop(0, WAIT_S)
    assert lane is not None
    assert not lane.busy
    assert runner.decided() == [0, 1, 2]
    assert [r.origin.offset for r in lane.queue] == list(range(3, 9))


def test_dropping_what_is_not_served_is_nothing(lanes: Lanes) -> None:
    assert lanes.drop(7, WAIT_S) is None


def test_records_before_the_runner_s_offset_are_not_queued(lanes: Lanes) -> None:
    runner = Watched(offsets={"t/0": 5})
    lanes.open(0, runner)
    lanes.feed(0, [record(n) for n in range(3, 8)])
    runner.until(lambda: len(runner.decided()) == 3)
    assert runner.decided() == [5, 6, 7]


def test_records_of_a_partition_that_is_not_served_are_dropped(lanes: Lanes) -> None:
    lanes.feed(0, [record(0)])
    runner = Watched()
    lanes.open(0, runner)
    lanes.feed(0, [record(1)])
    runner.until(lambda: len(runner.decided()) == 1)
    assert runner.decided() == [1]


def test_an_error_stops_only_its_lane(lanes: Lanes) -> None:
    bad, good = Watched(0, failure=Refused("another owner")), Watched(1)
    lanes.open(0, bad)
    lanes.open(1, good)
    lanes.feed(0, [record(n, 0) for n in range(9)])
    bad.until(lambda: bool(bad.batches))
    lanes.feed(1, [record(0, 1)])
    good.until(lambda: good.decided() == [0] and bool(lanes.failed()))  # it is told of every tick
    (failed,) = lanes.failed()
    assert (failed.partition, failed.error) == (0, bad.failure)
    assert lanes.queued(0) == 0
    lanes.feed(0, [record(9, 0)])
    assert (lanes.queued(0), len(bad.batches)) == (0, 1)
    assert not lanes.ended


def test_a_lane_that_failed_is_served_again_once_it_is_opened_anew(lanes: Lanes) -> None:
    bad, good = Watched(failure=Refused("another owner")), Watched()
    lanes.open(0, bad)
    lanes.feed(0, [record(0)])
    bad.until(lambda: bool(bad.batches))
    lanes.drop(0, WAIT_S)
    lanes.open(0, good)
    lanes.feed(0, [record(0)])
    good.until(lambda: good.decided() == [0])
    assert lanes.failed() == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_error_that_nobody_expects_ends_all_and_says_so_at_once(lanes: Lanes) -> None:
    class Broken(Watched):
        def process(self, records: Sequence[Record], now: float) -> int:
            if not records:
                return 0
            self.at_work.set()
            assert self.go_on.wait(WAIT_S)
            raise KeyError("a bug")

    runner = Broken()
    runner.go_on.clear()
    lanes.open(0, runner)
    lanes.feed(0, [record(0)])
    assert runner.at_work.wait(WAIT_S)
    threading.Timer(0.05, runner.go_on.set).start()
    assert lanes.drop(0, WAIT_S) is not None
    lanes.close(WAIT_S)
    assert lanes.ended


def test_an_idle_lane_ticks_and_beats(lanes: Lanes) -> None:
    runner = Watched()
    lanes.open(0, runner)
    runner.until(lambda: runner.beats >= 2)
    assert runner.batches == []


def test_the_oldest_record_of_a_topic_in_the_queue_is_told(lanes: Lanes) -> None:
    runner = Watched()
    runner.go_on.clear()
    lanes.open(0, runner)
    lanes.feed(0, [record(0)])
    assert runner.at_work.wait(WAIT_S)
    lanes.feed(0, [record(4, topic="u"), record(2), record(3)])
    assert (lanes.oldest_ms(0, "t"), lanes.oldest_ms(0, "u"), lanes.queued(0)) == (1_002, 1_004, 3)
    assert lanes.oldest_ms(0, "v") is lanes.oldest_ms(1, "t") is None
    runner.go_on.set()


def test_close_finishes_the_batch_at_work_and_begins_no_other() -> None:
    lanes = Lanes(lambda: 0.0, batch=1, tick_s=0.01, beat_s=5.0, steady=SteadyClock())
    runner = Watched()
    runner.go_on.clear()
    lanes.open(0, runner)
    lanes.feed(0, [record(0), record(1)])
    assert runner.at_work.wait(WAIT_S)
    threading.Timer(0.05, runner.go_on.set).start()
    lanes.close(WAIT_S)
    assert (runner.decided(), lanes.ended) == ([0], True)


def test_records_are_counted_across_lanes_that_are_gone(lanes: Lanes) -> None:
    for n in range(2):
        runner = Watched()
        lanes.open(0, runner)
        lanes.feed(0, [record(0), record(1)])
        runner.until(lambda runner=runner: runner.decided() == [0, 1])  # type: ignore[misc]  # bound as a default
        lanes.drop(0, WAIT_S)
        assert lanes.decided == 2 * (n + 1)

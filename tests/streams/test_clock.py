"""The wall clock may jump, and nobody waits until it has caught up."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from builders import records
from curated import example, requests, room
from hypothesis import given
from hypothesis import strategies as st
from trainlog import CADENCE, Bench, ask, step

from schemas import topics
from streams.blobs import BlobUnavailable
from streams.clock import SHIFT, Shift, passed, wall_clock
from streams.engines.lanes import Lanes
from streams.message import Record
from streams.worker import RETRY_S

HOUR_S = 3600.0
times = st.floats(0.0, 4e9)


@given(times, times)
def test_no_time_passes_backwards(since: float, now: float) -> None:
    assert passed(since, now) == passed(now, since) >= 0.0


def test_without_a_shift_the_clock_is_the_machines() -> None:
    assert wall_clock() is time.time


def test_a_shift_moves_the_clocks_that_were_made_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shift = Shift(tmp_path / "shift")
    monkeypatch.setenv(SHIFT, shift.environment[SHIFT])
    clock = wall_clock()
    for seconds in (0.0, HOUR_S, -HOUR_S):
        shift.set(seconds)
        before, shown, after = time.time(), clock(), time.time()
        assert before <= shown - seconds <= after


def test_a_request_does_not_wait_until_a_clock_that_was_set_back_has_caught_up() -> None:
    here = room(wait_s=10.0)
    assert requests(here.take(example("a"))) == []
    here.now -= HOUR_S
    (request,) = requests(here.take())
    assert [one.id for one in request.new] == [example("a").id]


def test_deltas_and_snapshots_leave_though_the_clock_was_set_back(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    worker = bench.worker()
    bench.fold(worker)
    for back in (HOUR_S, HOUR_S):
        before = (len(records(bench.log, topics.DELTA)), len(bench.checkpoints()))
        bench.clock.advance(-back)
        ask(bench.log, *map(step, range(CADENCE.snapshot_steps)))
        bench.fold(worker)
        assert len(records(bench.log, topics.DELTA)) > before[0]
        assert len(bench.checkpoints()) == before[1] + 1


def test_a_snapshot_that_is_owed_is_tried_again_though_the_clock_was_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(path: str, content: bytes) -> str:
        raise BlobUnavailable("away")

    bench = Bench(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(bench.blobs, "put", away)
        worker = bench.worker()
        bench.fold(worker)
    assert bench.checkpoints() == []
    bench.clock.advance(-HOUR_S)
    assert HOUR_S > RETRY_S
    bench.fold(worker)
    assert len(bench.checkpoints()) == 1


class Ticked:
    """A runner that notes what time it is told."""

    def __init__(self) -> None:
        self.offsets: dict[str, int] = {}
        self.told: list[float] = []
        self.news = threading.Condition()

    def process(self, records: list[Record], now: float) -> int:
        with self.news:
            self.told.append(now)
            self.news.notify_all()
        return 0

    def beat(self) -> None:
        pass

    def close(self, timeout_s: float) -> None:
        pass


def test_an_idle_partition_ticks_on_when_the_clock_is_set_back_and_is_told_the_new_time() -> None:
    now, runner = [HOUR_S], Ticked()
    lanes = Lanes(lambda: now[0], batch=1, tick_s=0.01, beat_s=5.0)
    lanes.open(0, runner)
    with runner.news:
        assert runner.news.wait_for(lambda: HOUR_S in runner.told, 10.0)
    now[0] = 0.0
    with runner.news:
        assert runner.news.wait_for(lambda: 0.0 in runner.told, 10.0)
    lanes.close(10.0)

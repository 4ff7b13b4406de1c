"""The work of one process: queues of records, one a partition, and the few threads that decide them.

The polling thread only feeds; deciding, training and waiting for acknowledgements happen here, so that a slow batch
never keeps the process from polling. A lane has one batch at work at a time; while it waits for the store, another lane
decides.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from schemas.errors import CurrereError
from streams.message import Record

LOG = logging.getLogger("streams.lanes")
THREADS = 2  # one decides, one waits: more would only stand in line for the interpreter
STUCK_S = 0.5  # a batch that takes longer makes nobody else wait


class Runner(Protocol):
    """What a lane needs of its owner: a ShardRunner, or the worker's fold."""

    offsets: dict[str, int]

    def process(self, records: Sequence[Record], now: float) -> int:
        """Decide a batch; returns how many records it held."""

    def beat(self) -> None:
        """Compare with the store while idle."""

    def close(self, timeout_s: float) -> None:
        """Wait for acknowledgements."""


@dataclass(slots=True)
class Lane:
    """One partition at work: what was polled and not yet decided."""

    partition: int
    runner: Runner
    queue: deque[Record] = field(default_factory=deque)
    busy: bool = False
    began: float = 0.0  # the batch at work
    error: CurrereError | None = None
    next_tick: float = 0.0
    next_beat: float = 0.0


class Lanes:
    """All lanes of a process and the threads that serve them in turn.

    ``clock`` is what a batch is told the time is; ticks and beats go by ``steady``, which nobody sets.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        batch: int,
        tick_s: float,
        beat_s: float,
        on_batch: Callable[[float], None] = lambda seconds: None,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock, self.batch, self.tick_s, self.beat_s, self.on_batch = clock, batch, tick_s, beat_s, on_batch
        self.steady = steady
        self.decided = 0  # records of all lanes, also of those that are gone
        self.ended = False  # by ``close``, or by an error that no lane expects
        self.lanes: dict[int, Lane] = {}
        self._wake = threading.Condition()
        self._stop = False
        self._at_work: set[int] = set()  # partitions; a lane that was dropped too soon keeps its successor waiting
        self._threads = [threading.Thread(target=self._serve, name="lanes", daemon=True) for _ in range(THREADS)]
        for thread in self._threads:
            thread.start()

    def open(self, partition: int, runner: Runner) -> None:
        """Begin to serve a partition."""
        now = self.steady()
        with self._wake:
            self.lanes[partition] = Lane(partition, runner, next_tick=now, next_beat=now + self.beat_s)
            self._wake.notify_all()

    def feed(self, partition: int, records: Sequence[Record]) -> None:
        """Queue what was polled; records of a partition that is not served, or was decided before, are dropped."""
        with self._wake:
            lane = self.lanes.get(partition)
            if lane is None or lane.error is not None:
                return
            lane.queue.extend(undecided(records, lane.runner.offsets))
            self._wake.notify_all()

    def drop(self, partition: int, timeout_s: float) -> Lane | None:
        """Stop serving a partition, after the batch at work; what is queued is left to the next owner."""
        with self._wake:
            lane = self.lanes.pop(partition, None)
            if lane is not None:
                self._wake.wait_for(lambda: not lane.busy or self.ended, timeout_s)
        return lane

    def failed(self) -> list[Lane]:
        """Lanes that stopped on an error and wait to be assigned anew."""
        return [lane for lane in self.lanes.values() if lane.error is not None]

    def queued(self, partition: int) -> int:
        """Records polled and not yet decided."""
        lane = self.lanes.get(partition)
        return len(lane.queue) if lane else 0

    def wait_for_room(self, most: int, timeout_s: float) -> bool:
        """Wait until fewer than ``most`` records are queued in lanes that move; returns whether it is so."""
        with self._wake:
            return self._wake.wait_for(lambda: self._moving() < most, timeout_s)

    def oldest_ms(self, partition: int, topic: str) -> int | None:
        """When the log received the oldest record of ``topic`` still in the queue; None if it holds none."""
        with self._wake:
            lane = self.lanes.get(partition)
            queued = (r.timestamp_ms for r in lane.queue if r.origin.topic == topic) if lane else iter(())
            return next(queued, None)

    def close(self, timeout_s: float) -> None:
        """Begin no other batch, and wait for those at work."""
        with self._wake:
            self._stop = True
            self._wake.notify_all()
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0.0))

    def _serve(self) -> None:
        try:
            self._serve_until_stopped()
        finally:
            with self._wake:
                self.ended = True
                self._wake.notify_all()

    def _serve_until_stopped(self) -> None:
        while True:
            with self._wake:
                lane = self._next()
                if self._stop:
                    return
                if lane is None:
                    self._wake.wait(self.tick_s / 2)
                    continue
                lane.busy, lane.began = True, self.steady()
                self._at_work.add(lane.partition)
                records = [lane.queue.popleft() for _ in range(min(self.batch, len(lane.queue)))]
            decided = self._decide(lane, records)
            with self._wake:
                self.decided += decided
                lane.busy = False
                self._at_work.remove(lane.partition)
                self._wake.notify_all()

    def _moving(self) -> int:
        stuck = self.steady() - STUCK_S
        return sum(
            len(lane.queue)
            for lane in self.lanes.values()
            if (lane.began > stuck if lane.busy else lane.partition not in self._at_work)
        )

    def _next(self) -> Lane | None:
        now = self.steady()
        ready = [
            lane
            for lane in self.lanes.values()
            if lane.error is None and lane.partition not in self._at_work and (lane.queue or lane.next_tick <= now)
        ]
        return min(ready, key=lambda lane: lane.next_tick, default=None)

    def _decide(self, lane: Lane, records: Sequence[Record]) -> int:
        now, decided = self.steady(), 0
        try:
            decided = lane.runner.process(records, self.clock())
            if records:
                self.on_batch(self.steady() - now)
            if not records and now >= lane.next_beat:
                lane.runner.beat()
        except CurrereError as error:
            LOG.warning("partition %d: %s", lane.partition, error)
            with self._wake:
                lane.error = error
                lane.queue.clear()
        if records or now >= lane.next_beat:
            lane.next_beat = now + self.beat_s
        lane.next_tick = now + self.tick_s
        return decided


def undecided(records: Sequence[Record], offsets: Mapping[str, int]) -> list[Record]:
    """Those of one partition's ``records`` that ``offsets``, by topic/partition, do not say are decided."""
    found = {(r.origin.topic, r.origin.partition) for r in records}
    ahead = {topic: offsets.get(f"{topic}/{partition}", 0) for topic, partition in found}
    return [r for r in records if r.origin.offset >= ahead[r.origin.topic]]

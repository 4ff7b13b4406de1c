"""The partitions that a process has been given: which are taken, which are to be tried again, and how they do."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from schemas.errors import BrokerError, PartitionsChanged, StoreError, StoreUnavailable, TooManyPoisons
from streams.engines.broker import Broker, partitions_of_all
from streams.engines.lanes import Lanes, Runner
from streams.engines.tries import REST_S
from streams.health import Vitals
from streams.metrics import Metrics

LOG = logging.getLogger("streams.engine")
RESTORE = 'restore the topic, or see operators.md, "A partition stands"'
AGAIN_S = 1.0  # between two tries to take a partition

Watermarks = Callable[[str, int], tuple[int, int] | None]  # of a topic's partition, as far as they are known


def counts_of(broker: Broker, topics: Sequence[str]) -> dict[str, int]:
    """Partition count by topic. Raises BrokerError if one is missing, PartitionsChanged unless all have the same."""
    counts = partitions_of_all(broker, topics)
    if len(set(counts.values())) > 1:
        raise PartitionsChanged(f"{counts}: the topics of a role have one partition count")
    return counts


def why_gone(broker: Broker, topic: str, partition: int, stored: int) -> str:
    """Why the log does not hold ``stored``, the offset at which a partition is to go on, and what to do."""
    where = f"{topic}/{partition}: offset {stored}, which the store holds,"
    try:
        low, high = broker.ends(topic, partition)
    except BrokerError:
        return f"{where} has left retention; {RESTORE}"
    if high < stored:
        return f"{where} lies beyond the log, which ends at {high}: the store is newer than the log; {RESTORE}"
    return f"{where} has left retention, the log begins at {low}; {RESTORE}"


class Tenure:
    """What one engine holds of one role. ``vitals`` and the role's metrics follow what is told here.

    Seconds of the monotonic clock, save ``clock``, which is what records are dated by.
    """

    def __init__(
        self, topics: Sequence[str], lanes: Lanes, metrics: Metrics, role: str, clock: Callable[[], float]
    ) -> None:
        self.topics, self.lanes, self.metrics, self.role, self.clock = tuple(topics), lanes, metrics, role, clock
        now = time.monotonic()
        self.vitals = Vitals(started=now, polled=now, progressed=now, waiting_for="partitions")
        self.runners: dict[int, Runner] = {}  # also of partitions that wait to be taken again
        self.retry: dict[int, float] = {}  # when to try to take a partition
        self.stopped: dict[int, str] = {}  # until a person has looked, and why
        self._taken: dict[int, float] = {}
        self._decided = 0

    @contextmanager
    def taking(self) -> Iterator[None]:
        """While a partition is taken nothing else need make progress."""
        self.vitals.recovering_since = begun = time.monotonic()
        try:
            yield
        finally:
            self.vitals.recovering_since = None
            self.vitals.progressed += time.monotonic() - begun

    def took(self, partition: int, runner: Runner) -> None:
        """Serve a partition."""
        self.vitals.not_taken = None
        self.retry.pop(partition, None)
        self.stopped.pop(partition, None)  # it is read anew; whether the next record is to be had now, will be seen
        self.runners[partition], self._taken[partition] = runner, time.monotonic()
        self.lanes.open(partition, runner)

    def failed(self, partition: int, error: Exception) -> None:
        """It could not be taken: try again later."""
        why = f"the {'store' if isinstance(error, StoreError) else 'broker'}: {error}"
        if why != self.vitals.not_taken:  # once, not once a second for each partition
            LOG.warning("%s %d: %s", self.role, partition, why)
        self.vitals.not_taken = why
        self.retry[partition] = time.monotonic() + AGAIN_S
        if isinstance(error, StoreUnavailable):  # waiting for it is not standing still
            self.vitals.progressed = time.monotonic()

    def drop_failed(self) -> list[int]:
        """Stop serving what the store refused, or what ends each process, to take it again; returns which these are."""
        failed = self.lanes.failed()
        for lane in failed:
            self.lanes.drop(lane.partition, 0.0)
            if isinstance(lane.error, TooManyPoisons):
                LOG.error("%s: %s", self.role, lane.error)
                self.stopped[lane.partition] = str(lane.error)
                self.retry[lane.partition] = time.monotonic() + REST_S
            else:
                self.metrics.count("refusals", role=self.role)
                self.retry[lane.partition] = self._taken[lane.partition] + AGAIN_S
        return [lane.partition for lane in failed]

    def due(self) -> list[int]:
        """The partitions that should be tried now."""
        now = time.monotonic()
        return [partition for partition, at in self.retry.items() if at <= now]

    def let_go(self, partition: int, deadline: float) -> None:
        """Stop serving a partition after the batch at work, so that the next owner has nothing to send."""
        lane = self.lanes.drop(partition, max(deadline - time.monotonic(), 0.0))
        if lane is None or lane.error is not None:
            return
        if lane.busy:
            LOG.warning("%s %d: a batch takes too long; it is left to the next owner", self.role, partition)
            return
        try:
            lane.runner.close(max(deadline - time.monotonic(), 0.1))
        except (StoreError, BrokerError) as error:
            LOG.info("%s: left to the next owner: %s", self.role, error)

    def forget(self, partition: int) -> None:
        """It is another's now; else the next owner's figures would be counted beside ours."""
        for known in (self.runners, self._taken, self.retry, self.stopped):
            known.pop(partition, None)
        for topic in self.topics:
            for name in ("lag_records", "lag_seconds"):
                self.metrics.forget(name, role=self.role, topic=topic, partition=str(partition))
        for name in ("pending_entries", "outbox_records", "poison_records", "shedding_level"):
            self.metrics.forget(name, role=self.role, partition=str(partition))

    def look(self, watermarks: Watermarks, standby: bool) -> None:
        """Tell operators how it does; once a second."""
        lag, known = 0, True
        for partition in list(self.runners):
            behind = [self._observe_lag(topic, partition, watermarks(topic, partition)) for topic in self.topics]
            if partition in self.stopped:  # the rest is not to be had: to wait for it is not standing still
                lag += self.lanes.queued(partition)
            else:
                known, lag = known and None not in behind, lag + sum(records or 0 for records in behind)
        if self.lanes.decided != self._decided or not lag:
            self._decided, self.vitals.progressed = self.lanes.decided, time.monotonic()
        self.vitals.lag_records = lag if known else None
        self.metrics.gauge("partitions_stopped", len(self.stopped), role=self.role)
        waits = None if self.lanes.lanes or standby else "partitions"
        self.vitals.waiting_for = next(iter(self.stopped.values()), waits)

    def positions(self) -> dict[tuple[str, int], int]:
        """By topic and partition, the offset that the store holds."""
        return {
            (topic, partition): at
            for partition, runner in self.runners.items()
            for topic in self.topics
            if (at := runner.offsets.get(f"{topic}/{partition}")) is not None
        }

    def _observe_lag(self, topic: str, partition: int, ends: tuple[int, int] | None) -> int | None:
        labels = {"role": self.role, "topic": topic, "partition": str(partition)}
        if ends is None:
            self.metrics.forget("lag_records", **labels)
            self.metrics.forget("lag_seconds", **labels)
            return None
        low, high = ends
        behind = max(high - self.runners[partition].offsets.get(f"{topic}/{partition}", low), 0)
        self.metrics.gauge("lag_records", behind, **labels)
        oldest = self.lanes.oldest_ms(partition, topic)
        if behind == 0:
            self.metrics.gauge("lag_seconds", 0.0, **labels)
        elif oldest is None:
            self.metrics.forget("lag_seconds", **labels)
        else:
            self.metrics.gauge("lag_seconds", max(self.clock() - oldest / 1_000, 0.0), **labels)
        return behind

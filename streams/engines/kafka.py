"""The engine over Apache Kafka: keeps polling while work is in flight, pauses for back-pressure, seeks to the store.

One thread polls and handles rebalances; ``Lanes`` decide. Offsets committed to Kafka are for lag monitors only: on
assignment a partition begins at the offset that the store holds.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from schemas.errors import BrokerError, PartitionsChanged, Refused, StoreError, StoreUnavailable
from schemas.topics import MAX_MESSAGE_BYTES
from streams.engines.kafka_broker import LOG as KAFKA_LOG
from streams.engines.kafka_broker import KafkaBroker, record_of
from streams.engines.lanes import Lanes, Runner
from streams.health import Vitals
from streams.message import Record
from streams.metrics import Metrics

LOG = logging.getLogger("streams.engine")
FATAL = (KafkaError._FATAL, KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED)
CORRUPT = (KafkaError._BAD_MSG, KafkaError._BAD_COMPRESSION)
RESTORE = 'restore the topic, or see operators.md, "A partition stands"'
OUT_OF_RANGE = (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE)
AGAIN_S = 1.0  # between two tries to take a partition


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How a role polls. ``group_protocol`` is ``classic`` or ``consumer`` (KIP-848, Kafka 4).

    ``instance`` names a static member, which keeps its partitions through a restart. Under ``consumer`` the session
    timeout is the broker's, so ``session_timeout_ms`` must be None.
    """

    group: str
    instance: str | None = None
    group_protocol: str = "classic"
    session_timeout_ms: int | None = 10_000
    batch: int = 500
    tick_s: float = 0.1
    beat_s: float = 5.0
    most_queued: int = 2_000
    drain_s: float = 8.0
    refresh_s: float = 5.0  # how often the topics are looked at anew

    def consumer(self) -> dict[str, object]:
        """These settings as librdkafka's."""
        chosen: dict[str, object] = {"group.id": self.group, "group.protocol": self.group_protocol}
        if self.instance:
            chosen["group.instance.id"] = self.instance
        if self.group_protocol == "consumer":
            return chosen | {"group.remote.assignor": "range"}
        return chosen | {
            "partition.assignment.strategy": "range",
            "session.timeout.ms": self.session_timeout_ms or 10_000,
            "heartbeat.interval.ms": min(3_000, (self.session_timeout_ms or 10_000) // 3),
        }


class KafkaEngine:
    """Runs one role: owns the partitions that its group assigns, each by a runner that ``assign`` makes.

    A partition is served once all of ``topics`` have it assigned (co-partitioning): only then is its token taken.
    """

    def __init__(
        self,
        broker: KafkaBroker,
        topics: Sequence[str],
        assign: Callable[[int], Runner],
        settings: EngineSettings,
        metrics: Metrics,
        role: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.broker, self.topics, self.assign, self.settings = broker, tuple(topics), assign, settings
        self.metrics, self.role, self.clock = metrics, role, clock
        now = time.monotonic()
        self.vitals = Vitals(started=now, polled=now, progressed=now, waiting_for="partitions")
        self.counts = {t: n for t, n in broker.partitions().items() if t in self.topics}
        if missing := set(topics) - set(self.counts):
            raise BrokerError(f"{broker.address} lacks {', '.join(sorted(missing))}; run `currere topics create`")
        if len(set(self.counts.values())) > 1:
            raise PartitionsChanged(f"{self.counts}: the topics of a role have one partition count")
        self._lanes = Lanes(clock, settings.batch, settings.tick_s, settings.beat_s, self._on_batch)
        self._assigned: dict[int, set[str]] = defaultdict(set)
        self._runners: dict[int, Runner] = {}  # also of partitions that wait to be taken again
        self._taken: dict[int, float] = {}
        self._retry: dict[int, float] = {}
        self._paused: set[int] = set()
        self._joined = False
        self._stopped: dict[int, str] = {}
        self._counts_seen: dict[str, int] = {}
        self._decided = 0
        self._consumer = self._connect()

    def run(self, stop: threading.Event) -> None:
        """Poll until ``stop``, then finish the batches at work within ``drain_s``.

        Raises:
            BrokerError: the broker refuses us for good.
            PartitionsChanged: a topic has grown.
        """
        self._consumer.subscribe(list(self.topics), on_assign=self._on_assign, on_revoke=self._on_revoke,
                                 on_lost=self._on_lost)  # fmt: skip
        next_second = 0.0
        try:
            while not stop.is_set():
                if self._lanes.ended:
                    raise BrokerError(f"{self.role}: deciding has ended on an unexpected error, which is logged above")
                self._poll()
                self._reassign()
                self._press_back()
                if time.monotonic() >= next_second:
                    next_second = time.monotonic() + 1.0
                    self._each_second()
        finally:
            self._close()

    @property
    def partitions(self) -> set[int]:
        """Those that this owner has taken and serves."""
        return set(self._lanes.lanes)

    def queued(self, partition: int) -> int:
        """Records of ``partition`` polled and not yet decided."""
        return self._lanes.queued(partition)

    def _connect(self) -> Consumer:
        return Consumer(
            {
                **self.broker.settings,
                **self.settings.consumer(),
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",
                "max.poll.interval.ms": 300_000,
                "topic.metadata.refresh.interval.ms": int(self.settings.refresh_s * 1_000),
                "fetch.wait.max.ms": 50,
                "check.crcs": True,  # else a bit that flipped on the broker's disk is read as if it had been sent so
                "fetch.message.max.bytes": MAX_MESSAGE_BYTES,
                "queued.max.messages.kbytes": 16_384,
                "statistics.interval.ms": 2_000,
                "stats_cb": self._on_statistics,
            },
            logger=KAFKA_LOG,
        )

    def _on_batch(self, seconds: float) -> None:
        self.metrics.observe("batch_seconds", seconds, role=self.role)

    def _poll(self) -> None:
        first = self._consumer.poll(0.05)
        self.vitals.polled = time.monotonic()
        if first is not None:
            self._take_in([first])  # before a rebalance, which the next call may bring, gives its partition away
            self._take_in(self._consumer.consume(self.settings.batch, timeout=0))

    def _take_in(self, messages: Sequence[Message]) -> None:
        by_partition: dict[int, list[Record]] = defaultdict(list)
        for message in messages:
            error = message.error()
            if error is None:
                record = record_of(message)
                by_partition[record.origin.partition].append(record)
            else:
                self._on_error(f"{message.topic()}/{message.partition()}", message.partition() or 0, error)
        for partition, records in by_partition.items():
            self._lanes.feed(partition, records)

    def _on_error(self, where: str, partition: int, error: KafkaError) -> None:
        if error.code() in OUT_OF_RANGE and partition not in self._stopped:
            self._stop_at(partition, f"{where}: the offset that the store holds {self._why_gone(where, partition)}")
        elif error.code() in CORRUPT:
            self._stop_at(partition, f"{where}: the log holds corrupt bytes; {RESTORE}: {error.str()}")
        elif error.code() in FATAL or error.fatal():
            raise BrokerError(f"{self.role}: {error.str()}")
        else:
            LOG.info("%s: %s", self.role, error.str())

    def _stop_at(self, partition: int, why: str) -> None:
        """Read no more of a partition whose next record is not to be had: it is never passed over silently.

        What came before is decided.
        """
        LOG.error("%s", why)
        self._stopped[partition] = why
        self._pause(partition)

    def _why_gone(self, where: str, partition: int) -> str:
        try:
            low, high = self.broker.ends(where.rpartition("/")[0], partition)
        except BrokerError:
            low = high = 0
        runner = self._runners.get(partition)
        if runner is not None and 0 < high < runner.offsets.get(where, 0):
            return f"lies beyond the log, which ends at {high}: the store is newer than the log; {RESTORE}"
        return f"has left retention, the log begins at {low}; {RESTORE}"

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._joined = True
        new: dict[int, set[str]] = defaultdict(set)
        for found in partitions:
            new[found.partition].add(found.topic)
            self._assigned[found.partition].add(found.topic)
        if grown := [number for number in new if number >= min(self.counts.values())]:
            raise PartitionsChanged(f"partition {grown[0]} was added; growth is a new topic generation")
        begun: list[TopicPartition] = []
        unready: list[TopicPartition] = []
        for number, topics in sorted(new.items()):
            offsets = self._take(number) if topics == set(self.topics) else None
            places = [_start(topic, number, offsets or {}) for topic in sorted(topics)]
            begun += places
            if offsets is None:
                unready += places
                self._paused.add(number)
                if self._assigned[number] == set(self.topics):  # what is sought must be polled for: not in a callback
                    self._retry.setdefault(number, time.monotonic())
        if self.settings.group_protocol == "consumer":
            consumer.incremental_assign(begun)
        else:
            consumer.assign(begun)
        if unready:
            consumer.pause(unready)
        LOG.info("%s: assigned %s", self.role, sorted(f"{p.topic}/{p.partition}" for p in partitions))

    def _take(self, partition: int) -> dict[str, int] | None:
        """Take the partition; None if the store does not answer, then it is tried again later."""
        self.vitals.recovering_since = begun = time.monotonic()
        try:
            runner = self.assign(partition)
        except (StoreUnavailable, Refused, BrokerError) as error:
            if str(error) != self.vitals.store_error:  # once, not once a second for each partition
                LOG.warning("%s %d: %s", self.role, partition, error)
            self.vitals.store_error = str(error)
            self._retry[partition] = time.monotonic() + AGAIN_S
            if isinstance(error, StoreUnavailable):  # waiting for it is not standing still
                self.vitals.progressed = begun
            return None
        finally:
            self.vitals.recovering_since = None
            self.vitals.polled = time.monotonic()
            self.vitals.progressed += self.vitals.polled - begun
        self.vitals.store_error = None
        self._retry.pop(partition, None)
        self._paused.discard(partition)
        self._runners[partition], self._taken[partition] = runner, self.vitals.polled
        self._lanes.open(partition, runner)
        return dict(runner.offsets)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        deadline = self._deadline()
        for number in {p.partition for p in partitions}:
            self._let_go(number, deadline)
        self._forget(partitions)
        if self.settings.group_protocol == "consumer":
            consumer.incremental_unassign(partitions)
        else:
            consumer.unassign()

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for number in {p.partition for p in partitions}:
            self._lanes.drop(number, 0.0)
        self._forget(partitions)
        if self.settings.group_protocol == "consumer":
            consumer.incremental_unassign(partitions)
        else:
            consumer.unassign()

    def _forget(self, partitions: Sequence[TopicPartition]) -> None:
        for found in partitions:
            self._assigned[found.partition].discard(found.topic)
            for known in (self._runners, self._taken, self._retry, self._stopped):
                known.pop(found.partition, None)
            for name in ("lag_records", "lag_seconds"):
                self.metrics.forget(name, role=self.role, topic=found.topic, partition=str(found.partition))
        for number in {p.partition for p in partitions}:
            for name in (
                "pending_entries",
                "outbox_records",
                "shedding_level",
            ):  # else the next owner's would be counted beside ours
                self.metrics.forget(name, role=self.role, partition=str(number))
        for number in {p.partition for p in partitions if self._assigned[p.partition]}:
            self._pause(number)  # nothing is read of what is left until the partition is whole again

    def _reassign(self) -> None:
        """Take again what the store refused or could not answer for, and seek to what it holds."""
        for lane in self._lanes.failed():
            self.metrics.count("refusals", role=self.role)
            self._lanes.drop(lane.partition, 0.0)
            self._retry[lane.partition] = self._taken[lane.partition] + AGAIN_S
            self._pause(lane.partition)
        for partition in [p for p, at in self._retry.items() if at <= time.monotonic()]:
            if self._assigned[partition] != set(self.topics):
                continue
            offsets = self._take(partition)
            if offsets is not None:
                for topic in self.topics:
                    self._seek(_start(topic, partition, offsets))

    def _seek(self, place: TopicPartition) -> None:
        for _ in range(100):  # "Erroneous state" until the fetcher of a new partition has begun
            if place.topic not in self._assigned[place.partition]:
                return  # revoked while we polled
            try:
                self._consumer.seek(place)
            except KafkaException as error:
                if error.args[0].code() != KafkaError._STATE:
                    raise BrokerError(f"{place.topic}/{place.partition}: {error.args[0].str()}") from error
                self._poll()  # what comes of other partitions is theirs, and must not be dropped
            else:
                self._consumer.resume([place])
                return
        raise BrokerError(f"{place.topic}/{place.partition} could not be sought to {place.offset}")

    def _press_back(self) -> None:
        for number, topics in self._assigned.items():
            if number in self._retry or number in self._stopped or topics != set(self.topics):
                continue
            queued = self._lanes.queued(number)
            if number not in self._paused and queued > self.settings.most_queued:
                self._pause(number)
            elif number in self._paused and queued < self.settings.most_queued // 2:
                self._paused.discard(number)
                self._consumer.resume([TopicPartition(topic, number) for topic in topics])

    def _pause(self, number: int) -> None:
        self._paused.add(number)
        self._consumer.pause([TopicPartition(topic, number) for topic in self._assigned[number]])

    def _each_second(self) -> None:
        if grown := [t for t, n in self._counts_seen.items() if n != self.counts[t]]:
            raise PartitionsChanged(f"{', '.join(grown)}: partitions were added; growth is a new topic generation")
        lag, known = 0, True
        for number, runner in self._runners.items():
            for topic in self.topics:
                behind = self._observe_lag(topic, number, runner.offsets.get(f"{topic}/{number}"))
                known, lag = known and behind is not None, lag + (behind or 0)
        decided = self._lanes.decided
        if decided != self._decided or not lag:
            self._decided, self.vitals.progressed = decided, time.monotonic()
        self.vitals.lag_records = lag if known else None
        self.metrics.gauge("partitions_stopped", len(self._stopped), role=self.role)
        standby = self._joined and not any(self._assigned.values())
        self.vitals.waiting_for = next(
            iter(self._stopped.values()), None if self._lanes.lanes or standby else "partitions"
        )
        self._commit()

    def _commit(self) -> None:
        positions = [
            TopicPartition(topic, number, at)
            for number, runner in self._runners.items()
            for topic in self.topics
            if (at := runner.offsets.get(f"{topic}/{number}")) is not None
        ]
        try:
            if positions:
                self._consumer.commit(offsets=positions, asynchronous=True)
        except KafkaException as error:  # for lag monitors only
            LOG.info("%s: %s", self.role, error.args[0].str())

    def _observe_lag(self, topic: str, number: int, at: int | None) -> int | None:
        labels = {"role": self.role, "topic": topic, "partition": str(number)}
        low, high = self._consumer.get_watermark_offsets(TopicPartition(topic, number), cached=True)
        if high < 0:
            self.metrics.forget("lag_records", **labels)
            self.metrics.forget("lag_seconds", **labels)
            return None
        behind = max(high - (low if at is None else at), 0)
        self.metrics.gauge("lag_records", behind, **labels)
        oldest = self._lanes.oldest_ms(number, topic)
        if behind == 0:
            self.metrics.gauge("lag_seconds", 0.0, **labels)
        elif oldest is None:
            self.metrics.forget("lag_seconds", **labels)
        else:
            self.metrics.gauge("lag_seconds", max(self.clock() - oldest / 1000, 0.0), **labels)
        return behind

    def _on_statistics(self, text: str) -> None:
        seen = json.loads(text)
        if self.settings.group_protocol == "consumer":  # a member that gets no partition is not told so
            self._joined = self._joined or seen.get("cgrp", {}).get("state") == "up"
        idle = [b["rxidle"] for b in seen["brokers"].values() if b["state"] == "UP" and b["rxidle"] >= 0]
        counts = {
            t: len([n for n in seen["topics"].get(t, {}).get("partitions", {}) if n != "-1"]) for t in self.topics
        }
        self._counts_seen = {t: n for t, n in counts.items() if n}
        if idle:
            self.vitals.broker_heard = time.monotonic() - min(idle) / 1e6

    def _deadline(self) -> float:
        return time.monotonic() + self.settings.drain_s

    def _let_go(self, number: int, deadline: float) -> None:
        """Stop serving a partition after the batch at work, so that the next owner has nothing to send."""
        lane = self._lanes.drop(number, max(deadline - time.monotonic(), 0.0))
        if lane is None or lane.error is not None:
            return
        if lane.busy:
            LOG.warning("%s %d: a batch takes too long; it is left to the next owner", self.role, number)
            return
        try:
            lane.runner.close(max(deadline - time.monotonic(), 0.1))
        except (StoreError, BrokerError) as error:
            LOG.info("%s: left to the next owner: %s", self.role, error)

    def _close(self) -> None:
        deadline = self._deadline()
        self._lanes.close(self.settings.drain_s)  # of all partitions, only the batch at work is finished
        for number in list(self._lanes.lanes):
            self._let_go(number, deadline)
        self._commit()
        self._consumer.close()


def _start(topic: str, number: int, offsets: Mapping[str, int]) -> TopicPartition:
    return TopicPartition(topic, number, offsets.get(f"{topic}/{number}", OFFSET_BEGINNING))

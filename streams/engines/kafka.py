"""The engine over Apache Kafka: keeps polling while work is in flight, and seeks to what the store holds.

One thread polls and handles rebalances; ``Lanes`` decide. It takes no more than they have room for, and pauses only a
partition that is stuck, since a pause throws away what was fetched. Offsets committed to Kafka are for lag monitors
only: on assignment a partition begins at the offset that the store holds.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from schemas.errors import BrokerError, PartitionsChanged, Refused, StoreUnavailable
from streams.engines.engine import EngineSettings
from streams.engines.kafka_broker import LOG as KAFKA_LOG
from streams.engines.kafka_broker import KafkaBroker, record_of
from streams.engines.kafka_settings import consumer_settings
from streams.engines.lanes import Lanes, Runner
from streams.engines.tenure import RESTORE, Tenure, counts_of, why_gone
from streams.message import Record
from streams.metrics import Metrics

LOG = logging.getLogger("streams.engine")
FATAL = (KafkaError._FATAL, KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED)
CORRUPT = (KafkaError._BAD_MSG, KafkaError._BAD_COMPRESSION)
POLL_S = 0.05
OUT_OF_RANGE = (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE)


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
        self.counts = counts_of(broker, topics)
        self._lanes = Lanes(clock, settings.batch, settings.tick_s, settings.beat_s, self._on_batch)
        self._tenure = Tenure(topics, self._lanes, metrics, role, clock)
        self.vitals = self._tenure.vitals
        self._assigned: dict[int, set[str]] = defaultdict(set)
        self._paused: set[int] = set()
        self._joined = False
        self._counts_seen: dict[str, int] = {}
        self._consumer = self._connect()

    def run(self, stop: threading.Event) -> None:
        """Poll until ``stop``, then finish the batches at work within ``drain_s``.

        Raises:
            BrokerError: the broker refuses us for good.
            PartitionsChanged: a topic has grown.
        """
        self._consumer.subscribe(list(self.topics), on_assign=self._on_assign, on_revoke=self._on_revoke,
                                 on_lost=self._on_lost)  # fmt: skip
        next_second, half = 0.0, self.settings.most_queued // 2
        try:
            while not stop.is_set():
                if self._lanes.ended:
                    raise BrokerError(f"{self.role}: deciding has ended on an unexpected error, which is logged above")
                room = self._lanes.wait_for_room(half, POLL_S)
                self._poll(min(self.settings.batch, half) if room else 0)  # so what moves is never full, nor paused
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
        chosen = {**self.broker.settings, **consumer_settings(self.settings), "stats_cb": self._on_statistics}
        return Consumer(chosen, logger=KAFKA_LOG)

    def _on_batch(self, seconds: float) -> None:
        self.metrics.observe("batch_seconds", seconds, role=self.role)

    def _poll(self, more: int) -> None:
        """Take in one record, if there is one, and up to ``more`` that have come with it."""
        first = self._consumer.poll(POLL_S if more else 0)
        self.vitals.polled = time.monotonic()
        if first is not None:
            self._take_in([first])  # before a rebalance, which the next call may bring, gives its partition away
            if more:
                self._take_in(self._consumer.consume(more, timeout=0))

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
        if error.code() in OUT_OF_RANGE and partition not in self._tenure.stopped:
            runner = self._tenure.runners.get(partition)
            stored = runner.offsets.get(where, 0) if runner else 0
            self._stop_at(partition, why_gone(self.broker, where.rpartition("/")[0], partition, stored))
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
        self._tenure.stopped[partition] = why
        self._pause(partition)

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
                    self._tenure.retry.setdefault(number, time.monotonic())
        if self.settings.group_protocol == "consumer":
            consumer.incremental_assign(begun)
        else:
            consumer.assign(begun)
        if unready:
            consumer.pause(unready)
        LOG.info("%s: assigned %s", self.role, sorted(f"{p.topic}/{p.partition}" for p in partitions))

    def _take(self, partition: int) -> dict[str, int] | None:
        """Take the partition; None if the store does not answer, then it is tried again later."""
        try:
            with self._tenure.taking():
                runner = self.assign(partition)
        except (StoreUnavailable, Refused, BrokerError) as error:
            self._tenure.failed(partition, error)
            return None
        finally:
            self.vitals.polled = time.monotonic()
        self._paused.discard(partition)
        self._tenure.took(partition, runner)
        return dict(runner.offsets)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        deadline = self._deadline()
        for number in {p.partition for p in partitions}:
            self._tenure.let_go(number, deadline)
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
        if held := [found for found in partitions if found.partition in self._paused]:
            self._consumer.resume(held)  # while they are ours: librdkafka keeps them paused for when they come back
            self._paused.difference_update(found.partition for found in held)
        for found in partitions:
            self._assigned[found.partition].discard(found.topic)
            self._tenure.forget(found.partition)
        for number in {p.partition for p in partitions if self._assigned[p.partition]}:
            self._pause(number)  # nothing is read of what is left until the partition is whole again

    def _reassign(self) -> None:
        """Take again what the store refused or could not answer for, and seek to what it holds."""
        for partition in self._tenure.drop_failed():
            self._pause(partition)
        for partition in self._tenure.due():
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
                self._poll(self.settings.batch)  # what comes of other partitions is theirs, and must not be dropped
            else:
                self._consumer.resume([place])
                return
        raise BrokerError(f"{place.topic}/{place.partition} could not be sought to {place.offset}")

    def _press_back(self) -> None:
        for number, topics in self._assigned.items():
            if number in self._tenure.retry or number in self._tenure.stopped or topics != set(self.topics):
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
        self._tenure.look(self._watermarks, standby=self._joined and not any(self._assigned.values()))
        self._commit()

    def _commit(self) -> None:
        positions = [TopicPartition(*place, at) for place, at in self._tenure.positions().items()]
        try:
            if positions:
                self._consumer.commit(offsets=positions, asynchronous=True)
        except KafkaException as error:  # for lag monitors only
            LOG.info("%s: %s", self.role, error.args[0].str())

    def _watermarks(self, topic: str, number: int) -> tuple[int, int] | None:
        low, high = self._consumer.get_watermark_offsets(TopicPartition(topic, number), cached=True)
        return None if high < 0 else (low, high)

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

    def _close(self) -> None:
        deadline = self._deadline()
        self._lanes.close(self.settings.drain_s)  # of all partitions, only the batch at work is finished
        for number in list(self._lanes.lanes):
            self._tenure.let_go(number, deadline)
        self._commit()
        self._consumer.close()


def _start(topic: str, number: int, offsets: Mapping[str, int]) -> TopicPartition:
    return TopicPartition(topic, number, offsets.get(f"{topic}/{number}", OFFSET_BEGINNING))

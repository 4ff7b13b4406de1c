"""The broker port over Apache Kafka, by confluent-kafka."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import (
    OFFSET_END,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka import Message as KafkaMessage
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic

from schemas.envelope import Origin
from schemas.errors import BrokerError, OffsetOutOfRange
from schemas.topics import MAX_MESSAGE_BYTES, Topic
from streams.engines.kafka_producer import KafkaProducer
from streams.message import Record

TIMEOUT_S = 10.0
NO_LEADER_YET = (
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError.FENCED_LEADER_EPOCH,  # the broker was restarted, and we ask with what we knew of it before
    KafkaError.UNKNOWN_LEADER_EPOCH,
)
LOG = logging.getLogger("streams.kafka")  # librdkafka's lines go here instead of to standard error


class Seldom(logging.Filter):
    """Lets a message through once in ``every_s`` seconds: without a broker librdkafka says so twenty times a second."""

    def __init__(self, every_s: float) -> None:
        super().__init__()
        self.every_s = every_s
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the first words of a line were not said a moment ago."""
        words = record.getMessage().split("[")[0]
        if record.created - self._said.get(words, 0.0) < self.every_s:
            return False
        self._said[words] = record.created
        return True


LOG.addFilter(Seldom(10.0))


def record_of(message: KafkaMessage) -> Record:
    """A consumed message as a Record; the time is the log's append time."""
    found: list[tuple[str, bytes | None]] = message.headers() or []  # type: ignore[assignment]  # its stub is wider
    origin = Origin(message.topic() or "", message.partition() or 0, message.offset() or 0)
    return Record(origin, message.key(), message.value(), tuple(found), message.timestamp()[1])


def topic_settings(topic: Topic) -> dict[str, str]:
    """The settings that a topic of ours must have; `currere topics check` compares with the broker's."""
    return {
        "retention.ms": str(topic.retention_ms),
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(MAX_MESSAGE_BYTES),
        "cleanup.policy": "delete",
    }


@dataclass
class KafkaBroker:
    """A Kafka cluster at ``address`` (bootstrap servers). ``security`` passes through to librdkafka as it is."""

    address: str
    security: Mapping[str, str] = field(default_factory=dict)
    replication: int = 1

    def __post_init__(self) -> None:
        self.settings: dict[str, Any] = {
            "bootstrap.servers": self.address,
            "socket.timeout.ms": 10_000,
            "reconnect.backoff.max.ms": 2_000,  # a broker that comes back is found at once
            "log_level": 3,
            **self.security,
        }
        self.admin = AdminClient(dict(self.settings), logger=LOG)
        self._asker = self._consumer()

    def create(self, wanted: Sequence[Topic], partitions: Callable[[Topic], int]) -> list[str]:
        """Create the topics that are absent, with ``topic_settings``."""
        have = self.partitions()
        new = [
            NewTopic(t.name, partitions(t), replication_factor=self.replication, config=topic_settings(t))
            for t in wanted
            if t.name not in have
        ]
        made = self.admin.create_topics(new, request_timeout=TIMEOUT_S) if new else {}
        for name, future in made.items():
            try:
                future.result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise BrokerError(f"{self.address}: topic {name} was not created: {error.args[0].str()}") from error
        deadline = time.monotonic() + TIMEOUT_S
        while missing := {t.name for t in wanted} - set(self.partitions()):  # the brokers hear of it one by one
            if time.monotonic() > deadline:
                raise BrokerError(f"{self.address}: {', '.join(sorted(missing))} were created and are not to be seen")
            self.admin.poll(0.05)
        return sorted(made)

    def partitions(self) -> dict[str, int]:
        """Partition count by topic name."""
        try:
            found = self.admin.list_topics(timeout=TIMEOUT_S).topics
        except KafkaException as error:
            raise BrokerError(f"Kafka at {self.address} does not answer: {error.args[0].str()}") from error
        return {name: len(topic.partitions) for name, topic in found.items()}

    def config(self, kind: ResourceType, name: str) -> dict[str, str]:
        """The settings of a topic or a broker, as the cluster has them."""
        resource = ConfigResource(kind, name)
        try:
            found = self.admin.describe_configs([resource], request_timeout=TIMEOUT_S)[resource].result()
        except KafkaException as error:
            raise BrokerError(f"{self.address}: settings of {name} are not to be had: {error.args[0].str()}") from error
        return {key: entry.value for key, entry in found.items() if entry.value is not None}

    def ends(self, topic: str, partition: int) -> tuple[int, int]:
        """The first offset held and the next to be written, asked of the partition's leader."""
        place = TopicPartition(topic, partition)
        low, high = self._ask(place, lambda: self._asker.get_watermark_offsets(place, timeout=TIMEOUT_S))
        return low, high

    def offset_at(self, topic: str, partition: int, timestamp_ms: int) -> int:
        """The first offset received at or after ``timestamp_ms``; the end if there is none."""
        place = TopicPartition(topic, partition, timestamp_ms)
        (found,) = self._ask(place, lambda: self._asker.offsets_for_times([place], timeout=TIMEOUT_S))
        return self.ends(topic, partition)[1] if found.offset in (OFFSET_END, -1) else int(found.offset)

    def _ask(self, place: TopicPartition, question: Callable[[], Any]) -> Any:
        """The answer of a partition's leader; a partition that was just made may need a moment to have one."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            try:
                return question()
            except KafkaException as error:
                if error.args[0].code() not in NO_LEADER_YET or time.monotonic() > deadline:
                    what = f"{place.topic}/{place.partition} at {self.address}"
                    raise BrokerError(f"{what}: {error.args[0].str()}") from error
                self._asker.poll(0.05)
                with suppress(KafkaException):  # what it knows of the topic may be from before
                    self._asker.list_topics(place.topic, timeout=TIMEOUT_S)

    def read(self, topic: str, partition: int, start: int, end: int) -> Iterator[Record]:
        """The records in [start, end)."""
        if start >= end:
            return
        tail = self.tail(topic, partition, start)
        silent = 0
        try:
            while tail.position < end:
                records = tail.poll(1.0)
                silent = 0 if records else silent + 1
                if silent > 3 * TIMEOUT_S:
                    raise BrokerError(f"{topic}/{partition} at {self.address}: silent at {tail.position} of {end}")
                yield from (record for record in records if record.origin.offset < end)
        finally:
            tail.close()

    def tail(self, topic: str, partition: int, start: int) -> KafkaTail:
        """Follow a partition from ``start``, outside any group."""
        return KafkaTail(self._consumer(), topic, partition, start)

    def producer(self) -> KafkaProducer:
        """An idempotent producer."""
        return KafkaProducer(self.settings, LOG)

    def _consumer(self) -> Consumer:
        return Consumer(
            {
                **self.settings,
                "group.id": "currere-reader",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "fetch.message.max.bytes": MAX_MESSAGE_BYTES,
                "fetch.wait.max.ms": 50,
                "check.crcs": True,
            },
            logger=LOG,
        )


class KafkaTail:
    """Follows one partition; ``position`` is the next offset, past the end of the log's gaps."""

    def __init__(self, consumer: Consumer, topic: str, partition: int, start: int) -> None:
        self._consumer, self.position = consumer, start
        consumer.assign([TopicPartition(topic, partition, start)])

    def poll(self, timeout_s: float) -> Sequence[Record]:
        """The next records; returns early at the end of the partition."""
        records = []
        message = self._consumer.poll(timeout_s)
        while message is not None:
            error = message.error()
            if error is None:
                records.append(record_of(message))
                self.position = records[-1].origin.offset + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                self.position = max(self.position, message.offset() or 0)
                break
            elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
                raise OffsetOutOfRange(f"{message.topic()}/{message.partition()}: {error.str()}")
            elif not error.retriable() and error.code() not in (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN):
                raise BrokerError(f"{message.topic()}/{message.partition()}: {error.str()}")
            if len(records) >= 1_000:
                break
            message = self._consumer.poll(0)
        return records

    def close(self) -> None:
        """Stop following."""
        self._consumer.close()

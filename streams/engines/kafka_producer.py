"""The producer of the broker port over Apache Kafka. All partitions of a role in one process send by the same one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import Message as KafkaMessage
from confluent_kafka import Producer as ConfluentProducer

from schemas.topics import MAX_MESSAGE_BYTES
from streams.engines.broker import Acknowledged
from streams.message import Message

POLL_S = 0.05  # another thread may run the acknowledgement that is waited for


@dataclass(slots=True)
class _Wave:
    """What was sent between two flushes."""

    missing: int = 0  # acknowledgements


class KafkaProducer:
    """An idempotent producer: in order per partition, without repeats, acknowledged by all in-sync replicas."""

    def __init__(self, settings: Mapping[str, Any], logger: logging.Logger) -> None:
        self._producer = ConfluentProducer(
            {
                **settings,
                "enable.idempotence": True,
                "linger.ms": 5,
                "compression.type": "lz4",
                "message.max.bytes": MAX_MESSAGE_BYTES,
                "queue.buffering.max.kbytes": 131_072,
            },
            logger=logger,
        )
        self._lock = threading.Lock()
        self._waves = [_Wave()]  # oldest first; the last is sent into

    def send(self, message: Message, on_ack: Acknowledged) -> None:
        """Enqueue ``message``; while the queue is full, wait for room."""
        with self._lock:
            wave = self._waves[-1]
            wave.missing += 1

        delivered = partial(self._delivered, wave, on_ack)
        while True:
            try:
                self._producer.produce(
                    message.topic,
                    message.value,
                    message.key,
                    message.partition,
                    headers=list(message.headers),
                    on_delivery=delivered,
                )
            except BufferError:
                self._producer.poll(0.1)
            except KafkaException as error:
                self._settle(wave, on_ack, None, error.args[0].str())
                return
            else:
                return

    def _delivered(self, wave: _Wave, on_ack: Acknowledged, error: KafkaError | None, sent: KafkaMessage) -> None:
        if error is not None:
            self._settle(wave, on_ack, None, error.str())
        else:
            self._settle(wave, on_ack, sent.offset(), None)

    def _settle(self, wave: _Wave, on_ack: Acknowledged, offset: int | None, error: str | None) -> None:
        try:
            on_ack(offset, error)
        finally:
            with self._lock:
                wave.missing -= 1

    def poll(self) -> None:
        """Run the acknowledgements that have come in."""
        self._producer.poll(0)

    def flush(self, timeout_s: float) -> int:
        """Wait for what was sent before to be acknowledged; returns how many of these are missing.

        librdkafka's own waits until nothing at all is on its way, which under load is never: other partitions go on.
        """
        with self._lock:
            before = [wave for wave in self._waves if wave.missing]
            self._waves = [*before, _Wave()]
        until = time.monotonic() + timeout_s
        left = timeout_s
        while any(wave.missing for wave in before) and left >= 0:
            self._producer.poll(min(left, POLL_S))
            left = until - time.monotonic()
        return sum(wave.missing for wave in before)

"""The producer over librdkafka's broker in this process."""

from __future__ import annotations

import logging

from streams.engines.kafka_producer import KafkaProducer
from streams.message import Message

SILENT = {"bootstrap.servers": "replaced", "test.mock.num.brokers": 1, "log_level": 0}
SAID = Message("t", 0, b"k", b"v", ())


def producer() -> KafkaProducer:
    return KafkaProducer(SILENT, logging.getLogger("test"))


def test_a_flush_waits_for_what_was_sent_before_while_others_go_on_sending() -> None:
    sends, offsets, flushed = producer(), list[int | None](), False

    def again(offset: int | None, error: str | None) -> None:
        offsets.append(offset)
        if not flushed:
            sends.send(SAID, again)  # so that there is always one on its way

    sends.send(SAID, again)
    assert sends.flush(30.0) == 0
    assert offsets[0] == 0
    flushed = True
    assert sends.flush(30.0) == 0
    assert offsets == list(range(len(offsets)))


def test_what_is_missing_after_a_flush_is_counted_and_waited_for_by_the_next() -> None:
    sends, acknowledged = producer(), list[int | None]()
    for _ in range(3):
        sends.send(SAID, lambda offset, error: acknowledged.append(offset))
    assert sends.flush(0.0) == 3 - len(acknowledged)
    assert sends.flush(30.0) == 0
    assert len(acknowledged) == 3


def test_what_is_refused_at_once_is_not_waited_for() -> None:
    sends, errors = producer(), list[str | None]()
    too_large = Message("t", 0, b"k", bytes(1 << 24), ())
    sends.send(too_large, lambda offset, error: errors.append(error))
    assert sends.flush(0.0) == 0
    assert len(errors) == 1
    assert errors[0]

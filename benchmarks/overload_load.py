"""A flood of lessons: simulated ones, made once and sent again and again under new ids, so that sending is cheap."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count

from schemas import topics
from schemas.errors import BrokerError
from streams.client import message_of
from streams.engines.broker import Broker
from streams.message import Message, partition_of
from streams.simulated import simulate

TICK_S = 0.01
FLUSH_S = 120.0


def lessons(seed: int, interactions: int, tenant: str, broker: Broker) -> list[Message]:
    """Simulated lessons and the feedback on them as they are sent."""
    counts = broker.partitions()
    return [message_of(event, counts) for event in simulate(seed, interactions, tenant=tenant)]


def again(message: Message, turn: int, partitions: int) -> Message:
    """``message`` as if another class had said it: sessions, interactions and feedback have other ids."""
    if not turn:
        return message
    names = [(b"simulated-", b"simulated%d-" % turn), (b"feedback-", b"feedback%d-" % turn)]
    key, value = renamed(message.key, names), renamed(message.value, names)
    headers = tuple((name, renamed(content, names)) for name, content in message.headers)
    return replace(message, key=key, value=value, headers=headers, partition=partition_of(key, partitions))


def renamed(content: bytes, names: Sequence[tuple[bytes, bytes]]) -> bytes:
    """``content`` with each first of ``names`` as its second."""
    for old, new in names:
        content = content.replace(old, new)
    return content


def endless(messages: Sequence[Message], partitions: int) -> Iterator[Message]:
    """``messages`` again and again, each time under other ids."""
    for turn in count():
        for message in messages:
            yield again(message, turn, partitions)


class Flood(threading.Thread):
    """Sends ``per_s`` · ``seconds`` of ``messages`` at that rate, or as fast as they are taken, in a thread.

    After ``join``: what was ``sent`` of each topic, in ``took_s`` until the last left, and the ``failure`` if any.
    """

    def __init__(self, broker: Broker, messages: Iterator[Message], per_s: float, seconds: float) -> None:
        super().__init__(name="flood")
        self._producer, self._messages = broker.producer(), messages
        self.per_s, self.seconds = per_s, seconds
        self.sent = {topics.INTERACTION.name: 0, topics.FEEDBACK.name: 0}
        self.took_s = 0.0
        self.failure: str | None = None

    @property
    def events(self) -> int:
        """Interactions and feedback."""
        return sum(self.sent.values())

    def run(self) -> None:
        """Send."""
        begun, pause, whole = time.monotonic(), threading.Event(), round(self.per_s * self.seconds)
        while self.events < whole and self.failure is None:
            due = min(int((time.monotonic() - begun) * self.per_s), whole)
            for _ in range(due - self.events):
                self._send(next(self._messages))
            self._producer.poll()
            pause.wait(TICK_S)
        self.took_s = time.monotonic() - begun
        self._producer.flush(FLUSH_S)

    def _send(self, message: Message) -> None:
        self._producer.send(message, self._acknowledged)
        self.sent[message.topic] += 1

    def _acknowledged(self, offset: int | None, error: str | None) -> None:
        if error is not None:
            self.failure = error

    def done(self) -> None:
        """Wait for the end. Raises BrokerError unless the log took everything."""
        self.join()
        if self.failure is not None:
            raise BrokerError(f"the log did not take an event: {self.failure}")

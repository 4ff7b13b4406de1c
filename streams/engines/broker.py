"""The port between the rules and a log: what an engine needs from Kafka, and from its in-process twin."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from schemas.errors import BrokerError
from schemas.topics import Topic
from streams.message import Message, Record

Acknowledged = Callable[[int | None, str | None], None]  # the offset, or why it was not accepted


class Producer(Protocol):
    """Sends messages in order per partition, idempotently."""

    def send(self, message: Message, on_ack: Acknowledged) -> None:
        """Enqueue ``message``; ``on_ack`` is called from ``poll`` or ``flush``. Blocks while the queue is full."""

    def poll(self) -> None:
        """Run the acknowledgements that have come in."""

    def flush(self, timeout_s: float) -> int:
        """Wait for what was sent before to be acknowledged; returns how many of these are missing."""


class Tail(Protocol):
    """Follows one partition from an offset, outside any group."""

    def poll(self, timeout_s: float) -> Sequence[Record]:
        """The next records, possibly none."""

    def close(self) -> None:
        """Stop following."""


class Broker(Protocol):
    """A log of topics. Every method raises BrokerError when the log does not answer in time."""

    address: str

    def create(self, wanted: Sequence[Topic], partitions: Callable[[Topic], int]) -> list[str]:
        """Create the topics that are absent, with their settings; returns the names created."""

    def partitions(self) -> dict[str, int]:
        """Partition count by topic name."""

    def ends(self, topic: str, partition: int) -> tuple[int, int]:
        """The first offset that the log still holds, and the next one to be written."""

    def offset_at(self, topic: str, partition: int, timestamp_ms: int) -> int:
        """The first offset received at or after ``timestamp_ms``; the end if there is none."""

    def read(self, topic: str, partition: int, start: int, end: int) -> Iterator[Record]:
        """The records in [start, end), in order; offsets have gaps."""

    def tail(self, topic: str, partition: int, start: int) -> Tail:
        """Follow a partition from ``start``."""

    def producer(self) -> Producer:
        """A new producer."""


def partitions_of_all(broker: Broker, topics: Sequence[str]) -> dict[str, int]:
    """Partition count by topic. Raises BrokerError if one is missing."""
    counts = {topic: count for topic, count in broker.partitions().items() if topic in topics}
    if missing := set(topics) - set(counts):
        raise BrokerError(f"{broker.address} lacks {', '.join(sorted(missing))}; run `currere topics create`")
    return counts

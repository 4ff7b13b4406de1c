"""What a classroom app or an experts' tool needs: build an event, send it, know that the log has it.

Installs with the base dependencies alone: no torch, no river, no Redis.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from schemas import topics
from schemas.codec import encode
from schemas.drift import Consent
from schemas.envelope import Envelope, read_envelope
from schemas.errors import BrokerError, TooLarge
from schemas.event import Data, Event
from schemas.feedback import Feedback
from schemas.interaction import Interaction
from schemas.topics import MAX_VALUE_BYTES
from streams.engines.kafka_broker import KafkaBroker
from streams.message import Message, partition_of


def event(
    data: Data, *, tenant: str, source: str, id: str | None = None, time: datetime | None = None, subject: str = ""
) -> Event[Data]:
    """An event around ``data``: a new random id and the present time unless they are given.

    Give an id of your own where you have one: an event that is sent twice under one id counts once. Raises ValueError:
    ``time`` has no time zone.
    """
    if time is not None and time.tzinfo is None:
        raise ValueError(f"time {time.isoformat()} has no time zone; datetime.now(UTC) has one")
    envelope = Envelope(
        id=id or uuid.uuid4().hex,
        source=source,
        type=data.TYPE,
        time=time or datetime.now(UTC),
        subject=subject or getattr(data, "session", "") or getattr(data, "learner", "") or source,
        schema_version=data.VERSION,
        tenant=tenant,
    )
    return Event(envelope, data)


def key_of(data: Data) -> str:
    """What decides an event's partition: the session, so that feedback meets its interaction; or the learner."""
    return str(getattr(data, "session", None) or getattr(data, "learner", ""))


def message_of(found: Event[Data], partitions: Mapping[str, int]) -> Message:
    """The record of an event, on its key's partition.

    Raises:
        TooLarge: the log would not take it.
        UndecodableEvent: nobody could use it: an attribute is empty or too long, or holds a control character.
    """
    topic = topics.BY_NAME[found.data.TYPE]
    value, key = encode(found.data), key_of(found.data).encode()
    if len(value) > MAX_VALUE_BYTES:
        raise TooLarge(
            f"event {found.id} has {len(value):,} bytes, at most {MAX_VALUE_BYTES:,}; send features by parts"
        )
    headers = found.envelope.headers()
    read_envelope(headers)
    return Message(topic.name, partition_of(key, partitions[topic.name]), key, value, headers)


@dataclass
class Client:
    """Sends interactions and feedback of one app to Kafka at ``address``. At least once; ids make it count once.

    >>> with Client("127.0.0.1:9092", source="/apps/whiteboard") as client:  # doctest: +SKIP
    ...     client.send(Interaction(session="s1", role="teacher", payload=Payload(text="Why is that?")))
    """

    address: str
    source: str
    tenant: str = "default"
    options: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        broker = KafkaBroker(self.address, self.options)
        self._partitions = broker.partitions()
        missing = {topics.INTERACTION.name, topics.FEEDBACK.name} - set(self._partitions)
        if missing:
            raise BrokerError(f"{self.address} lacks {', '.join(sorted(missing))}; run `currere topics create`")
        self._producer = broker.producer()
        self._failures: list[str] = []

    def send(
        self, data: Interaction | Feedback | Consent, *, id: str | None = None, time: datetime | None = None
    ) -> str:
        """Enqueue an event; returns its id.

        Raises ValueError, TooLarge, UndecodableEvent: see ``event`` and ``message_of``; BrokerError: an earlier event
        was not taken.
        """
        made = event(data, tenant=self.tenant, source=self.source, id=id, time=time)
        self._producer.send(message_of(made, self._partitions), self._acknowledged)
        self._producer.poll()
        self._raise()
        return made.id

    def flush(self, timeout_s: float = 30.0) -> None:
        """Wait until the log has all that was sent. Raises BrokerError if it has not in time."""
        left = self._producer.flush(timeout_s)
        self._raise()
        if left:
            raise BrokerError(
                f"{left} events are not acknowledged by {self.address} after {timeout_s:.0f} s; send again"
            )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()

    def _acknowledged(self, offset: int | None, error: str | None) -> None:
        if error is not None:
            self._failures.append(error)

    def _raise(self) -> None:
        if self._failures:
            raise BrokerError(f"{self.address} did not take {len(self._failures)} events: {self._failures.pop(0)}")

"""One partition of one role: read, run, commit, send, in the order that loses nothing and repeats nothing.

The rules are those of "Exactly-once, precisely": the store decides what has happened. Every step compares token and
offsets with what the store says; outputs leave only after the commit that decided them; a successor sends what was
left, and adopts what the log already holds of inputs that the store has not seen.
"""

from __future__ import annotations

import hashlib
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from schemas.codec import decode
from schemas.envelope import Origin, read_envelope
from schemas.errors import BadEvent, BrokerError
from schemas.event import Data, Event
from schemas.topics import BY_NAME
from state.store import Commit, Delete, Put, Shard, Store, Taken, Write
from streams.engines.broker import Broker, Producer
from streams.message import Message, Record
from streams.metrics import RoleMetrics
from streams.processor import Batch, Input, Output, Plan, Processor, dead_letter, message, waiting_key

SENT = "sent:"  # + origin: what an earlier owner published for an input that this state has not met
HELD = "held"  # the origins under SENT, one a line; those met since are absent under SENT
MOST_UNACKNOWLEDGED = 5_000  # outputs on their way before a shard waits
DUE_EVERY_S = 10.0  # how often a resident shard asks what is due
CHUNK = 1_000  # adopted inputs a commit


@dataclass(frozen=True, slots=True)
class RoleAt:
    """A role's fixed surroundings: who it is, what it reads and writes, and how it decides."""

    tenant: str
    role: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    processor: Processor
    screen: Callable[[Event[Data], Record], None] = field(default=lambda event, record: None)

    @property
    def source(self) -> str:
        """The ``ce_source`` of what the role publishes."""
        return f"/currere/{self.tenant}/{self.role}"


class ShardRunner:
    """The owner of one partition of a role, from assignment to revocation.

    Built whole by ``assign``; after a Refused or a StoreUnavailable it must be thrown away and assigned anew.
    """

    def __init__(
        self,
        at: RoleAt,
        shard: Shard,
        store: Store,
        producer: Producer,
        partitions: Mapping[str, int],
        metrics: RoleMetrics,
        token: str,
    ) -> None:
        self.at, self.shard, self.store, self.producer = at, shard, store, producer
        self.partitions, self.metrics, self.token = partitions, metrics, token
        taken = store.take(shard, token)
        self.offsets: dict[str, int] = dict(taken.offsets)
        self.known: dict[str, int] = dict(taken.known)
        self.outbox: deque[bool] = deque()  # acknowledged or not, oldest first; mirrors the stored outbox
        self.resident: dict[str, bytes] = {}
        self.held: set[Origin] = set()
        self.failure: str | None = None
        self._sequence = 0  # of the head of the outbox
        self._acknowledged = 0  # in the outbox
        self._next_due = 0.0
        self._lock = threading.Lock()
        self._left = taken

    @property
    def unacknowledged(self) -> int:
        """Outputs decided and not yet acknowledged by the log."""
        return len(self.outbox) - self._acknowledged

    def recover(self, broker: Broker) -> None:
        """Adopt what the log already holds, then send what the last owner had decided and not sent."""
        found = read_own(broker, self.at, self.shard.partition, self.known, self.partitions)
        news = self._undecided(found.by_cause)
        marker = self.store.read(self.shard, self.token, self.offsets, [HELD]).found.get(HELD, b"")
        held = {Origin.parse(line) for line in marker.decode().splitlines()} | set(news)
        if news:
            self._commit(Commit(self.offsets, [Put(HELD, "\n".join(map(str, sorted(held))).encode())]))
        for origins in _chunks(sorted(news), CHUNK):
            self._commit(Commit(self.offsets, [Put(f"{SENT}{origin}", pack_all(news[origin])) for origin in origins]))
        self.known = {**self.known, **found.ends}
        self.held = self._present(held)
        if self.at.processor.resident:
            self.resident = self.store.read_all(self.shard, self.token, self.offsets)
        self._resend(self._left, found.ids)

    def process(self, records: Sequence[Record], now: float, due_limit: int = 500) -> int:
        """Decide a batch and send what came of it; returns how many records it held.

        Raises:
            Refused: another owner is at work, or the store went back in time.
            StoreUnavailable: the outcome of the commit is unknown.
            BrokerError: the log did not accept an earlier output.
        """
        self._raise_failure()
        while self.unacknowledged > MOST_UNACKNOWLEDGED:  # back-pressure: the log is slower than we are
            self.producer.flush(0.1)
            self._raise_failure()
        began_at = dict(self.offsets)
        inputs, letters = self._decode(records)
        seed = _seed(self.shard, began_at)
        batch = Batch(inputs, now, seed)
        values, due = self._read(batch, now, due_limit)
        batch = Batch(inputs, now, seed, due, self._sent(records, values))
        plan = self.at.processor.run(batch, values)
        met = [record.origin for record in records if record.origin in self.held]
        outputs = [*(letter for letter in letters if letter.causes[0] not in batch.sent), *plan.outputs]
        messages = [message(o, self.at.tenant, self.at.source, self.shard.partition, self.partitions) for o in outputs]
        after = {**began_at, **next_offsets(records)}
        writes = [*plan.writes, *(Delete(f"{SENT}{origin}") for origin in {*met, *plan.adopted})]
        if records or writes or messages:
            self._commit(Commit(after, writes, [m.pack() for m in messages], 0, self.known), began_at)
            self.offsets = after
            self.held.difference_update(met, plan.adopted)
            self._send(messages)
        self._observe(plan, outputs, records)
        return len(records)

    def beat(self) -> None:
        """An empty commit: compare token and offsets while idle, and trim what was acknowledged. Raises as process."""
        self._raise_failure()
        self._commit(Commit(self.offsets, known=self.known))

    def close(self, timeout_s: float) -> None:
        """Wait for acknowledgements and trim the outbox once more, so that a successor has nothing to send."""
        self.producer.flush(timeout_s)
        if self.failure is None:
            self.beat()

    def _commit(self, commit: Commit, began_at: Mapping[str, int] | None = None) -> None:
        with self._lock:
            trim = 0
            while trim < len(self.outbox) and self.outbox[trim]:
                trim += 1
        trimmed = Commit(commit.offsets, commit.writes, commit.outbox, trim, dict(self.known))
        self.store.commit(self.shard, self.token, self.offsets if began_at is None else began_at, trimmed)
        if self.at.processor.resident:
            apply(self.resident, commit.writes)
        with self._lock:
            for _ in range(trim):
                self.outbox.popleft()
            self._sequence += trim
            self._acknowledged -= trim
            self.outbox.extend([False] * len(commit.outbox))

    def _send(self, messages: Sequence[Message]) -> None:
        first = self._sequence + len(self.outbox) - len(messages)
        for number, outgoing in enumerate(messages, start=first):
            self.producer.send(outgoing, self._acknowledge(number, f"{outgoing.topic}/{outgoing.partition}"))
        self.producer.poll()

    def _acknowledge(self, number: int, place: str) -> Callable[[int | None, str | None], None]:
        def acknowledge(offset: int | None, error: str | None) -> None:
            if error is not None:
                self.failure = f"{place} did not accept an output: {error}"
                return
            with self._lock:
                if offset is not None and offset >= 0:
                    self.known[place] = max(self.known.get(place, 0), offset + 1)
                self.outbox[number - self._sequence] = True
                self._acknowledged += 1

        return acknowledge

    def _resend(self, taken: Taken, arrived: set[str]) -> None:
        left = [Message.unpack(packed) for packed in taken.outbox]
        with self._lock:
            self.outbox = deque(m.id in arrived for m in left)
            self._acknowledged = sum(self.outbox)
        for number, outgoing in enumerate(left):
            if outgoing.id not in arrived:
                self.producer.send(outgoing, self._acknowledge(number, f"{outgoing.topic}/{outgoing.partition}"))

    def _undecided(self, by_cause: Mapping[Origin, Sequence[Message]]) -> dict[Origin, Sequence[Message]]:
        met = [o for o in by_cause if o.offset < self.offsets.get(f"{o.topic}/{o.partition}", 0)]
        waits = (
            self.store.read(self.shard, self.token, self.offsets, [waiting_key(o) for o in met]).found if met else {}
        )
        decided = {origin for origin in met if waiting_key(origin) not in waits}
        return {origin: messages for origin, messages in by_cause.items() if origin not in decided}

    def _present(self, held: Iterable[Origin]) -> set[Origin]:
        keys = {f"{SENT}{origin}": origin for origin in held}
        found = self.store.read(self.shard, self.token, self.offsets, list(keys)).found if keys else {}
        return {keys[key] for key in found}

    def _decode(self, records: Sequence[Record]) -> tuple[list[Input], list[Output]]:
        inputs, letters = [], []
        for record in records:
            try:
                if (record.header("ce_tenant") or self.at.tenant) != self.at.tenant:
                    continue  # topics are shared: another tenant's roles take it
                event = decode(BY_NAME[record.origin.topic], record.headers, record.value)
                self.at.screen(event, record)
                inputs.append(Input(record.origin, event, record))
            except BadEvent as error:
                letters.append(dead_letter(record, error))
        return inputs, letters

    def _read(self, batch: Batch, now: float, due_limit: int) -> tuple[Mapping[str, bytes], Sequence[str]]:
        processor = self.at.processor
        if processor.resident:
            if now < self._next_due:
                return self.resident, ()
            self._next_due = now + DUE_EVERY_S
            return self.resident, self.store.read(self.shard, self.token, self.offsets, (), now, due_limit).due
        keys = list(dict.fromkeys(processor.keys(batch)))
        if self.held:
            keys += [f"{SENT}{i.origin}" for i in batch.inputs if i.origin in self.held]
            keys += [f"{SENT}{origin}" for origin in self.held if origin.offset < self._next(origin)]
        read = self.store.read(self.shard, self.token, self.offsets, keys, now, due_limit)
        values, due = dict(read.found), read.due
        if due:
            more = list(processor.keys(Batch((), now, batch.seed, due)))
            values |= self.store.read(self.shard, self.token, self.offsets, more).found if more else {}
        return values, due

    def _next(self, origin: Origin) -> int:
        return self.offsets.get(f"{origin.topic}/{origin.partition}", 0)

    def _sent(self, records: Sequence[Record], values: Mapping[str, bytes]) -> dict[Origin, tuple[Message, ...]]:
        if not self.held:
            return {}
        wanted = {r.origin for r in records} | {o for o in self.held if o.offset < self._next(o)}
        keys = {origin: f"{SENT}{origin}" for origin in wanted & self.held}
        return {origin: unpack_all(values[key]) for origin, key in keys.items() if key in values}

    def _observe(self, plan: Plan, outputs: Sequence[Output], records: Sequence[Record]) -> None:
        self.metrics.batch(records, outputs, plan.gauges)

    def _raise_failure(self) -> None:
        self.producer.poll()
        if self.failure is not None:
            raise BrokerError(
                f"{self.at.role} {self.shard.partition}: {self.failure}; it is in the outbox, assign anew"
            )


@dataclass(frozen=True, slots=True)
class Own:
    """What a role finds of its own in the log: by the input that caused it, all ids, and up to where it looked."""

    by_cause: Mapping[Origin, Sequence[Message]]
    ids: set[str]
    ends: Mapping[str, int]


def read_own(
    broker: Broker, at: RoleAt, partition: int, known: Mapping[str, int], partitions: Mapping[str, int]
) -> Own:
    """Read the role's output topics from ``known`` to their ends: what it, or an earlier owner, has published."""
    by_cause: dict[Origin, list[Message]] = defaultdict(list)
    ids, ends = set(), {}
    mine = {(topic, partition) for topic in at.inputs}
    for topic in at.outputs:
        places = [partition % partitions[topic]] if BY_NAME[topic].per_session else range(partitions[topic])
        for place in places:
            name = f"{topic}/{place}"
            start, end = broker.ends(topic, place)
            for record in broker.read(topic, place, max(start, known.get(name, 0)), end):
                if record.header("ce_source") != at.source or record.value is None:
                    continue
                envelope = read_envelope(record.headers)
                ids.add(envelope.id)
                sent = Message(topic, place, record.key or b"", record.value, _whole(record.headers))
                for cause in envelope.causes:
                    if (cause.topic, cause.partition) in mine:
                        by_cause[cause].append(sent)
            ends[name] = max(end, known.get(name, 0))
    return Own(by_cause, ids, ends)


def apply(values: dict[str, bytes], writes: Iterable[Write]) -> None:
    """Carry out ``writes`` on resident values."""
    for write in writes:
        if isinstance(write, Put):
            values[write.key] = write.value
        else:
            values.pop(write.key, None)


def next_offsets(records: Iterable[Record]) -> dict[str, int]:
    """By topic/partition, the offset after the last of ``records``."""
    return {f"{r.origin.topic}/{r.origin.partition}": r.origin.offset + 1 for r in records}


def pack_all(messages: Iterable[Message]) -> bytes:
    """Several messages in one value, length-prefixed (big-endian u32)."""
    packed = [m.pack() for m in messages]
    return b"".join(len(p).to_bytes(4, "big") + p for p in packed)


def unpack_all(packed: bytes) -> tuple[Message, ...]:
    """The inverse of ``pack_all``."""
    found, at = [], 0
    while at < len(packed):
        length = int.from_bytes(packed[at : at + 4], "big")
        found.append(Message.unpack(packed[at + 4 : at + 4 + length]))
        at += 4 + length
    return tuple(found)


def _whole(headers: Iterable[tuple[str, bytes | None]]) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, value) for name, value in headers if value is not None)


def _chunks(items: Sequence[Origin], size: int) -> Iterable[Sequence[Origin]]:
    return (items[i : i + size] for i in range(0, len(items), size))


def _seed(shard: Shard, offsets: Mapping[str, int]) -> int:
    text = f"{shard.tenant}/{shard.role}/{shard.partition}:{sorted(offsets.items())}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")

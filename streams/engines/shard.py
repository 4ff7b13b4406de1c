"""One partition of one role: read, run, commit, send, in the order that loses nothing and repeats nothing.

The rules are those of "Exactly-once, precisely": the store decides what has happened. Every step compares token and
offsets with what the store says; outputs leave only after the commit that decided them; a successor sends what was
left, and adopts what the log already holds of inputs that the store has not seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from schemas.codec import decode
from schemas.envelope import Origin
from schemas.errors import BadEvent, BrokerError
from schemas.event import Data, Event
from schemas.topics import BY_NAME
from state.store import Commit, Put, Shard, Store, Write
from streams import failpoints
from streams.clock import passed
from streams.engines.adopted import HELD, SAID, Adopted, sent_key, sent_of
from streams.engines.broker import Broker, Producer
from streams.engines.lanes import undecided
from streams.engines.outbox import Outbox
from streams.engines.own import Search, read_own
from streams.engines.tries import CAREFUL, TRIES, Care, Mark, poisoned, too_many
from streams.message import Message, Record
from streams.metrics import RoleMetrics
from streams.processor import Batch, Input, Output, Processor, dead_letter, message, waiting_key

MOST_UNACKNOWLEDGED = 5_000  # outputs on their way before a shard waits
DUE_EVERY_S = 10.0  # how often a resident shard asks what is due
COUNT_EVERY_S = 5.0  # how often the entries in the store are counted
FLUSH_S = 5.0  # for what this process sent before to arrive


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

    Built whole by ``assign``; after an error that ``process`` raises it must be thrown away and assigned anew.
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
        care: Care | None = None,
    ) -> None:
        self.at, self.shard, self.store, self.producer = at, shard, store, producer
        self.partitions, self.metrics, self.token = partitions, metrics, token
        self.care = care or Care(token)
        self._left = store.take(shard, token)
        self.offsets: dict[str, int] = dict(self._left.offsets)
        self.outbox = Outbox(producer, self._left.known)
        self.resident: dict[str, bytes] = {}
        self.adopted = Adopted()
        self._care_left = CAREFUL  # records to be decided before batches are no longer marked
        self._mark = Mark()  # of what is begun and not known to be decided
        self._counted = self._asked = -inf  # when entries were counted, and what is due was asked; wall clock

    @property
    def unacknowledged(self) -> int:
        """Outputs decided and not yet acknowledged by the log."""
        return self.outbox.unacknowledged

    def recover(self, broker: Broker) -> None:
        """Adopt what the log already holds, then send what the last owner had decided and not sent.

        Raises BrokerError: what this process sent as a former owner is still on its way, and could not be adopted.
        """
        if missing := self.producer.flush(FLUSH_S):
            raise BrokerError(f"{self.shard}: {missing} outputs of before are not acknowledged; waiting for them")
        at, left = self.at, [Message.unpack(packed) for packed in self._left.outbox]
        search = Search(at.source, at.outputs, at.inputs, self.shard.partition, at.processor.quoted)
        found = read_own(broker, search, self._left.known, self.partitions, {m.id for m in left})
        news = self._undecided(found.by_cause)
        marks = self._read_now([HELD, SAID, TRIES])
        self._mark = Mark.read(marks.get(TRIES)) or Mark()
        self.adopted = Adopted.read(marks)
        for writes in self.adopted.found(news, found.uncaused):
            self._commit(Commit(self.offsets, writes))
        self.adopted.present(self._read_now(list(map(sent_key, self.adopted.held))), self.offsets)
        if at.processor.resident:
            self.resident = self.store.read_all(self.shard, self.token, self.offsets)
            at.processor.prepare(self.resident)
        self.outbox.take_over(left, found.arrived, found.ends)
        self._tell_poison()

    def process(self, records: Sequence[Record], now: float, due_limit: int = 500) -> int:
        """Decide a batch and send what came of it; returns how many records it held.

        Records before the stored offsets are passed over: they are decided.

        Raises:
            Refused: another owner is at work, or the store went back in time.
            StoreUnavailable: the outcome of the commit is unknown.
            BrokerError: the log did not accept an earlier output.
            TooManyPoisons: the next record ends each process, and as many as may be were led aside.
        """
        self._raise_failure()
        while self.unacknowledged > MOST_UNACKNOWLEDGED:  # back-pressure: the log is slower than we are
            self.producer.flush(0.1)
            self._raise_failure()
        records = undecided(records, self.offsets)
        if self._careful and records:
            with self.care.turn:
                self._decide_with_care(records, now, due_limit)
        else:
            self._decide(records, now, due_limit)
        return len(records)

    @property
    def _careful(self) -> bool:
        return self._care_left > 0 or not self._mark.passed(self.offsets)

    def _decide_with_care(self, records: Sequence[Record], now: float, due_limit: int) -> None:
        """Each batch is marked before it is decided; what an earlier process may have died of is decided one by one.

        Nothing that is due is decided beside a suspect: what that did would be laid at the suspect's door.
        """
        suspects, rest = self._mark.suspected(records)
        for record in suspects:
            self._decide_suspect(record, now)
        if rest:
            self._mark = self._mark.begun(rest)
            self._commit(Commit(self.offsets, [self._mark.put()]))
            self._decide(rest, now, due_limit)
        self._care_left -= len(records)

    def _decide_suspect(self, record: Record, now: float) -> None:
        care = self.care
        verdict = self._mark.verdict(record, care.process, self.offsets, now, care.most_aside)
        if verdict == "stand":
            raise too_many(self.shard, record, care.most_aside)
        if verdict == "try":
            mark = self._mark.trying(record, care.process, now)
            self._commit(Commit(self.offsets, [mark.put()]))
            self._mark = mark.decided(record)
        else:
            self._mark = self._mark.led_aside(record, self.offsets)
        self._decide([record], now, 0, poison=verdict == "aside")

    def _decide(self, records: Sequence[Record], now: float, due_limit: int, poison: bool = False) -> None:
        began_at = dict(self.offsets)
        inputs, letters = self._decode(records, poison)
        seed = _seed(self.shard, began_at)
        met = self.adopted.met(records)
        wanted = met | self.adopted.waiting
        values, due = self._read(Batch(inputs, now, seed), wanted, now, due_limit)
        batch = Batch(inputs, now, seed, due, sent_of(wanted, values))
        failpoints.meet(input_.event.id for input_ in inputs)
        plan = self.at.processor.run(batch, values)
        outputs = [*(letter for letter in letters if letter.causes[0] not in batch.sent), *plan.outputs]
        outputs = [output for output in outputs if output.causes or output.id not in self.adopted.said]
        messages = [message(o, self.at.tenant, self.at.source, self.shard.partition, self.partitions) for o in outputs]
        decided = self.adopted.decided(met, plan)
        writes = [*plan.writes, *self.adopted.without(decided)]
        after = {**began_at, **next_offsets(records)}
        if self._careful and records:
            writes.append(self._mark.after(after))
        if records or writes or messages:
            failpoints.pass_by(failpoints.BEFORE_COMMIT)
            self._commit(Commit(after, writes), messages)
            failpoints.pass_by(failpoints.AFTER_COMMIT)
            self.offsets = after
            self.adopted.committed(met, decided)
            self.outbox.send(messages)
        self.metrics.batch(records, outputs, plan.gauges)
        self._count(now)

    def beat(self) -> None:
        """An empty commit: compare token and offsets while idle, and trim what was acknowledged. Raises as process."""
        self._raise_failure()
        self._commit(Commit(self.offsets))

    def close(self, timeout_s: float) -> None:
        """Wait for acknowledgements and trim the outbox once more, so that a successor has nothing to send."""
        self.producer.flush(timeout_s)
        if self.outbox.failure is None:
            self.beat()

    def _count(self, now: float) -> None:
        """Tell what the shard holds, now and then: counting is a call to the store."""
        self.metrics.outbox(self.shard.partition, self.unacknowledged)
        self._tell_poison()
        if passed(self._counted, now) >= COUNT_EVERY_S:
            self._counted = now
            self.metrics.pending(self.shard.partition, self.store.count(self.shard))

    def _tell_poison(self) -> None:
        self.metrics.poison(self.shard.partition, len(self._mark.lately(self.offsets)))

    def _commit(self, commit: Commit, messages: Sequence[Message] = ()) -> None:
        trim, known = self.outbox.trim()
        whole = Commit(commit.offsets, commit.writes, [m.pack() for m in messages], trim, known)
        self.store.commit(self.shard, self.token, self.offsets, whole)
        if self.at.processor.resident:
            apply(self.resident, commit.writes)
        self.outbox.committed(trim, messages)

    def _undecided(self, by_cause: Mapping[Origin, Sequence[Message]]) -> dict[Origin, Sequence[Message]]:
        met = [origin for origin in by_cause if origin.offset < self._next(origin)]
        waits = self._read_now(list(map(waiting_key, met)))
        decided = {origin for origin in met if waiting_key(origin) not in waits}
        return {origin: messages for origin, messages in by_cause.items() if origin not in decided}

    def _read_now(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        return self.store.read(self.shard, self.token, self.offsets, keys).found if keys else {}

    def _decode(self, records: Sequence[Record], poison: bool) -> tuple[list[Input], list[Output]]:
        inputs, letters = [], []
        for record in records:
            try:
                if (record.header("ce_tenant") or self.at.tenant) != self.at.tenant:
                    continue  # topics are shared: another tenant's roles take it
                if poison:
                    raise poisoned(record)
                event = decode(BY_NAME[record.origin.topic], record.headers, record.value)
                self.at.screen(event, record)
                inputs.append(Input(record.origin, event, record))
            except BadEvent as error:
                letters.append(dead_letter(record, error))
        return inputs, letters

    def _read(
        self, batch: Batch, wanted: Collection[Origin], now: float, due_limit: int
    ) -> tuple[Mapping[str, bytes], Sequence[str]]:
        processor = self.at.processor
        if processor.resident:
            if passed(self._asked, now) < DUE_EVERY_S:
                return self.resident, ()
            due = self.store.read(self.shard, self.token, self.offsets, (), now, due_limit).due
            self._asked = -inf if len(due) == due_limit else now
            return self.resident, due
        keys = dict.fromkeys([*processor.keys(batch), *map(sent_key, wanted)])
        read = self.store.read(self.shard, self.token, self.offsets, list(keys), now, due_limit)
        more = [k for k in processor.keys(Batch((), now, batch.seed, read.due)) if k not in keys and k not in read.due]
        return {**read.found, **self._read_now(more)}, read.due

    def _next(self, origin: Origin) -> int:
        return self.offsets.get(f"{origin.topic}/{origin.partition}", 0)

    def _raise_failure(self) -> None:
        self.producer.poll()
        if self.outbox.failure is not None:
            raise BrokerError(
                f"{self.at.role} {self.shard.partition}: {self.outbox.failure}; it is in the outbox, assign anew"
            )


def apply(values: dict[str, bytes], writes: Iterable[Write]) -> None:
    """Carry out ``writes`` on resident values."""
    for write in writes:
        if isinstance(write, Put):
            values[write.key] = write.value
        else:
            values.pop(write.key, None)


def next_offsets(records: Iterable[Record]) -> dict[str, int]:
    """By topic/partition, the offset after the last of ``records``."""
    last = {(r.origin.topic, r.origin.partition): r.origin.offset for r in records}
    return {f"{topic}/{partition}": offset + 1 for (topic, partition), offset in last.items()}


def _seed(shard: Shard, offsets: Mapping[str, int]) -> int:
    text = f"{shard.tenant}/{shard.role}/{shard.partition}:{sorted(offsets.items())}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")

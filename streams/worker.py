"""The model worker: folds train requests and nothing else; publishes each step, deltas soon and snapshots now and then.

It keeps nothing in the store: its truth is the last snapshot and the log. After a crash it loads the snapshot, folds
again to the tail that it had published, and goes on.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from learners.delta import delta_parts, no_changes
from learners.fingerprint import fingerprint
from learners.fold import StepReport, fold
from learners.model import Model, served_digest, trained_digest
from learners.probe import probe_skills
from learners.request import read_weights
from learners.snapshot import restore, snapshot
from schemas import codec, topics
from schemas.envelope import Envelope, content_digest, derive_id
from schemas.errors import BadEvent, BrokerError, ConfigurationError, ModelRefused
from schemas.event import Data, Event
from schemas.model import Checkpoint, Delta
from schemas.topics import Topic
from schemas.training import TrainRequest
from streams import failpoints
from streams.blobs import Blobs, BlobUnavailable
from streams.clock import passed
from streams.engines.broker import Broker, Producer
from streams.malloc import trim
from streams.message import Message, Record, partition_of
from streams.metrics import Metrics
from streams.processor import dead_letter, message
from streams.published import ARRIVALS, checkpoints_of, last_dead_letter, last_event, snapshot_of
from streams.steps import observe_step

LOG = logging.getLogger("streams.worker")
FLUSH_S = 5.0  # for a delta to be acknowledged before the snapshot that follows it
RETRY_S = 10.0  # after a snapshot that could not be stored


@dataclass(frozen=True, slots=True)
class Cadence:
    """When what is new leaves: seconds between deltas and their bytes a second, steps and seconds to a snapshot."""

    delta_s: float = 0.3
    delta_bytes_per_s: float = 6e6
    snapshot_steps: int = 500
    snapshot_s: float = 300.0


class Worker:
    """Folds one partition of train requests for one model. Whole when built: it has recovered.

    Raises BrokerError when the log does not answer.
    """

    def __init__(
        self,
        broker: Broker,
        producer: Producer,
        blobs: Blobs,
        metrics: Metrics,
        clock: Callable[[], float],
        tenant: str,
        model_name: str,
        cadence: Cadence,
        partition: int,
    ) -> None:
        self.broker, self.producer, self.blobs, self.metrics, self.clock = broker, producer, blobs, metrics, clock
        self.tenant, self.model_name, self.cadence, self.partition = tenant, model_name, cadence, partition
        self.partitions = broker.partitions()
        self.failure: str | None = None
        self.model: Model | None = None
        self._arrivals: list[int] = []
        self._delta_at, self._snapshot_at, self._snapshot_steps = clock(), clock(), 0
        self._next_delta_s = cadence.delta_s
        self._owed_s: float | None = None  # a snapshot is owed so long after the last try, whatever the cadence says
        self.model = self._last_snapshot()
        begun = self.model.next_offset if self.model else 0
        self.changes = no_changes(begun)
        self._delta_from = begun
        self.offsets = {f"{topics.TRAIN_REQUEST.name}/{partition}": begun} if self.model else {}
        self._take_memory()
        self._published, self._tail = self._published_tail()
        self._dead_before = last_dead_letter(broker, topics.TRAIN_REQUEST, tenant, partition)

    def process(self, records: Sequence[Record], now: float) -> int:
        """Fold ``records`` in order; a request that cannot be used is a dead letter and changes nothing."""
        self._raise_failure()
        for record in records:
            place = f"{record.origin.topic}/{record.origin.partition}"
            if record.origin.offset < self.offsets.get(place, 0):
                continue
            try:
                self._fold(record)
            except BadEvent as error:
                self._dead(record, error)
            except (ConfigurationError, ModelRefused) as error:  # a genesis or a reset that cannot be
                self._dead(record, BadEvent(str(error), "unusable"))
            self.offsets[place] = record.origin.offset + 1
            self._publish_what_is_due()
        if not records:
            self._publish_what_is_due()
        self.producer.poll()
        return len(records)

    def beat(self) -> None:
        """Nothing to compare: the log is the truth."""
        self._raise_failure()

    def close(self, timeout_s: float) -> None:
        """Publish what is new, with a snapshot, so that the next worker has nothing to fold again."""
        if self.model is not None and self._tail is None:
            if self.model.next_offset > self._delta_from:
                self._delta(self.model)
            if self.model.steps > self._snapshot_steps or self._owed_s is not None:
                self._snapshot(self.model)
        self.producer.flush(timeout_s)

    def _fold(self, record: Record) -> None:
        if (record.header("ce_tenant") or self.tenant) != self.tenant:
            return  # topics are shared: another tenant's worker folds it
        event = codec.decode(topics.TRAIN_REQUEST, record.headers, record.value)
        manifest = event.data
        if not isinstance(manifest, TrainRequest) or manifest.model != self.model_name:
            return
        weights = read_weights(manifest, record.value or b"")
        begun = self.clock()
        lineage = self.model.lineage if self.model else None
        snapshots = partial(snapshot_of, self.broker, self.blobs, self.tenant, self.model_name)
        self.model, report = fold(self.model, manifest, weights, event.id, record.origin.offset, snapshots)
        self.metrics.observe("step_seconds", self.clock() - begun, role="worker")
        self.metrics.gauge("model_offset", self.model.next_offset, role="worker")
        self.changes = self.changes.and_then(report.touched)
        if record.origin.offset > self._published:
            self._step(record, event, report)
            if report.event.applied:
                self._arrivals += [example.feedback_ms for example in manifest.new]
        self._snapshot_steps = min(self._snapshot_steps, self.model.steps)  # a reset goes back
        if self._tail is not None and self.model.next_offset >= self._tail.b:
            self._compare(self.model, self._tail)
        if manifest.kind in ("genesis", "reset"):
            self._take_memory()
        if self.model.lineage != lineage:
            self.changes, self._delta_from = no_changes(self.model.next_offset), self.model.next_offset
            self._owed_s = 0.0

    def _step(self, record: Record, event: Event[Data], report: StepReport) -> None:
        observe_step(self.metrics, report.event)
        self._send(
            topics.TRAIN_STEP,
            derive_id("step", str(record.origin)),
            event.envelope.time,
            report.event,
            cause=record,
        )

    def _compare(self, model: Model, tail: Delta) -> None:
        """Whether the fold reached what was published; under another fingerprint it may not, then a lineage begins."""
        self._tail = None
        if model.lineage != tail.lineage or (model.next_offset, served_digest(model)) == (tail.b, tail.digest):
            return
        lineage = content_digest(f"{model.lineage}/{model.next_offset}/{sorted(fingerprint().items())}".encode())
        LOG.warning("%s folds to another digest than was published (%s); lineage %s begins", model.version,
                    fingerprint(), lineage)  # fmt: skip
        self.model = replace(model, lineage=lineage)

    def _publish_what_is_due(self) -> None:
        now = self.clock()
        if self.model is None or self._tail is not None:  # what is folded again is not known to be what was published
            return
        if self.model.next_offset > self._delta_from and passed(self._delta_at, now) >= self._next_delta_s:
            self._delta(self.model)
        steps = self.model.steps - self._snapshot_steps
        old = passed(self._snapshot_at, now)
        many = steps >= self.cadence.snapshot_steps or (steps and old >= self.cadence.snapshot_s)
        if many if self._owed_s is None else old >= self._owed_s:
            self._snapshot(self.model)
            trim()

    def _delta(self, model: Model) -> None:
        failpoints.pass_by(failpoints.BETWEEN_STEP_AND_DELTA, self.producer.flush)
        parts = delta_parts(model, self.changes, self._delta_from, model.next_offset, self.model_name)
        arrivals = ",".join(map(str, self._arrivals)).encode()
        for number, part in enumerate(parts):
            self._send(
                topics.DELTA,
                derive_id("delta", model.version, str(self._delta_from), str(number)),
                datetime.fromtimestamp(self.clock(), UTC),
                codec.decode_data(Delta, codec.manifest(part)),
                value=part,
                extra=((ARRIVALS, arrivals),) if number == 0 else (),
            )
        self._delta_at = self.clock()
        self._next_delta_s = max(self.cadence.delta_s, sum(map(len, parts)) / self.cadence.delta_bytes_per_s)
        self.changes, self._delta_from, self._arrivals = no_changes(model.next_offset), model.next_offset, []

    def _snapshot(self, model: Model) -> None:
        if model.next_offset > self._delta_from:  # first: who begins here does not know what changed before
            self._delta(model)
            self.producer.flush(FLUSH_S)
        content = snapshot(model)
        path = f"{self.tenant}/{self.model_name}/{model.lineage}/{model.next_offset}.safetensors"
        self._snapshot_at = self.clock()
        failpoints.pass_by(failpoints.BETWEEN_DELTA_AND_SNAPSHOT)
        try:
            uri = self.blobs.put(path, content)
        except BlobUnavailable as error:
            LOG.warning("snapshot of %s: %s; deltas go on, next try in %.0f s", model.version, error, RETRY_S)
            self._owed_s = RETRY_S
            return
        failpoints.pass_by(failpoints.BEFORE_CHECKPOINT)
        self._snapshot_steps, self._owed_s = model.steps, None
        found = Checkpoint(
            model=self.model_name,
            lineage=model.lineage,
            version=model.version,
            next_offset=model.next_offset,
            uri=uri,
            sha256=hashlib.sha256(content).hexdigest(),
            size=len(content),
            digest=served_digest(model),
            trained_digest=trained_digest(model),
            fingerprint=fingerprint(),
            settings=model.settings.to_dict(),
            metrics={"steps": float(model.steps), **probe_skills(model)},
        )
        self._send(topics.CHECKPOINT, derive_id("checkpoint", model.version), self._now(), found)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.clock(), UTC)

    def _send(
        self,
        topic: Topic,
        id_: str,
        time: datetime,
        data: Data,
        cause: Record | None = None,
        value: bytes | None = None,
        extra: tuple[tuple[str, bytes], ...] = (),
    ) -> None:
        envelope = Envelope(
            id=id_,
            source=f"/currere/{self.tenant}/worker",
            type=topic.holds.TYPE,
            time=time,
            subject=self.model_name,
            schema_version=topic.holds.VERSION,
            tenant=self.tenant,
            content_type=codec.content_type(topic),
            causes=(cause.origin,) if cause else (),
        )
        place = partition_of(self.model_name.encode(), self.partitions[topic.name])
        content = codec.encode(data) if value is None else value
        key = self.model_name.encode()
        self.metrics.count("events_out", role="worker", topic=topic.name)
        self.producer.send(Message(topic.name, place, key, content, (*envelope.headers(), *extra)), self._acknowledge)

    def _acknowledge(self, offset: int | None, error: str | None) -> None:
        if error is not None:
            self.failure = error

    def _raise_failure(self) -> None:
        self.producer.poll()
        if self.failure is not None:
            raise BrokerError(f"worker: an output was not accepted: {self.failure}; folding again from the snapshot")

    def _take_memory(self) -> None:
        """What a worker needs is known when it begins, instead of growing for days with each row that is met."""
        for table in self.model.tables.values() if self.model else ():
            table.take_memory()

    def _dead(self, record: Record, error: BadEvent) -> None:
        if record.origin.offset <= self._dead_before:  # folded again
            return
        letter = dead_letter(record, error)
        source = f"/currere/{self.tenant}/worker"
        self.metrics.count("dead_letters", role="worker", topic=record.origin.topic, reason=error.reason)
        self.producer.send(message(letter, self.tenant, source, self.partition, self.partitions), self._acknowledge)

    def _last_snapshot(self) -> Model | None:
        """The newest snapshot that is whole; older ones stand in for a torn one."""
        for checkpoint in checkpoints_of(self.broker, self.tenant, self.model_name):
            try:
                model = restore(self.blobs.get(checkpoint.uri, checkpoint.size, checkpoint.sha256))
            except (BlobUnavailable, ModelRefused) as error:
                LOG.warning("checkpoint %s: %s; trying the one before", checkpoint.version, error)
                self.metrics.count("models_refused", role="worker")
                continue
            self._snapshot_steps = model.steps
            return model
        return None

    def _published_tail(self) -> tuple[int, Delta | None]:
        """The offset of the last request whose step was published, and the last delta beyond the snapshot."""
        step = last_event(self.broker, topics.TRAIN_STEP, self.tenant, self.model_name)
        published = -1 if step is None else int(step.data.offset)  # type: ignore[attr-defined]  # a TrainStep
        delta = last_event(self.broker, topics.DELTA, self.tenant, self.model_name)
        if delta is None or not isinstance(delta.data, Delta):
            return published, None
        tail, model = delta.data, self.model
        beyond = model is None or (tail.lineage == model.lineage and tail.b > model.next_offset)
        return published, tail if beyond else None

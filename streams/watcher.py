"""A model that stays fresh in a running process: a snapshot, then deltas, each verified before it is swapped in.

Any consumer uses ``ModelWatcher``: the session role, an app server, an evaluation. The last good model keeps serving
whatever arrives.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from learners.delta import apply_delta
from learners.served import Served
from schemas import codec, topics
from schemas.errors import BadEvent, BrokerError, ModelRefused, OffsetOutOfRange
from schemas.model import Checkpoint, Delta
from streams.blobs import Blobs, BlobUnavailable
from streams.engines.broker import Broker, Tail, partitions_of_all
from streams.message import Record, partition_of
from streams.published import ARRIVALS, MARGIN_MS, newest_first, served_of

LOG = logging.getLogger("streams.watcher")
RETRY_S = 30.0  # after a snapshot that was wanted and could not be had

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Swapped(Generic[T]):
    """The model in use: what ``build`` made of ``served``."""

    served: Served
    model: T


@dataclass
class ModelWatcher(Generic[T]):
    """Follows one model of a tenant.

    ``build`` turns served weights into what the consumer uses; ``on_swap`` is told of each swap, with the arrival
    times (epoch ms) of the feedback that the new model has learned from and the old had not; ``on_refusal`` of each
    snapshot or delta that failed its checks.

    Call ``step`` from a loop of your own, or ``start`` a thread. ``current`` may be read from any thread.
    """

    broker: Broker
    blobs: Blobs
    tenant: str
    name: str
    build: Callable[[Served], T]
    on_swap: Callable[[Served, list[int]], None] = field(default=lambda served, arrivals: None)
    current: Swapped[T] | None = None
    refused: int = 0
    clock: Callable[[], float] = time.monotonic
    on_refusal: Callable[[], None] = field(default=lambda: None)

    def __post_init__(self) -> None:
        counts = partitions_of_all(self.broker, [topic.name for topic in FOLLOWED])
        self._partition = {t.name: partition_of(self.name.encode(), counts[t.name]) for t in FOLLOWED}
        self._parts: dict[int, bytes] = {}
        self._arrivals: list[int] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._checkpoints: Tail | None = None
        self._deltas: Tail | None = None
        self._behind = True  # a delta is missing: only a snapshot helps
        self._newest: tuple[Checkpoint, Record] | None = None  # not needed when it came, or not to be had
        self._retry_at = 0.0

    def step(self, timeout_s: float) -> bool:
        """Take in what has been published since; whether a fresher model was swapped in."""
        before = self.current
        if self._checkpoints is None:
            self._begin()
        for record in self._fresh_deltas(timeout_s):
            self._on_delta(record)
        if self._checkpoints is not None:
            for record in self._checkpoints.poll(0.0 if self._deltas else timeout_s):
                self._on_checkpoint(record)
        if self._newest is not None and self.clock() >= self._retry_at and self._wants(self._newest[0]):
            self._load(*self._newest)  # no other may come while nothing is learned
        return self.current is not before

    def start(self) -> None:
        """Follow in a thread until ``close``."""
        self._thread = threading.Thread(target=self._run, name=f"watcher {self.name}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop following; the current model stays."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        for tail in (self._checkpoints, self._deltas):
            if tail is not None:
                tail.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.step(0.1)
            except BrokerError as error:
                LOG.warning("%s: %s; the last good model keeps serving", self.name, error)
                self._stop.wait(1.0)

    def _fresh_deltas(self, timeout_s: float) -> Sequence[Record]:
        if self._deltas is None:
            return ()
        try:
            return self._deltas.poll(timeout_s)
        except OffsetOutOfRange as error:
            LOG.warning("%s: %s; going on from what the log still holds", self.name, error)
            self._deltas.close()
            place = self._partition[topics.DELTA.name]
            start, _ = self.broker.ends(topics.DELTA.name, place)
            self._deltas = self.broker.tail(topics.DELTA.name, place, start)
            return ()

    def _begin(self) -> None:
        topic = topics.CHECKPOINT
        _, end = self.broker.ends(topic.name, self._partition[topic.name])
        for record, _ in newest_first(self.broker, topic, self.tenant, self.name):
            self._on_checkpoint(record)
            if self.current is not None:
                break
        self._checkpoints = self.broker.tail(topic.name, self._partition[topic.name], end)

    def _on_checkpoint(self, record: Record) -> None:
        if record.header("ce_tenant") != self.tenant:
            return
        try:
            found = codec.decode(topics.CHECKPOINT, record.headers, record.value).data
        except BadEvent as error:
            self._refuse(f"checkpoint at {record.origin}: {error}")
            return
        if isinstance(found, Checkpoint) and found.model == self.name:
            if self._newest is None or record.origin.offset > self._newest[1].origin.offset:
                self._newest = found, record
            if self._wants(found):
                self._load(found, record)

    def _wants(self, found: Checkpoint) -> bool:
        if self.current is None or found.lineage != self.current.served.lineage:
            return True
        return self._behind and found.next_offset > self.current.served.next_offset

    def _load(self, found: Checkpoint, record: Record) -> None:
        try:
            served = served_of(self.blobs, found)
        except (BlobUnavailable, ModelRefused) as error:
            self._refuse(f"checkpoint {found.version}: {error}")
            self._retry_at = self.clock() + RETRY_S
            return
        self._behind = False
        self._swap(served, [])
        place = self._partition[topics.DELTA.name]
        if self._deltas is not None:
            self._deltas.close()
        start = self.broker.offset_at(topics.DELTA.name, place, record.timestamp_ms - MARGIN_MS)
        self._parts.clear()
        self._deltas = self.broker.tail(topics.DELTA.name, place, start)

    def _on_delta(self, record: Record) -> None:
        if record.header("ce_tenant") != self.tenant:
            return
        try:
            found = codec.decode(topics.DELTA, record.headers, record.value).data
        except BadEvent as error:
            self._refuse(f"delta at {record.origin}: {error}")
            return
        if not isinstance(found, Delta) or found.model != self.name or self.current is None:
            return
        if found.version != f"{found.lineage}:{found.b}":
            self._refuse(f"delta at {record.origin}: it is of {found.version} and ends at {found.b}")
            return
        served = self.current.served
        if found.lineage != served.lineage or found.b <= served.next_offset:
            return
        if found.a > served.next_offset:
            self._fall_behind()
            return
        if found.part == 0:
            self._parts.clear()
            arrivals = record.header(ARRIVALS) or ""
            self._arrivals = [int(ms) for ms in arrivals.split(",") if ms.isdecimal()]
        self._parts[found.part] = record.value or b""
        if len(self._parts) == found.parts:
            self._apply(served, found)

    def _fall_behind(self) -> None:
        """Only a snapshot helps now: the newest one if it goes further than we are, else the next."""
        self._behind = True
        if self._newest is not None and self._wants(self._newest[0]):
            self._load(*self._newest)

    def _apply(self, served: Served, found: Delta) -> None:
        parts = [self._parts[number] for number in sorted(self._parts)]
        self._parts.clear()
        try:
            fresher = apply_delta(served, parts)
        except ModelRefused as error:
            self._refuse(f"delta to {found.version}: {error}")
            self._fall_behind()
            return
        self._behind = False
        self._swap(fresher, self._arrivals)

    def _swap(self, served: Served, arrivals: list[int]) -> None:
        self.current = Swapped(served, self.build(served))
        self.on_swap(served, arrivals)

    def _refuse(self, why: str) -> None:
        self.refused += 1
        self.on_refusal()
        LOG.warning("%s: refused %s; %s keeps serving", self.name, why,
                    self.current.served.version if self.current else "nothing yet")  # fmt: skip


FOLLOWED = (topics.CHECKPOINT, topics.DELTA)

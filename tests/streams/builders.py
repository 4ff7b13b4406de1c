"""A small classroom for the tests of the flow: events, a predictor whose answers tell who made them, and a log."""

from __future__ import annotations

import sys
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from learners.entry import MemorySettings
from learners.settings import LearningSettings
from learners.tasks import Task
from schemas import topics
from schemas.codec import decode, encode
from schemas.drift import Consent
from schemas.envelope import Envelope, Origin, read_envelope
from schemas.event import Data, Event
from schemas.feedback import Feedback, Judgement, LabelValue, Retraction
from schemas.feedback import Label as LabelGiven
from schemas.interaction import Interaction, Payload
from schemas.prediction import ExampleInput
from schemas.prediction import Output as Answer
from schemas.topics import BY_NAME, Topic
from state.store import Put, Shard, Store, Write
from streams.curate import Curate
from streams.engines.broker import Acknowledged, Producer
from streams.engines.memory import ManualClock, MemoryLog, MemoryProducer
from streams.engines.shard import RoleAt, ShardRunner
from streams.message import Message, Record, partition_of
from streams.metrics import Metrics, RoleMetrics
from streams.processor import Batch, Input, Output, Plan
from streams.roles import ROLES
from streams.score import Scoring
from streams.session import Session, screen
from streams.table import Curation

TENANT, MODEL, SESSION = "oakfield", "default", "lesson"
START_S = ManualClock().now
MOVE = Task(name="move", kind="categorical", classes=("none", "restating", "press"), role="teacher", group="move")
DEPTH = Task(name="depth", kind="regression", range=(0, 1), group="depth")
TASKS = (MOVE, DEPTH)
SMALL = LearningSettings(tasks=TASKS, buckets=4096, dim=4, hidden=8)
UNCAPPED = MemorySettings(capacity=20, learner_share=1.0, rater_share=1.0)
DAY_S = 86_400.0
HORIZON_S = 45 * DAY_S


D = TypeVar("D", bound=Data)


@dataclass
class Teller:
    """A predictor that is as sure of ``press`` as its version says, so that a prediction tells its maker."""

    share: float = 0.5

    @property
    def version(self) -> str:
        return f"lineage:{int(self.share * 1000)}"

    def predict(self, inputs: Sequence[ExampleInput]) -> list[dict[str, Answer]]:
        return [self.outputs(seen.role) for seen in inputs]

    def outputs(self, role: str) -> dict[str, Answer]:
        depth = {"depth": Answer(value=self.share)}
        left = 1 - self.share
        move = Answer(probabilities={"none": left, "restating": 0.0, "press": self.share})
        return {"move": move, **depth} if role == "teacher" else depth


def event(data: Data, id: str, at_s: float = START_S, tenant: str = TENANT) -> Event[Data]:
    """``data`` under ``id``, which happened at ``at_s`` (epoch seconds)."""
    subject = str(getattr(data, "session", None) or getattr(data, "learner", None) or MODEL)
    time = datetime.fromtimestamp(at_s, UTC)
    return Event(Envelope(id, "/apps/test", data.TYPE, time, subject, data.VERSION, tenant), data)


def said(id: str, text: str = "why is that?", at_s: float = START_S, **more: Any) -> Event[Data]:
    """An interaction."""
    given = {"session": SESSION, "role": "teacher", "payload": Payload(text=text), **more}
    return event(Interaction(**given), id, at_s)


def judged(id: str, interaction: str, judgement: Judgement, **more: Any) -> Event[Data]:
    """A feedback."""
    rater, at_s, session = more.get("rater", "rater"), more.get("at_s", START_S + 60), more.get("session", SESSION)
    return event(Feedback(session=session, interaction=interaction, rater=rater, judgement=judgement), id, at_s)


def label(id: str, interaction: str, value: LabelValue = "press", task: str = "move", **more: Any) -> Event[Data]:
    """A feedback that gives a label."""
    return judged(id, interaction, LabelGiven(kind="label", task=task, value=value), **more)


def retraction(id: str, interaction: str, of: str, **more: Any) -> Event[Data]:
    """A feedback that takes back another."""
    return judged(id, interaction, Retraction(kind="retraction", feedback=of), **more)


def consent(learner: str, *, granted: bool, id: str = "") -> Event[Data]:
    """A learner's word."""
    return event(Consent(learner=learner, granted=granted), id or f"consent-{learner}-{granted}")


def message_of(found: Event[Data], partitions: Mapping[str, int]) -> Message:
    """The record of ``found`` on its key's partition."""
    key = found.envelope.subject.encode()
    count = partitions[found.data.TYPE]
    return Message(found.data.TYPE, partition_of(key, count), key, encode(found.data), found.envelope.headers())


def record_of(found: Event[Data], offset: int, arrived_ms: int | None = None) -> Record:
    """``found`` as the log would hold it at ``offset`` of partition 0."""
    sent = message_of(found, {found.data.TYPE: 1})
    arrived_ms = int(START_S * 1000) if arrived_ms is None else arrived_ms
    return Record(Origin(sent.topic, 0, offset), sent.key, sent.value, tuple(sent.headers), arrived_ms)


def input_of(found: Event[Data], offset: int, arrived_ms: int | None = None) -> Input:
    """``found`` as a processor is given it."""
    record = record_of(found, offset, arrived_ms)
    return Input(record.origin, decode(BY_NAME[record.origin.topic], record.headers, record.value), record)


@dataclass
class Shelf:
    """The store as a pure processor's test needs it: values and dues, nothing else."""

    values: dict[str, bytes] = field(default_factory=dict)
    dues: dict[str, float] = field(default_factory=dict)

    def apply(self, writes: Sequence[Write]) -> None:
        for write in writes:
            self.values.pop(write.key, None)
            self.dues.pop(write.key, None)
            if isinstance(write, Put):
                self.values[write.key] = write.value
                if write.due is not None:
                    self.dues[write.key] = write.due

    def due(self, now: float) -> list[str]:
        return sorted((key for key, at in self.dues.items() if at <= now), key=lambda key: (self.dues[key], key))


def session_processor(predictor: Teller, horizon_s: float = HORIZON_S) -> Session:
    """The session role's rules around ``predictor``."""
    return Session(Scoring(MODEL, turns=3, horizon_s=horizon_s), lambda: predictor)


def session_role(predictor: Teller | None = None, horizon_s: float = HORIZON_S) -> RoleAt:
    """The session role."""
    role = ROLES["session"]
    processor = session_processor(predictor or Teller(), horizon_s)
    return RoleAt(TENANT, role.name, role.inputs, role.outputs, processor, screen({t.name: t for t in TASKS}))


def curation(**more: Any) -> Curation:
    """Small choices of curation: requests of two new and two replayed examples."""
    chosen: dict[str, Any] = {"model": MODEL, "learning": SMALL, "memory": UNCAPPED}
    return Curation(**{**chosen, "new": 2, "replayed": 2, "wait_s": 10.0, **more})


def curate_role(**more: Any) -> RoleAt:
    """The curate role."""
    role = ROLES["curate"]
    return RoleAt(TENANT, role.name, role.inputs, role.outputs, Curate(curation(**more)))


def classroom_log(clock: Callable[[], float], partitions: int = 1) -> MemoryLog:
    """A log with every topic."""
    log = MemoryLog(clock)
    log.create(topics.ALL, lambda topic: partitions if topic.per_session else 1)
    return log


def append(log: MemoryLog, *events: Event[Data]) -> None:
    """Write ``events``, in order."""
    for found in events:
        log.append(message_of(found, log.partitions()))


def records(log: MemoryLog, topic: Topic | str) -> list[Record]:
    """Everything on ``topic``, partition by partition."""
    name = topic if isinstance(topic, str) else topic.name
    places = range(log.partitions()[name])
    return [record for place in places for record in log.read(name, place, *log.ends(name, place))]


def published(log: MemoryLog, topic: Topic) -> list[Event[Data]]:
    """The events on ``topic``."""
    return [decode(topic, record.headers, record.value) for record in records(log, topic)]


def outcomes(log: MemoryLog, role: RoleAt) -> dict[Origin, list[str]]:
    """By input, the ids of what ``role`` has published because of it."""
    found: dict[Origin, list[str]] = {}
    for name in role.outputs:
        for record in records(log, name):
            if record.header("ce_source") == role.source:
                envelope = read_envelope(record.headers)
                for cause in envelope.causes:
                    found.setdefault(cause, []).append(envelope.id)
    return found


def everything(log: MemoryLog, names: Sequence[str]) -> dict[str, list[tuple[bytes | None, object]]]:
    """Values and headers of all records of ``names``, to compare two logs byte by byte."""
    return {name: [(record.value, record.headers) for record in records(log, name)] for name in names}


def run(processor: Session | Curate, shelf: Shelf, inputs: Sequence[Input], now: float = START_S) -> Plan:
    """One batch: named values in, plan out, its writes applied."""
    batch = Batch(inputs, now, seed=0, due=shelf.due(now))
    keys = shelf.values if processor.resident else processor.keys(batch)
    plan = processor.run(batch, {key: shelf.values[key] for key in keys if key in shelf.values})
    shelf.apply(plan.writes)
    return plan


@dataclass
class Room:
    """A pure processor at work over a shelf: each ``take`` is one batch, offsets rise by themselves."""

    processor: Session | Curate
    shelf: Shelf = field(default_factory=Shelf)
    now: float = START_S
    offsets: Counter[str] = field(default_factory=Counter)

    def take(self, *events: Event[Data]) -> list[Output]:
        """What comes of ``events`` as one batch that arrives now."""
        return list(self.plan(*events).outputs)

    def plan(self, *events: Event[Data]) -> Plan:
        """The plan for ``events`` as one batch that arrives now."""
        inputs = []
        for found in events:
            inputs.append(input_of(found, self.offsets[found.data.TYPE], int(self.now * 1000)))
            self.offsets[found.data.TYPE] += 1
        return run(self.processor, self.shelf, inputs, self.now)


def of(outputs: Sequence[Output], kind: type[D]) -> list[D]:
    """The data of those outputs that are of ``kind``."""
    return [output.data for output in outputs if isinstance(output.data, kind)]


def only(outputs: Sequence[Output], kind: type[D]) -> D:
    """The data of the one output there is, which is of ``kind``."""
    (found,) = outputs
    assert isinstance(found.data, kind)
    return found.data


class Host:
    """A process that owns partition 0 of a role, until it is dropped as if it had died."""

    def __init__(self, log: MemoryLog, store: Store, role: RoleAt, producer: Producer | None = None) -> None:
        self.log, self.role = log, role
        shard = Shard(role.tenant, role.role, 0)
        metrics = RoleMetrics(Metrics(), role.role)
        sends = producer or log.producer()
        self.runner = ShardRunner(role, shard, store, sends, log.partitions(), metrics, uuid.uuid4().hex)
        self.runner.recover(log)

    def step(self, *most: int) -> int:
        """Decide the next records: at most so many of each input topic, all if no number is given."""
        taken: list[Record] = []
        for topic, some in zip(self.role.inputs, most or [sys.maxsize] * len(self.role.inputs), strict=True):
            start, end = self.log.ends(topic, 0)
            begin = self.runner.offsets.get(f"{topic}/0", start)
            taken += self.log.read(topic, 0, begin, min(end, begin + some))
        return self.runner.process(taken, self.log.clock())

    def drain(self) -> None:
        """Decide until nothing is left."""
        while self.step():
            pass


class Died(Exception):
    """The process ended here."""


class MortalProducer(MemoryProducer):
    """The producer of a process that ends after it has sent ``left`` more messages."""

    def __init__(self, log: MemoryLog, left: int) -> None:
        super().__init__(log)
        self.left = left

    def send(self, message: Message, on_ack: Acknowledged) -> None:
        if not self.left:
            raise Died
        self.left -= 1
        super().send(message, on_ack)

"""The curate role: owns what a model learns from. Judges examples, remembers the worthy, composes train requests."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

from learners.entry import MemorySettings
from learners.settings import LearningSettings
from schemas import topics
from schemas.drift import Consent
from schemas.envelope import Origin, content_digest, derive_id
from schemas.prediction import Example, Fate
from schemas.training import TrainExample
from state.store import Delete, Put, Write
from streams.compose import genesis_request, step_request
from streams.judge import Judge
from streams.processor import Batch, Input, Output, Plan, conflict_or_repeat, event_digest, fate, fate_of, waiting_key
from streams.remember import Made, Remembered, Waiting, payload_key

GENESIS = "genesis"


@dataclass(frozen=True)
class Curation:
    """The fixed choices of curation."""

    model: str
    learning: LearningSettings
    memory: MemorySettings
    consent: str = "opt-out"
    new: int = 32
    replayed: int = 32
    wait_s: float = 0.25
    horizon_s: float = topics.JOIN_HORIZON_DAYS * 86_400.0
    seed: int = 0


@dataclass
class Table:
    """What is on the table while a batch is curated."""

    curation: Curation
    batch: Batch
    values: Mapping[str, bytes]
    judge: Judge
    memory: Remembered
    writes: dict[str, Write] = field(default_factory=dict)
    outputs: list[Output] = field(default_factory=list)
    adopted: list[Origin] = field(default_factory=list)

    def get(self, key: str) -> bytes | None:
        """The value of ``key`` as this batch has left it."""
        write = self.writes.get(key)
        if write is None:
            return self.values.get(key)
        return write.value if isinstance(write, Put) else None

    def put(self, key: str, value: bytes, due: float | None = None) -> None:
        """Write ``value``."""
        self.writes[key] = Put(key, value, due)

    def delete(self, key: str) -> None:
        """Forget ``key``."""
        self.writes[key] = Delete(key)

    def publish(self, output: Output) -> None:
        """Publish the outcome of an input, unless an earlier owner already has."""
        if output.causes and output.causes[0] in self.batch.sent:
            self.adopted.append(output.causes[0])
        else:
            self.outputs.append(output)


@dataclass(frozen=True)
class Curate:
    """The processor of the curate role. One owner a model: caps, classes and batches are not per partition."""

    curation: Curation
    resident: bool = True
    made: Made = field(default_factory=OrderedDict, repr=False, compare=False)

    def keys(self, batch: Batch) -> Sequence[str]:
        """Nothing by name: all values are at hand."""
        return ()

    def run(self, batch: Batch, values: Mapping[str, bytes]) -> Plan:
        """Judge and remember what came, then compose the requests that are due."""
        table = Table(self.curation, batch, values, Judge.load(values),
                      Remembered.load(values, self.curation.memory, self.made))  # fmt: skip
        if GENESIS not in values:
            table.outputs.append(genesis_request(self.curation.model, self.curation.learning, self.curation.seed))
            table.put(GENESIS, b"1")
        for key in batch.due:
            table.delete(key)
        adopt_requested(table)
        for input_ in batch.inputs:
            match input_.event.data:
                case Consent() as data:
                    hear_consent(table, data)
                case Example() as data:
                    take_example(table, input_, data)
        compose_due(table)
        table.outputs.extend(table.judge.drifts(self.curation.model))
        for write in (*table.judge.writes(), *table.memory.writes()):
            table.writes[write.key] = write
        return Plan(tuple(table.writes.values()), table.outputs, table.adopted, gauges(table))


def take_example(table: Table, input_: Input, data: Example) -> None:
    """One example: repeated, taken back, refused, or judged and put in line to be learned from."""
    key = f"x:{input_.event.id}"
    before = table.get(key)
    if before is not None:
        table.publish(conflict_or_repeat(input_, before.decode()))
        return
    table.put(key, event_digest(input_).encode(), table.batch.now + table.curation.horizon_s)
    if data.kind == "retraction" and data.retracts is not None:
        drop(table, derive_id("example", data.retracts), "retracted", f"taken back by {data.feedback}")
    elif data.kind == "label":
        take_label(table, input_, data)


def take_label(table: Table, input_: Input, data: Example) -> None:
    """A labelled example: judged against the prediction made then; learned from if its learner consents."""
    table.judge.hear(input_.event.id, data)
    if data.revises is not None:
        drop(table, derive_id("example", data.revises), "retracted", f"revised by {data.feedback}")
    if not consents(table, data):
        table.publish(fate("no-consent", input_, f"consent is {table.curation.consent}"))
        return
    if data.input is None:
        table.publish(fate("unlabelled", input_, "the example has no input to learn from"))
        return
    example = TrainExample(
        id=input_.event.id,
        interaction=data.interaction,
        feedback=data.feedback,
        rater=data.rater,
        input=data.input,
        labels=data.labels,
        importance=data.importance,
        delay_s=data.delay_s,
        feedback_ms=data.arrived_ms,
    )
    table.put(payload_key(example.id), encode_part(example))
    waiting = Waiting(
        id=example.id,
        origin=str(input_.origin),
        at=table.batch.now,
        time_s=input_.event.envelope.time.timestamp(),
        label=class_of(data),
        learner=data.input.learner,
        rater=data.rater,
        importance=data.importance,
        ms=data.arrived_ms,
    )
    if input_.origin in table.batch.sent:  # a former owner put it in a request, or gave it a fate
        if any(m.topic == topics.TRAIN_REQUEST.name for m in table.batch.sent[input_.origin]):
            table.memory.admit([waiting])
        return
    table.memory.wait(waiting)
    table.put(waiting_key(input_.origin), b"1")


def adopt_requested(table: Table) -> None:
    """Examples in line that a former owner has put in a published request are learned from already."""
    requested = [w for w in table.memory.line if Origin.parse(w.origin) in table.batch.sent]
    for waiting in requested:
        origin = Origin.parse(waiting.origin)
        table.adopted.append(origin)
        table.delete(waiting_key(origin))
    table.memory.leave({w.id for w in requested})
    table.memory.admit(requested)


def compose_due(table: Table) -> None:
    """Requests while the line is full, and one for the rest when its first has waited long enough."""
    curation, line = table.curation, table.memory.line
    while line and (len(line) >= curation.new or table.batch.now - line[0].at >= curation.wait_s):
        new = line[: curation.new]
        replay = table.memory.sample(curation.replayed, request_seed(new[-1]))
        examples = [payload(table, w.id) for w in new]
        again = [
            payload(table, id_).model_copy(update={"replayed": n})
            for id_, n in zip(replay.ids, table.memory.replay_counts(replay.ids), strict=True)
        ]
        time = datetime.fromtimestamp(max(w.time_s for w in new), UTC)
        causes = tuple(Origin.parse(w.origin) for w in new)
        table.outputs.append(
            step_request(curation.model, examples, again, replay.weights, request_seed(new[-1]), time, causes)
        )
        for origin in causes:
            table.delete(waiting_key(origin))
        table.memory.leave({w.id for w in new})
        table.memory.replayed(replay.ids)
        table.memory.admit(new)
        line = table.memory.line


def drop(table: Table, example_id: str, kind: str, why: str) -> None:
    """Take an example out of the line and of the memory, at once; what was trained stays until a refold."""
    found = next((w for w in table.memory.line if w.id == example_id), None)
    if found is not None:
        origin = Origin.parse(found.origin)
        table.delete(waiting_key(origin))
        no_consent = kind == "no-consent"
        data = Fate(fate="no-consent" if no_consent else "retracted", input_type=Example.TYPE, input_id=example_id,
                    origin=found.origin, detail=why)  # fmt: skip
        table.publish(fate_of(data, origin, table.curation.model, found.ms))
    table.memory.forget(example_id)


def hear_consent(table: Table, data: Consent) -> None:
    """Note a learner's consent; withdrawn, what is remembered of the learner goes at once."""
    table.put(f"k:{data.learner}", b"1" if data.granted else b"0")
    if not data.granted:
        for id_ in table.memory.of_learner(data.learner):
            drop(table, id_, "no-consent", "consent withdrawn")


def consents(table: Table, data: Example) -> bool:
    """Whether we may learn from this example: a learner's word counts, without one the tenant's setting."""
    learner = data.input.learner if data.input else None
    said = table.get(f"k:{learner}") if learner else None
    if said is not None:
        return said == b"1"
    is_student = data.input is not None and data.input.role == "student"
    return table.curation.consent == "opt-out" or not (learner or is_student)


def class_of(data: Example) -> str:
    """The class under which an example is remembered: ``task/value`` of its first label."""
    task, value = next(iter(data.labels.items()))
    return f"{task}/{value}" if isinstance(value, str) else task


def payload(table: Table, id_: str) -> TrainExample:
    """The stored example. Raises KeyError if it is not there, which no commit can leave behind."""
    stored = table.get(payload_key(id_))
    if stored is None:
        raise KeyError(f"example {id_} is in the index without its payload")
    return parsed(stored)


@lru_cache(maxsize=4_096)
def parsed(stored: bytes) -> TrainExample:
    """The example that stored bytes are; a replayed one is read again and again."""
    return TrainExample.model_validate_json(stored)


def request_seed(newest: Waiting) -> int:
    """The seed of the request that ends with ``newest``."""
    return int(content_digest(newest.id.encode())[:12], 16)


def encode_part(example: TrainExample) -> bytes:
    """A stored example's JSON."""
    return example.model_dump_json(exclude_defaults=True).encode()


def gauges(table: Table) -> list[tuple[str, Mapping[str, str], float]]:
    """What operators see: memory by class, quality and drifts by task."""
    found: list[tuple[str, Mapping[str, str], float]] = []
    for label, n in Counter(entry.label for entry in table.memory.entries).items():
        task, _, name = label.partition("/")
        found.append(("memory_items", {"task": task, "class": name}, float(n)))
    return [*found, *table.judge.gauges()]

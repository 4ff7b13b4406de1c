"""The curate role: owns what a model learns from. Judges examples, remembers the worthy, composes train requests."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import accumulate

from learners.entry import MemorySettings
from learners.settings import LearningSettings
from learners.tasks import check_label
from schemas import topics
from schemas.drift import Consent
from schemas.envelope import Origin, content_digest, derive_id
from schemas.errors import UnusableEvent
from schemas.prediction import Example, Fate
from schemas.training import TrainExample
from state.store import Delete, Put, Write
from streams.compose import Chosen, genesis_request, step_request
from streams.judge import Judge
from streams.message import Message
from streams.processor import (
    Batch,
    Input,
    Output,
    Plan,
    conflict_or_repeat,
    dead_letter,
    event_digest,
    fate,
    fate_of,
    waiting_key,
)
from streams.remember import LINE, Made, Payloads, Remembered, Waiting, payload_key
from streams.score import scales_of

GENESIS, EMPTY = "genesis", b"[]"
MOST_REQUEST_BYTES = topics.MAX_VALUE_BYTES - 50_000  # of a request's examples; its frame takes the rest
EXAMPLE_OVERHEAD_BYTES = 32  # comma, replay count, weight


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
    payloads: Payloads
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
    quoted: tuple[str, ...] = ()
    made: Made = field(default_factory=OrderedDict, repr=False, compare=False)
    payloads: Payloads = field(default_factory=Payloads, repr=False, compare=False)

    def keys(self, batch: Batch) -> Sequence[str]:
        """Nothing by name: all values are at hand."""
        return ()

    def run(self, batch: Batch, values: Mapping[str, bytes]) -> Plan:
        """Judge and remember what came, then compose the requests that are due."""
        if not (batch.inputs or batch.due or batch.sent) and GENESIS in values and values.get(LINE, EMPTY) == EMPTY:
            return Plan()  # nothing came and nobody waits: an idle tick costs nothing
        table = Table(self.curation, batch, values, Judge.load(values, scales_of(self.curation.learning.tasks)),
                      Remembered.load(values, self.curation.memory, self.made), self.payloads)  # fmt: skip
        if GENESIS not in values:
            table.outputs.append(genesis_request(self.curation.model, self.curation.learning, self.curation.seed))
            table.put(GENESIS, b"1")
        for key in batch.due:
            table.delete(key)
        adopt_decided(table)
        for input_ in batch.inputs:  # a learner's word first: it may have come before an example of the same batch
            if isinstance(input_.event.data, Consent):
                hear_consent(table, input_.event.data)
        for input_ in batch.inputs:
            if isinstance(input_.event.data, Example):
                take_example(table, input_, input_.event.data)
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
    try:
        check_labels(table.curation.learning, data)
    except UnusableEvent as error:
        table.publish(dead_letter(input_.record, error))
        return
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
    chosen = Chosen.of(example)
    if size_in_request(chosen.stored) > MOST_REQUEST_BYTES:
        table.publish(fate("shed", input_, f"the example takes more than {MOST_REQUEST_BYTES:,} bytes of a request"))
        return
    table.payloads.keep(chosen)
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
    led = table.batch.sent.get(input_.origin)
    if led is None:
        table.put(payload_key(example.id), chosen.stored)
        table.put(waiting_key(input_.origin), b"1")
        table.memory.wait(waiting)
    elif requested(led):
        table.put(payload_key(example.id), chosen.stored)
        table.memory.admit([waiting])


def check_labels(learning: LearningSettings, data: Example) -> None:
    """Raise UnusableEvent unless every label can be: one that cannot would cost its whole request."""
    if not data.labels:
        raise UnusableEvent("a labelled example has a label")
    for task, value in data.labels.items():
        check_label(learning.task(task), value)


def requested(led: Sequence[Message]) -> bool:
    """Whether a former owner has put an example in a request; otherwise it gave it a fate."""
    return any(message.topic == topics.TRAIN_REQUEST.name for message in led)


def adopt_decided(table: Table) -> None:
    """Examples in line whose outcome a former owner has published leave it; if it was a request, they are learned."""
    sent = table.batch.sent
    decided = [(w, sent[Origin.parse(w.origin)]) for w in table.memory.line if Origin.parse(w.origin) in sent]
    for waiting, led in decided:
        origin = Origin.parse(waiting.origin)
        table.adopted.append(origin)
        table.delete(waiting_key(origin))
        if not requested(led):
            table.memory.forget(waiting.id)
    table.memory.leave({waiting.id for waiting, _ in decided})
    table.memory.admit([waiting for waiting, led in decided if requested(led)])


def compose_due(table: Table) -> None:
    """Requests while the line is full, and one for the rest when its first has waited long enough."""
    curation = table.curation
    while line := table.memory.line:
        if len(line) < curation.new and table.batch.now - line[0].at < curation.wait_s:
            return
        sizes = [size_in_request(stored_example(table, w.id)) for w in line[: curation.new]]
        new = line[: max(fitting(sizes, MOST_REQUEST_BYTES), 1)]
        compose(table, new, MOST_REQUEST_BYTES - sum(sizes[: len(new)]))


def compose(table: Table, new: Sequence[Waiting], room: int) -> None:
    """One request: the examples of ``new``, and as many replayed ones as ``room`` bytes hold."""
    seed = request_seed(new[-1])
    replay = table.memory.sample(table.curation.replayed, seed)
    again = [stored_example(table, id_) for id_ in replay.ids]
    fit = fitting([size_in_request(stored) for stored in again], room)
    ids, counts = replay.ids[:fit], table.memory.replay_counts(replay.ids[:fit])
    examples = [table.payloads.read(stored_example(table, w.id)) for w in new]
    replayed = [table.payloads.read(stored).again(count) for stored, count in zip(again[:fit], counts, strict=True)]
    time = datetime.fromtimestamp(max(w.time_s for w in new), UTC)
    causes = tuple(Origin.parse(w.origin) for w in new)
    request = step_request(table.curation.model, examples, replayed, replay.weights[:fit], seed, time, causes)
    table.outputs.append(request)
    for origin in causes:
        table.delete(waiting_key(origin))
    table.memory.leave({w.id for w in new})
    table.memory.replayed(ids)
    table.memory.admit(new)


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


def stored_example(table: Table, id_: str) -> bytes:
    """The stored example's JSON. Raises KeyError if it is not there, which no commit can leave behind."""
    stored = table.get(payload_key(id_))
    if stored is None:
        raise KeyError(f"example {id_} is in the index without its payload")
    return stored


def size_in_request(stored: bytes) -> int:
    """Bytes that an example takes in a request, whose manifest is JSON within JSON, so that quotes are escaped."""
    return len(stored) + stored.count(b'"') + stored.count(b"\\") + EXAMPLE_OVERHEAD_BYTES


def fitting(sizes: Sequence[int], room: int) -> int:
    """How many of the first ``sizes`` fit into ``room`` together."""
    return sum(total <= room for total in accumulate(sizes))


def request_seed(newest: Waiting) -> int:
    """The seed of the request that ends with ``newest``."""
    return int(content_digest(newest.id.encode())[:12], 16)


def gauges(table: Table) -> list[tuple[str, Mapping[str, str], float]]:
    """What operators see: memory by class, quality and drifts by task."""
    found: list[tuple[str, Mapping[str, str], float]] = []
    held = Counter(entry.label for entry in table.memory.entries)
    gone = {entry.label for entry in table.memory.before.entries.values()}  # zero is said once
    for label in sorted({*held, *gone}):
        task, _, name = label.partition("/")
        found.append(("memory_items", {"task": task, "class": name}, float(held[label])))
    return [*found, *table.judge.gauges()]

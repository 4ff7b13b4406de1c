"""The curate role: owns what a model learns from. Judges examples, remembers the worthy, composes train requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from learners.importance import RARITY, marked, parted
from learners.settings import LearningSettings
from learners.tasks import check_label
from schemas import topics
from schemas.drift import Consent
from schemas.envelope import Origin, derive_id
from schemas.errors import UnusableEvent
from schemas.prediction import Example, ExampleInput
from schemas.training import TrainExample
from streams import turns
from streams.compose import PROBE, Chosen, genesis_request
from streams.consent import consents, hear_consent
from streams.message import Message
from streams.processor import (
    Batch,
    Input,
    Plan,
    conflict_or_repeat,
    dead_letter,
    event_digest,
    fate,
    waiting_key,
)
from streams.remember import ASIDE, LINE, Made, Payloads, Remembered, Waiting, payload_key
from streams.table import Curation, Table

GENESIS, EMPTY = "genesis", b"[]"


@dataclass(frozen=True)
class Curate:
    """The processor of the curate role. One owner a model: caps, classes and batches are not per partition."""

    curation: Curation
    resident: bool = True
    quoted: tuple[str, ...] = ()
    made: Made = field(default_factory=dict, repr=False, compare=False)
    payloads: Payloads = field(default_factory=Payloads, repr=False, compare=False)

    def keys(self, batch: Batch) -> Sequence[str]:
        """Nothing by name: all values are at hand."""
        return ()

    def prepare(self, values: Mapping[str, bytes]) -> None:
        """Read the index of the memory: of a million items that takes longer than a role may go without polling."""
        Remembered.load(values, self.curation.memory, self.made).give_back()

    def run(self, batch: Batch, values: Mapping[str, bytes]) -> Plan:
        """Judge and remember what came, then compose the requests that are due."""
        nobody_waits = values.get(LINE, EMPTY) == values.get(ASIDE, EMPTY) == EMPTY
        if not (batch.inputs or batch.due or batch.sent) and GENESIS in values and nobody_waits:
            return Plan()  # nothing came: an idle tick costs nothing
        table = Table.laid(self.curation, batch, values, self.made, self.payloads)
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
        turns.compose_due(table)
        table.outputs.extend(table.judge.drifts(self.curation.model))
        return Plan(table.all_writes(), table.outputs, table.adopted, table.gauges())


def take_example(table: Table, input_: Input, data: Example) -> None:
    """One example: repeated, taken back, refused, or judged and put in line to be learned from."""
    key = f"x:{input_.event.id}"
    before = table.get(key)
    if before is not None:
        table.publish(conflict_or_repeat(input_, before.decode()))
        return
    table.put(key, event_digest(input_).encode(), table.now + table.curation.horizon_s)
    if data.kind == "label":
        take_label(table, input_, data)
        return
    if data.kind == "retraction" and data.retracts is not None:
        table.drop(derive_id("example", data.retracts), "retracted", f"taken back by {data.feedback}")
    take_marks(table, data)


def take_label(table: Table, input_: Input, data: Example) -> None:
    """A labelled example: judged against the prediction made then; learned from if its learner consents."""
    try:
        check_labels(table.curation.learning, data)
    except UnusableEvent as error:
        table.publish(dead_letter(input_.record, error))
        return
    rarity = hear_label(table, input_, data)
    if data.revises is not None:
        table.drop(derive_id("example", data.revises), "retracted", f"revised by {data.feedback}")
    if not consents(table, data):
        table.publish(fate("no-consent", input_, f"consent is {table.curation.consent}"))
        return
    if data.input is None:
        table.publish(fate("unlabelled", input_, "the example has no input to learn from"))
        return
    table.judge.meet(input_.event.id, data, input_.event.envelope.time.timestamp())
    bare, marks = parted(data.reasons) if data.reasons else (data.importance, 0.0)
    bare += RARITY * rarity
    chosen = Chosen.of(to_learn_from(input_.event.id, data, data.input, min(bare + marks, 1.0)))
    if turns.size_in_request(chosen.stored) > turns.MOST_REQUEST_BYTES:
        most = turns.MOST_REQUEST_BYTES
        table.publish(fate("shed", input_, f"the example takes more than {most:,} bytes of a request"))
        return
    put_in_line(table, input_, chosen, bare)


def to_learn_from(id_: str, data: Example, given: ExampleInput, importance: float) -> TrainExample:
    """The example as a request holds it."""
    return TrainExample(
        id=id_,
        interaction=data.interaction,
        feedback=data.feedback,
        rater=data.rater,
        input=given,
        labels=data.labels,
        importance=importance,
        delay_s=data.delay_s,
        feedback_ms=data.arrived_ms,
        flags=data.flags,
    )


def hear_label(table: Table, input_: Input, data: Example) -> float:
    """Hold a label against what was predicted and what other raters said; returns how rare its class has been."""
    table.judge.hear(input_.event.id, data, input_.event.envelope.time.timestamp())
    table.heard.add(data.rater)
    rarity = 0.0
    for task, label in data.labels.items():
        output = data.predicted.get(task)
        rarity = max(rarity, table.met.rarity(task, label, output))
        table.met.meet(task, label, output)
        table.trust.update(data.rater, task, label, output, data.others)
    return rarity


def put_in_line(table: Table, input_: Input, chosen: Chosen, bare: float) -> None:
    """Let an example wait for its request, or adopt the one that a former owner has put it in.

    ``bare`` is its importance without experts' marks, not clipped.
    """
    example, led = chosen.example, table.sent.get(input_.origin)
    wanted = table.aside.wants(example.interaction)
    if led is None and not wanted and table.aside.holds(example.interaction):
        table.publish(fate("shed", input_, "its interaction is in the frozen probe and is never learned from"))
        return
    waiting = waiting_of(input_, example, table.now, bare, aside=wanted)
    table.payloads.keep(chosen)
    if led is None:
        table.put(payload_key(example.id), chosen.stored)
        table.put(waiting_key(input_.origin), b"1")
        table.memory.wait(waiting)
        if wanted:
            table.aside.take(example.interaction)
    elif led_to(led) == "step":
        table.put(payload_key(example.id), chosen.stored)
        table.memory.admit([waiting])
    elif led_to(led) == "probe":
        table.aside.take(example.interaction)


def waiting_of(input_: Input, example: TrainExample, now: float, bare: float, *, aside: bool) -> Waiting:
    """The example as it stands in line since ``now``."""
    return Waiting(
        id=example.id,
        origin=str(input_.origin),
        at=now,
        time_s=input_.event.envelope.time.timestamp(),
        label=class_of(example),
        learner=example.input.learner,
        rater=example.rater,
        importance=example.importance,
        ms=example.feedback_ms,
        interaction=example.interaction,
        unmarked=bare,
        aside=aside,
    )


def take_marks(table: Table, data: Example) -> None:
    """What experts marked an interaction with raises, or no longer raises, the importance of its examples.

    The reasons of a judgement and of a retraction hold all marks that stand after it, so that nothing need be added up
    here and a repetition changes nothing.
    """
    flags = tuple(sorted({*data.flags, *([data.flag] if data.flag else [])}))
    for id_, importance in table.memory.mark(data.interaction, marked(data.reasons)).items():
        example = table.payloads.read(table.stored_example(id_)).example
        if (example.importance, example.flags) != (importance, flags):
            chosen = Chosen.of(example.model_copy(update={"importance": importance, "flags": flags}))
            table.payloads.keep(chosen)
            table.put(payload_key(id_), chosen.stored)


def check_labels(learning: LearningSettings, data: Example) -> None:
    """Raise UnusableEvent unless every label can be: one that cannot would cost its whole request."""
    if not data.labels:
        raise UnusableEvent("a labelled example has a label")
    for task, value in data.labels.items():
        check_label(learning.task(task), value)


def led_to(led: Sequence[Message]) -> Literal["step", "probe", "fate"]:
    """What became of an example under a former owner: it is in a request, or it was given a fate."""
    requests = [message.id for message in led if message.topic == topics.TRAIN_REQUEST.name]
    if not requests:
        return "fate"
    return "probe" if all(id_.startswith(f"{PROBE}-") for id_ in requests) else "step"


def adopt_decided(table: Table) -> None:
    """Examples in line whose outcome a former owner has published leave it; if it was a step, they are learned."""
    everybody = [*table.memory.line, *table.memory.aside]
    decided = [(w, table.sent[origin]) for w in everybody if (origin := Origin.parse(w.origin)) in table.sent]
    for waiting, led in decided:
        origin = Origin.parse(waiting.origin)
        table.adopted.append(origin)
        table.delete(waiting_key(origin))
        if led_to(led) != "step":
            table.memory.forget(waiting.id)
        if led_to(led) != "probe":
            table.given_back(waiting)
    table.memory.leave({waiting.id for waiting, _ in decided})
    table.memory.admit([waiting for waiting, led in decided if led_to(led) == "step"])


def class_of(example: TrainExample) -> str:
    """The class under which an example is remembered: ``task/value`` of its first label."""
    task, value = next(iter(example.labels.items()))
    return f"{task}/{value}" if isinstance(value, str) else task

"""Feedback arrives: join it to the prediction that it judges, late, early, repeated, contradicting or retracting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from learners.importance import disagreement, importance
from schemas import topics
from schemas.envelope import Origin, derive_id
from schemas.errors import BadEvent
from schemas.feedback import Feedback, Flag, Label, Preference, Rating, Retraction, Score
from schemas.prediction import Example, Fate, FateKind
from state.pending import (
    EARLY,
    GIVEN,
    Early,
    GivenLabel,
    Pending,
    SeenFeedback,
    early_key,
    feedback_key,
    interaction_key,
    labels_key,
    taken_back_key,
)
from state.store import Delete, Put, Write
from streams.message import Message
from streams.processor import Input, Output, conflict_or_repeat, dead_letter, dead_letter_of, fate_of, waiting_key

NOT_THEIRS = BadEvent("takes back a judgement of another rater, or on another interaction", "not-theirs")


@dataclass(slots=True)
class Desk:
    """What is on the table while a batch is joined: stored values with this batch's writes over them, and outputs."""

    values: Mapping[str, bytes]
    sent: Mapping[Origin, Sequence[Message]]
    now: float
    horizon_s: float
    model: str
    scales: Mapping[str, float] = field(default_factory=dict)
    writes: dict[str, Write] = field(default_factory=dict)
    outputs: list[Output] = field(default_factory=list)
    adopted: list[Origin] = field(default_factory=list)

    def get(self, key: str) -> bytes | None:
        """The value of ``key`` as this batch has left it."""
        write = self.writes.get(key)
        if write is None:
            return self.values.get(key)
        return write.value if isinstance(write, Put) else None

    def put(self, key: str, value: bytes, due: float | None) -> None:
        """Write ``value``, to be looked at again at ``due``."""
        self.writes[key] = Put(key, value, due)

    def delete(self, key: str) -> None:
        """Forget ``key``."""
        self.writes[key] = Delete(key)

    def publish(self, output: Output) -> None:
        """Publish the outcome of an input, unless an earlier owner already has."""
        (origin,) = output.causes
        if origin in self.sent:
            self.adopted.append(origin)
        else:
            self.outputs.append(output)

    def led_elsewhere(self, origin: Origin) -> bool:
        """Whether an earlier owner has published an outcome of this feedback, and it was no example."""
        return origin in self.sent and all(m.topic != topics.EXAMPLE.name for m in self.sent[origin])


def join(desk: Desk, early: Early, pending: Pending) -> None:
    """Join a feedback to its prediction.

    Predict-then-learn: the example carries the prediction made when the event arrived, never today's model's.
    """
    origin, data = Origin.parse(early.origin), early.data
    if desk.led_elsewhere(origin):
        desk.adopted.append(origin)
        return
    if early.time_s - pending.time_s > desk.horizon_s:
        detail = f"came {(early.time_s - pending.time_s) / 86_400:.0f} days after its interaction"
        desk.publish(fate_of(_fate("expired", early, detail), origin, data.session, early.arrived_ms))
        return
    given = GIVEN.validate_json(desk.get(labels_key(data.interaction)) or b"[]")
    example = example_of(early, pending, given, desk.model, desk.scales)
    if example is None:
        detail = f"task {data.judgement.task} is not asked of {pending.input.role}s"  # type: ignore[union-attr]  # labels
        desk.publish(fate_of(_fate("unlabelled", early, detail), origin, data.session, early.arrived_ms))
        return
    standing = standing_labels(given, early)
    if standing != given:
        desk.put(labels_key(data.interaction), GIVEN.dump_json(standing), None)
    time = datetime.fromtimestamp(early.time_s, UTC)
    desk.publish(Output(topics.EXAMPLE, desk.model, derive_id("example", early.id), time, example, (origin,)))


def standing_labels(given: tuple[GivenLabel, ...], early: Early) -> tuple[GivenLabel, ...]:
    """The labels that stand after this feedback: a rater's new label replaces the old, a retraction removes it."""
    match early.data.judgement:
        case Label(task=task, value=value):
            kept = (label for label in given if (label.task, label.rater) != (task, early.data.rater))
            return (*kept, GivenLabel(task=task, rater=early.data.rater, value=value, feedback=early.id))
        case Retraction(feedback=taken_back):
            return tuple(label for label in given if label.feedback != taken_back)
        case _:
            return given


def example_of(
    early: Early, pending: Pending, given: tuple[GivenLabel, ...], model: str, scales: Mapping[str, float]
) -> Example | None:
    """The example that a feedback and a prediction make; None for a label of a task that the model was not asked."""
    data, judgement, said = early.data, early.data.judgement, pending.prediction
    update: dict[str, object] = {}
    surprise = None
    flags: tuple[str, ...] = ()
    match judgement:
        case Label(task=task, value=value):
            if said.outputs and task not in said.outputs:
                return None
            on_task = [label for label in given if label.task == task]
            mine = next((label.feedback for label in on_task if label.rater == data.rater), None)
            others = tuple(x.feedback for x in on_task if x.rater != data.rater and x.value != value)
            update = {"kind": "label", "labels": {task: value}, "revises": mine, "contradicts": others}
            asked = said.outputs.get(task)
            surprise = disagreement(asked, value, scales.get(task, 1.0)) if asked is not None else None
        case Score(value=score):
            update = {"kind": "judgement", "score": score}
        case Rating(value=rating):
            update = {"kind": "judgement", "rating": rating}
        case Preference(chosen=chosen, rejected=rejected):
            update = {"kind": "judgement", "preference": (chosen, rejected)}
        case Flag(name=name):
            update = {"kind": "judgement", "flag": name}
            flags = (name,)
        case Retraction(feedback=taken_back):
            update = {"kind": "retraction", "retracts": taken_back}
    worth, reasons = importance(
        pending.input.payload.text,
        pending.input.language,
        said.outputs,
        disagreement=surprise,
        flags=flags,
        rarity=0.0,
    )
    found: dict[str, object] = {
        "model": model,
        "session": data.session,
        "interaction": data.interaction,
        "feedback": early.id,
        "rater": data.rater,
        "input": pending.input,
        "predicted": said.outputs,
        "predicted_by": said.version,
        "importance": worth,
        "reasons": reasons,
        "delay_s": round(early.time_s - pending.time_s, 3),
        "arrived_ms": early.arrived_ms,
    }
    return Example(**{**found, **update})  # type: ignore[arg-type]  # checked where they came in


def take_feedback(desk: Desk, early: Early, input_: Input) -> None:
    """Decide one feedback: repeated, refused, joined, or waiting for what it judges.

    What comes of it does not depend on whether its interaction came before or comes after: a retraction waits for the
    feedback that it takes back, and everything that could be joined waits, in order, for the interaction.
    """
    data, judgement = early.data, early.data.judgement
    before = desk.get(feedback_key(early.id))
    if before is not None:
        desk.publish(conflict_or_repeat(input_, SeenFeedback.model_validate_json(before).digest))
        return
    seen = SeenFeedback(digest=early.digest, interaction=data.interaction, rater=data.rater)
    going, key = [early], early_key(data.interaction)
    if isinstance(judgement, Retraction):
        target = desk.get(feedback_key(judgement.feedback))
        refusal = dead_letter(input_.record, NOT_THEIRS)
        if target is None:
            going, key = [early.model_copy(update={"refusal": refusal.data})], taken_back_key(judgement.feedback)
        elif not _may_take_back(early, SeenFeedback.model_validate_json(target)):
            desk.publish(refusal)
            going = []
    if desk.led_elsewhere(input_.origin):
        desk.adopted.append(input_.origin)
        going = []
    desk.put(feedback_key(early.id), seen.model_dump_json().encode(), desk.now + desk.horizon_s)
    going += _released(desk, early.id, seen)
    if key == early_key(data.interaction) and desk.get(interaction_key(data.interaction)) is not None:
        _join(desk, data.interaction, going)
    else:
        wait(desk, key, going)


def wait(desk: Desk, key: str, going: Sequence[Early]) -> None:
    """Keep feedback under ``key`` until what it waits for arrives, at most until its horizon."""
    if not going:
        return
    waiting = (*EARLY.validate_json(desk.get(key) or b"[]"), *going)
    desk.put(key, EARLY.dump_json(waiting), min(e.due for e in waiting))
    for early in going:
        desk.put(waiting_key(Origin.parse(early.origin)), key.encode(), None)


def release_early(desk: Desk, interaction: str) -> None:
    """Join what has waited for an interaction that has just been scored."""
    _join(desk, interaction, _taken_up(desk, early_key(interaction)))


def _released(desk: Desk, feedback: str, seen: SeenFeedback) -> list[Early]:
    """The retractions that have waited for ``feedback``; those that may not take it back are refused."""
    going = []
    for early in _taken_up(desk, taken_back_key(feedback)):
        judgement = early.data.judgement
        aims_here = isinstance(judgement, Retraction) and judgement.feedback == feedback
        if aims_here and early.refusal is not None and not _may_take_back(early, seen):
            desk.publish(dead_letter_of(early.refusal))
        else:
            going.append(early)
    return going


def _join(desk: Desk, interaction: str, going: Sequence[Early]) -> None:
    found = desk.get(interaction_key(interaction))
    if going and found is not None:
        pending = Pending.model_validate_json(found)
        for early in going:
            join(desk, early, pending)


def _taken_up(desk: Desk, key: str) -> tuple[Early, ...]:
    stored = desk.get(key)
    if stored is None:
        return ()
    desk.delete(key)
    found = EARLY.validate_json(stored)
    for early in found:
        desk.delete(waiting_key(Origin.parse(early.origin)))
    return found


def expire_early(desk: Desk, key: str) -> None:
    """End the wait of those whose horizon has passed, with a fate."""
    waiting = EARLY.validate_json(desk.get(key) or b"[]")
    for early in waiting:
        if early.due <= desk.now:
            origin = Origin.parse(early.origin)
            desk.delete(waiting_key(origin))
            detail = f"what it judges ({key.partition(':')[2]}) did not come within the join horizon"
            desk.publish(fate_of(_fate("expired", early, detail), origin, early.data.session, early.arrived_ms))
    left = tuple(early for early in waiting if early.due > desk.now)
    if left:
        desk.put(key, EARLY.dump_json(left), min(early.due for early in left))
    else:
        desk.delete(key)


def _may_take_back(early: Early, target: SeenFeedback) -> bool:
    return (target.rater, target.interaction) == (early.data.rater, early.data.interaction)


def _fate(kind: FateKind, early: Early, detail: str) -> Fate:
    return Fate(
        fate=kind,
        input_type=Feedback.TYPE,
        input_id=early.id,
        origin=early.origin,
        detail=detail,
    )

"""Feedback meets the prediction that it judges: the example that both make, and what stands of an interaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from learners.importance import badness, disagreement, importance
from schemas import topics
from schemas.envelope import Origin, derive_id
from schemas.feedback import Feedback, Flag, FlagName, Judgement, Label, Preference, Rating, Retraction, Score
from schemas.prediction import Example, Fate, FateKind
from state.pending import GIVEN, Early, GivenLabel, GivenMark, Pending, Standing, labels_key
from streams.draft import Draft
from streams.processor import Output, fate_of

MOST_STANDING = 256  # of an interaction; of more the oldest are forgotten, so that no crowd makes an event too large
MOST_OTHERS = 32  # raters whose word an example carries, the last: trust weighs each against all others
WORSE_THAN_ANOTHER = 0.5  # how bad the output is whose rival was preferred: it may still be good


@dataclass(slots=True, kw_only=True)
class Desk(Draft):
    """What is on the table while a batch is joined."""

    horizon_s: float
    model: str
    scales: Mapping[str, float] = field(default_factory=dict)

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
        desk.publish(fate_of(fate_of_feedback("expired", early, detail), origin, data.session, early.arrived_ms))
        return
    given = GIVEN.validate_json(desk.get(labels_key(data.interaction)) or b"[]")
    example = example_of(early, pending, given, desk)
    if example is None:
        detail = f"task {data.judgement.task} is not asked of {pending.input.role}s"  # type: ignore[union-attr]  # labels
        desk.publish(fate_of(fate_of_feedback("unlabelled", early, detail), origin, data.session, early.arrived_ms))
        return
    standing = standing_after(given, early)
    if standing != given:
        desk.put(labels_key(data.interaction), GIVEN.dump_json(standing))
    time = datetime.fromtimestamp(early.time_s, UTC)
    desk.publish(Output(topics.EXAMPLE, desk.model, derive_id("example", early.id), time, example, (origin,)))


def standing_after(given: tuple[Standing, ...], early: Early) -> tuple[Standing, ...]:
    """What stands of an interaction after this feedback: a rater's new word replaces the old, a retraction removes it.

    The last score, rating or preference of a rater counts; flags of different names stand side by side. At most
    ``MOST_STANDING`` stand.
    """
    rater, judgement = early.data.rater, early.data.judgement
    if isinstance(judgement, Retraction):
        return tuple(one for one in given if one.feedback != judgement.feedback)
    if isinstance(judgement, Label):
        new: Standing = GivenLabel(task=judgement.task, rater=rater, value=judgement.value, feedback=early.id)
    else:
        flag = judgement.name if isinstance(judgement, Flag) else None
        bad = output_badness(judgement, early.data.interaction)
        if flag is None and bad is None:
            return given
        new = GivenMark(rater=rater, feedback=early.id, flag=flag, bad=bad or 0.0)
    return (*(one for one in given if one.replaced_as != new.replaced_as), new)[-MOST_STANDING:]


def output_badness(judgement: Judgement, interaction: str) -> float | None:
    """How bad ``judgement`` finds what the model said of ``interaction``, in [0, 1]; None where it does not say.

    A preference says it only if one of the two is the interaction's prediction: of two artifacts, the better one may
    be bad and the worse one good.
    """
    match judgement:
        case Score(value=score):
            return badness(score, middle=50, worst=0)
        case Rating(value=rating):
            return badness(rating, middle=3, worst=1)
        case Preference(chosen=chosen, rejected=rejected):
            prediction = derive_id("prediction", interaction)
            return {rejected: WORSE_THAN_ANOTHER, chosen: 0.0}.get(prediction)
        case _:
            return None


def example_of(early: Early, pending: Pending, given: tuple[Standing, ...], desk: Desk) -> Example | None:
    """The example that a feedback and a prediction make; None for a label of a task that the model was not asked."""
    data, judgement, said = early.data, early.data.judgement, pending.prediction
    update: dict[str, object] = {}
    surprise = None
    match judgement:
        case Label(task=task, value=value):
            if said.outputs and task not in said.outputs:
                return None
            on_task = [one for one in given if isinstance(one, GivenLabel) and one.task == task]
            mine = next((one.feedback for one in on_task if one.rater == data.rater), None)
            beside = [one for one in on_task if one.rater != data.rater]
            contradicted = tuple(one.feedback for one in beside if one.value != value)
            update = {"kind": "label", "labels": {task: value}, "revises": mine, "contradicts": contradicted,
                      "others": {one.rater: one.value for one in beside[-MOST_OTHERS:]}}  # fmt: skip
            asked = said.outputs.get(task)
            surprise = disagreement(asked, value, desk.scales.get(task, 1.0)) if asked is not None else None
        case Score(value=score):
            update = {"kind": "judgement", "score": score}
        case Rating(value=rating):
            update = {"kind": "judgement", "rating": rating}
        case Preference(chosen=chosen, rejected=rejected):
            update = {"kind": "judgement", "preference": (chosen, rejected)}
        case Flag(name=name):
            update = {"kind": "judgement", "flag": name}
        case Retraction(feedback=taken_back):
            update = {"kind": "retraction", "retracts": taken_back}
    flags, rated = marks_of(standing_after(given, early))
    worth, reasons = importance(
        pending.input.payload.text,
        pending.input.language,
        said.outputs,
        disagreement=surprise,
        flags=flags,
        rarity=0.0,  # curate knows what is rare
        rated=rated,
    )
    found: dict[str, object] = {
        "model": desk.model,
        "session": data.session,
        "interaction": data.interaction,
        "feedback": early.id,
        "rater": data.rater,
        "input": pending.input,
        "flags": flags,
        "predicted": said.outputs,
        "predicted_by": said.version,
        "importance": worth,
        "reasons": reasons,
        "delay_s": round(early.time_s - pending.time_s, 3),
        "arrived_ms": early.arrived_ms,
    }
    return Example(**{**found, **update})  # type: ignore[arg-type]  # checked where they came in


def marks_of(standing: Iterable[Standing]) -> tuple[tuple[FlagName, ...], float]:
    """The flags that stand, each once, and the worst that anybody thinks of the output."""
    marks = [one for one in standing if isinstance(one, GivenMark)]
    flags = tuple(sorted({mark.flag for mark in marks if mark.flag is not None}))
    return flags, max((mark.bad for mark in marks), default=0.0)


def fate_of_feedback(kind: FateKind, early: Early, detail: str) -> Fate:
    """The fate of a feedback."""
    return Fate(fate=kind, input_type=Feedback.TYPE, input_id=early.id, origin=early.origin, detail=detail)

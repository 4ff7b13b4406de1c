"""An interaction arrives: fill in its context, say what the model thinks and how much it matters, remember both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from learners.importance import importance
from learners.tasks import Task
from schemas import topics
from schemas.envelope import derive_id
from schemas.interaction import Interaction, Turn
from schemas.prediction import ExampleInput, Prediction, Work
from schemas.prediction import Output as ModelOutput
from state.pending import Context, context_key, pending_json
from streams.message import Message
from streams.processor import Input, Output


class Predictor(Protocol):
    """The model that serves."""

    @property
    def version(self) -> str:
        """``lineage:next-offset``."""

    def predict(self, inputs: Sequence[ExampleInput]) -> list[dict[str, ModelOutput]]:
        """One dictionary of outputs by task for each input."""


@dataclass(frozen=True, slots=True)
class Scoring:
    """The fixed choices of scoring. Seconds; ``scales`` are as ``scales_of`` gives them, ``shed_after_s`` is as
    ``streams.shedding`` takes it."""

    model: str
    turns: int = 8
    horizon_s: float = topics.JOIN_HORIZON_DAYS * 86_400.0
    scales: Mapping[str, float] = field(default_factory=dict)
    shed_after_s: float = 0.0


def scales_of(tasks: Iterable[Task]) -> dict[str, float]:
    """By task, the width of its range: in this the error of a number is measured."""
    return {task.name: task.range[1] - task.range[0] for task in tasks if task.range}


def with_context(data: Interaction, context: Context) -> ExampleInput:
    """What the model will see: the interaction with the turns before it and the silence before it filled in."""
    payload = data.payload
    if payload.context is None and context.turns:
        payload = payload.model_copy(update={"context": context.turns})
    timing = data.timing
    if timing.gap_s is None and timing.at_s is not None and context.last_s is not None:
        timing = timing.model_copy(update={"gap_s": max(timing.at_s - context.last_s, 0.0)})
    return ExampleInput(
        session=data.session,
        role=data.role,
        learner=data.learner,
        group=data.group,
        payload=payload,
        timing=timing,
        outcome=data.outcome,
        age=data.age,
        grade=data.grade,
        subject=data.subject,
        language=data.language,
        mastery=data.mastery,
    )


def next_context(data: Interaction, context: Context, turns: int) -> Context:
    """The session's context after this interaction."""
    said = Turn(role=data.role, text=data.payload.text)
    at = data.timing.at_s if data.timing.at_s is not None else context.last_s
    return Context(turns=(*context.turns, said)[-turns:], last_s=at)


def contexts(
    interactions: Sequence[tuple[Input, Interaction]], values: Mapping[str, bytes], turns: int
) -> tuple[list[ExampleInput], dict[str, Context]]:
    """The model's inputs for a batch in order, and each session's context after it."""
    after: dict[str, Context] = {}
    seen = []
    for _, data in interactions:
        before = after.get(data.session) or stored_context(values, data.session)
        seen.append(with_context(data, before))
        after[data.session] = next_context(data, before, turns)
    return seen, after


def stored_context(values: Mapping[str, bytes], session: str) -> Context:
    """The context that the store holds, or an empty one."""
    found = values.get(context_key(session))
    return Context.model_validate_json(found) if found else Context()


def score(
    interaction: str,
    seen: ExampleInput,
    outputs: dict[str, ModelOutput],
    version: str,
    scoring: Scoring,
    shed: tuple[Work, ...] = (),
) -> Prediction:
    """What the model said of an interaction, and what the moment is worth unless that is ``shed``."""
    worth, reasons = 0.0, dict[str, float]()
    if "reasons" not in shed:
        worth, reasons = importance(
            seen.payload.text, seen.language, outputs, disagreement=None, flags=(), rarity=0.0
        )  # fmt: skip
    return Prediction(
        session=seen.session,
        interaction=interaction,
        model=scoring.model,
        version=version,
        outputs=outputs,
        importance=worth,
        reasons=reasons,
        shed=shed,
    )


def published_prediction(sent: Sequence[Message]) -> bytes | None:
    """The prediction that an earlier owner has published; None if the outcome was another."""
    return next((message.value for message in sent if message.topic == topics.PREDICTION.name), None)


def prediction_event(input_: Input, data: Prediction, value: bytes) -> Output:
    """The event of a prediction; its time is the interaction's, so that computing it again gives the same bytes."""
    envelope = input_.event.envelope
    id_ = derive_id("prediction", envelope.id)
    return Output(topics.PREDICTION, data.session, id_, envelope.time, data, (input_.origin,), value)


def pending_of(input_: Input, digest: str, seen: ExampleInput, prediction: bytes) -> bytes:
    """What is remembered of an interaction until the join horizon, beside its ``prediction`` as it was published."""
    return pending_json(digest, input_.event.envelope.time.timestamp(), seen, prediction)

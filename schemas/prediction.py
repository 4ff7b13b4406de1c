"""What the model thought when an interaction arrived, and what became of the judgement on it."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from schemas.event import Data, Part
from schemas.feedback import FlagName, LabelValue
from schemas.interaction import Outcome, Payload, SpeakerRole, Timing


class Output(Part):
    """A task's output: a probability a class, or a number."""

    probabilities: dict[str, float] | None = None
    value: float | None = None


Work = Literal["annotation", "estimates", "reasons"]


class Prediction(Data):
    """The serving model's outputs for one interaction. ``version`` is ``lineage:next-offset``. 1.1 added ``shed``."""

    TYPE: ClassVar[str] = "edu.prediction.v1"
    VERSION: ClassVar[str] = "1.1"

    session: str
    interaction: str
    model: str
    version: str
    outputs: dict[str, Output]
    importance: float = Field(ge=0, le=1)
    reasons: dict[str, float] = Field(description="addends of the importance, by name")
    shed: tuple[Work, ...] = Field(
        default=(),
        description="optional work left out because the role was behind: no annotation is asked for, it counts in no "
        "estimate of accuracy, and its importance is 0 for want of reasons",
    )


class ExampleInput(Part):
    """What the model saw: the interaction with its context filled in. ``payload`` is the personal part."""

    session: str
    role: SpeakerRole
    learner: str | None = None
    group: str | None = None
    payload: Payload
    timing: Timing = Timing()
    outcome: Outcome | None = None
    age: float | None = None
    grade: str | None = None
    subject: str | None = None
    language: str | None = None
    mastery: float | None = None


class Example(Data):
    """A judgement joined to the interaction that it judges and to the prediction made *then*.

    ``kind`` is ``label`` (may be learned from), ``judgement`` (a score, rating, preference or flag) or ``retraction``.
    ``delay_s`` is feedback time minus interaction time in event time; ``arrived_ms`` is when the log received the
    feedback (epoch milliseconds). ``revises`` and ``contradicts`` name earlier feedbacks on the same task: the same
    rater's is replaced, another rater's stands beside it. 1.1 added the input's ``mastery``; ``flags``, what experts
    had marked the interaction with by then; and ``others``, what other raters had said of the label's task by then.
    """

    TYPE: ClassVar[str] = "edu.example.v1"
    VERSION: ClassVar[str] = "1.1"

    kind: Literal["label", "judgement", "retraction"]
    model: str
    session: str
    interaction: str
    feedback: str
    rater: str
    input: ExampleInput | None = None
    labels: dict[str, LabelValue] = {}
    flag: FlagName | None = None
    flags: tuple[FlagName, ...] = ()
    score: float | None = None
    rating: int | None = None
    preference: tuple[str, str] | None = None
    retracts: str | None = None
    revises: str | None = None
    contradicts: tuple[str, ...] = ()
    others: dict[str, LabelValue] = Field(default={}, description="by rater")
    predicted: dict[str, Output] = {}
    predicted_by: str | None = None
    importance: float = Field(default=0.0, ge=0, le=1)
    reasons: dict[str, float] = {}
    delay_s: float = 0.0
    arrived_ms: int = 0


FateKind = Literal["expired", "duplicate", "no-consent", "retracted", "unlabelled", "shed", "erased"]


class Fate(Data):
    """An input that was led nowhere, and why."""

    TYPE: ClassVar[str] = "edu.fate.v1"
    VERSION: ClassVar[str] = "1.0"

    fate: FateKind
    input_type: str
    input_id: str
    origin: str
    detail: str


class DeadLetter(Data):
    """A record that could not be used, whole (base64) unless it is too large, with where it stood and why.

    A value over the limit is cut to its first bytes; the record itself stays at ``topic``/``partition``/``offset``
    until that topic's retention takes it.
    """

    TYPE: ClassVar[str] = "edu.dead-letter.v1"
    VERSION: ClassVar[str] = "1.0"

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    reason: str
    detail: str
    key: str | None = Field(description="base64")
    value: str | None = Field(description="base64; null for a null value")
    value_bytes: int
    truncated: bool
    headers: tuple[tuple[str, str | None], ...] = Field(description="name and base64 value, in order")

"""What the session role keeps until feedback comes: predictions as they were made, early feedback, and who has spoken.

Keys and values of one session shard. Values are JSON; what they mean is decided in ``streams.score`` and
``streams.label``.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, TypeAdapter

from schemas.codec import encode
from schemas.event import Part
from schemas.feedback import Feedback, FlagName, LabelValue
from schemas.interaction import Turn
from schemas.prediction import DeadLetter, ExampleInput, Prediction


def interaction_key(interaction: str) -> str:
    """Where the pending prediction for an interaction is."""
    return f"i:{interaction}"


def labels_key(interaction: str) -> str:
    """Where the labels and marks given to an interaction so far are."""
    return f"l:{interaction}"


def early_key(interaction: str) -> str:
    """Where feedback waits for an interaction that has not come."""
    return f"e:{interaction}"


def taken_back_key(feedback: str) -> str:
    """Where retractions wait for the feedback that they take back."""
    return f"r:{feedback}"


def feedback_key(feedback: str) -> str:
    """Where it is noted that a feedback was seen."""
    return f"f:{feedback}"


def context_key(session: str) -> str:
    """Where the last turns of a session are."""
    return f"c:{session}"


class Pending(Part):
    """An interaction that was scored: what the model saw, what was published, and what the event was, to know a repeat.

    ``time_s`` is event time in epoch seconds; ``digest`` tells the event's content.
    """

    digest: str
    time_s: float
    input: ExampleInput
    prediction: Prediction


class GivenLabel(Part):
    """A label that stands: by whom, for which task, from which feedback."""

    task: str
    rater: str
    value: LabelValue
    feedback: str

    @property
    def replaced_as(self) -> tuple[str, str]:
        """What a later word of the same rater must be about to replace it."""
        return self.rater, f"label/{self.task}"


class GivenMark(Part):
    """A flag that stands, or how bad a rater found the model's output, in [0, 1]."""

    rater: str
    feedback: str
    flag: FlagName | None = None
    bad: float = 0.0

    @property
    def replaced_as(self) -> tuple[str, str]:
        """What a later word of the same rater must be about to replace it."""
        return self.rater, f"flag/{self.flag}" if self.flag else "output"


Standing = GivenLabel | GivenMark


class Early(Part):
    """A feedback that waits for its interaction. ``time_s`` is event time, ``arrived_ms`` the log's.

    ``refusal`` is what becomes of a retraction if the feedback that it waits for turns out to be another rater's.
    """

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False, strict=True)

    id: str
    origin: str
    digest: str
    time_s: float
    arrived_ms: int
    due: float
    data: Feedback
    refusal: DeadLetter | None = None


class SeenFeedback(Part):
    """A feedback that was decided: its content's digest, what it judged, and by whom."""

    digest: str
    interaction: str
    rater: str


class Context(Part):
    """The last turns of a session, oldest first, and when the last of them was (seconds into the session)."""

    turns: tuple[Turn, ...] = Field(default=())
    last_s: float | None = None


def pending_json(digest: str, time_s: float, seen: ExampleInput, prediction: bytes) -> bytes:
    """The JSON of the ``Pending`` of these, whose ``prediction`` is JSON already: that is most of its cost."""
    head = f'{{"digest":"{digest}","time_s":{time_s!r},"input":'
    return b"".join((head.encode(), encode(seen), b',"prediction":', prediction, b"}"))


GIVEN: TypeAdapter[tuple[Standing, ...]] = TypeAdapter(
    tuple[Annotated[Standing, Field(union_mode="left_to_right")], ...]
)
EARLY = TypeAdapter(tuple[Early, ...])

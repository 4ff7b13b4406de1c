"""What happens in a classroom: one utterance or attempt."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from schemas.event import Data, Part

SpeakerRole = Literal["teacher", "student", "unknown"]

# Of a feature vector's numbers what lies beyond counts as it: JSON holds 1e300, which float32 takes for infinity, and
# one such number would leave no weight and no reference of drift finite.
MOST_FEATURE = 1e4


class Turn(Part):
    """An earlier utterance of the same session."""

    role: SpeakerRole
    text: str = Field(max_length=20_000)


class Payload(Part):
    """The personal part of an interaction, one field so that it can be sealed under its learner's key.

    ``audio`` and ``video`` are opaque feature vectors that the app supplies; ``clarity`` in [0, 1] is the transcript's
    confidence. ``context`` holds the turns before this one, oldest first; an app that leaves it out gets the session's
    last turns as this system has seen them.
    """

    text: str = Field(default="", max_length=20_000)
    audio: tuple[float, ...] | None = Field(default=None, max_length=4096)
    video: tuple[float, ...] | None = Field(default=None, max_length=4096)
    clarity: float | None = Field(default=None, ge=0, le=1)
    context: tuple[Turn, ...] | None = Field(default=None, max_length=64)


class Timing(Part):
    """Seconds: since the session began, of the utterance itself, and of silence before it."""

    at_s: float | None = None
    duration_s: float | None = Field(default=None, ge=0)
    gap_s: float | None = Field(default=None, ge=0)


class Outcome(Part):
    """The result of an attempt: right or wrong, and a score in [0, 1]."""

    correct: bool | None = None
    score: float | None = Field(default=None, ge=0, le=1)
    hints: int = Field(default=0, ge=0)


class Interaction(Data):
    """One utterance or attempt in a session. 1.1 added ``subject`` and ``language``, 1.2 ``mastery``."""

    TYPE: ClassVar[str] = "edu.interaction.v1"
    VERSION: ClassVar[str] = "1.2"

    session: str = Field(min_length=1, max_length=200)
    role: SpeakerRole
    learner: str | None = Field(default=None, max_length=200, description="pseudonym of the learner, if one is known")
    group: str | None = Field(default=None, max_length=200, description="class or teacher group, for cohort statistics")
    payload: Payload
    timing: Timing = Timing()
    outcome: Outcome | None = None
    age: float | None = Field(default=None, ge=0, le=120)
    grade: str | None = Field(default=None, max_length=40)
    subject: str | None = Field(default=None, max_length=80)
    language: str | None = Field(default=None, max_length=20, description="BCP 47 tag")
    mastery: float | None = Field(
        default=None, ge=0, le=1, description="how likely the learner is to get the next step right, if the app knows"
    )

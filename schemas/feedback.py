"""What an expert says about an interaction, soon, weeks later, or before the interaction itself has arrived."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from schemas.event import Data, Part

LabelValue = str | float | tuple[str, ...]


class Label(Part):
    """A task's true value: a class, several classes (multilabel), or a number."""

    kind: Literal["label"]
    task: str = Field(min_length=1, max_length=80)
    value: LabelValue


class Score(Part):
    """A validator's score of the model's output, 0–100."""

    kind: Literal["score"]
    value: float = Field(ge=0, le=100)


class Rating(Part):
    """A person's rating of the model's output, 1–5."""

    kind: Literal["rating"]
    value: int = Field(ge=1, le=5)


class Preference(Part):
    """Of two outputs for the same interaction, the better one, both by prediction or artifact id."""

    kind: Literal["preference"]
    chosen: str = Field(min_length=1, max_length=200)
    rejected: str = Field(min_length=1, max_length=200)


FlagName = Literal["exemplary", "breakthrough", "perfect_scaffolding", "perfect_wait_time", "prefers_open_questions"]


class Flag(Part):
    """A mark of a teachable moment; raises the interaction's importance."""

    kind: Literal["flag"]
    name: FlagName


class Retraction(Part):
    """Takes back an earlier feedback of the same rater."""

    kind: Literal["retraction"]
    feedback: str = Field(min_length=1, max_length=512)


Judgement = Annotated[Label | Score | Rating | Preference | Flag | Retraction, Field(discriminator="kind")]


class Feedback(Data):
    """One judgement of one rater about one interaction."""

    TYPE: ClassVar[str] = "edu.feedback.v1"
    VERSION: ClassVar[str] = "1.0"

    session: str = Field(min_length=1, max_length=200)
    interaction: str = Field(min_length=1, max_length=512, description="id of the interaction that it judges")
    rater: str = Field(min_length=1, max_length=200, description="pseudonym of the rater")
    judgement: Judgement
    model_version: str | None = Field(default=None, max_length=200, description="version whose output was judged")
    artifact: str | None = Field(default=None, max_length=80, description="kind of artifact that was judged")

"""What changed in the stream, and whom we may learn from."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from schemas.event import Data


class Drift(Data):
    """A detector saw the errors of a task change, or what is said to the model, at the example ``example``.

    ``adwin`` and ``hddm_w`` watch the errors of ``task`` in ``cohort``, which is ``all`` or a group. ``ks`` and ``mmd``
    watch the inputs, of which no label is needed: their ``task`` is ``input`` and ``part`` says which part of it.
    ``before`` and ``after`` are means of what is watched. 1.1 added what is optional.
    """

    TYPE: ClassVar[str] = "edu.drift.v1"
    VERSION: ClassVar[str] = "1.1"

    model: str
    task: str
    cohort: str
    detector: str
    example: str
    before: float
    after: float
    examples: int
    advice: str
    alarm: bool = Field(default=True, description="false: a change for the better, as errors that fall")
    effect: float | None = Field(
        default=None,
        description="of errors after - before; of ks the largest distance of the distributions, in [0, 1]; of mmd the "
        "distance of the means of features in standard deviations",
    )
    p_value: float | None = Field(
        default=None, description="the chance of as large an effect without a change, corrected for the number of tests"
    )
    part: str | None = Field(default=None, description="of the input: a number's name, words, audio with video, ...")
    look_at: tuple[str, ...] = Field(default=(), description="ids of the examples that show the change most")


class Consent(Data):
    """A learner's consent to be learned from, given or withdrawn."""

    TYPE: ClassVar[str] = "edu.consent.v1"
    VERSION: ClassVar[str] = "1.0"

    learner: str
    granted: bool

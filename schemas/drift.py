"""What changed in the stream, and whom we may learn from."""

from __future__ import annotations

from typing import ClassVar

from schemas.event import Data


class Drift(Data):
    """A detector saw the errors of a task change, at the example ``example``. Effect is ``after - before``."""

    TYPE: ClassVar[str] = "edu.drift.v1"
    VERSION: ClassVar[str] = "1.0"

    model: str
    task: str
    cohort: str
    detector: str
    example: str
    before: float
    after: float
    examples: int
    advice: str


class Consent(Data):
    """A learner's consent to be learned from, given or withdrawn."""

    TYPE: ClassVar[str] = "edu.consent.v1"
    VERSION: ClassVar[str] = "1.0"

    learner: str
    granted: bool

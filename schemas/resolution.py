"""What an operator decided about a dead letter. A letter without such a decision is open."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from schemas.envelope import ORIGIN
from schemas.event import Data

PLACE = f"^{ORIGIN.pattern}$"


class Resolution(Data):
    """A dead letter was sent again or given up.

    ``input`` is the record that the letter is about, ``letter`` the letter itself, ``resent`` where a copy of the
    record now stands; all are topic/partition/offset. The copy is an input of its own, with an outcome of its own; the
    first record's outcome remains the letter.
    """

    TYPE: ClassVar[str] = "edu.resolution.v1"
    VERSION: ClassVar[str] = "1.0"

    input: str = Field(pattern=PLACE)
    letter: str = Field(pattern=PLACE)
    decision: Literal["retried", "dropped"]
    resent: str | None = Field(default=None, pattern=PLACE)
    who: str = Field(min_length=1, max_length=200)
    why: str = Field(default="", max_length=2_000)

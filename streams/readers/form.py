"""The one plain form that every recorded data set is read into."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from schemas.feedback import LabelValue
from schemas.interaction import Interaction

WORDS_PER_SECOND = 2.5  # of speech; used where no clock was recorded
PAUSE_S = 1.0

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recorded interaction and what its annotators said of it, by task.

    ``time_s`` is seconds since its session began and never falls within a session; a session's interactions stand
    together, in order. ``id`` and ``session`` hold only letters, digits, dots and dashes.
    """

    interaction: Interaction
    id: str
    session: str
    time_s: float
    labels: tuple[tuple[str, LabelValue], ...]


@dataclass(frozen=True, slots=True)
class Format:
    """A data set's form: what its records look like, and how they are read, one by one.

    ``tasks`` names the task set (``learners/task_sets``) that its labels are of.
    """

    name: str
    tasks: str
    fields: frozenset[str]
    read: Callable[[Iterable[Row]], Iterator[Recorded]]


def slug(name: str) -> str:
    """``name`` in letters, digits and dashes, with eight digits of its hash, so that no two names share one."""
    readable = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60]
    return f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def spoken_s(text: str) -> float:
    """Seconds that ``text`` takes where no clock was recorded, with the pause after it."""
    return len(text.split()) / WORDS_PER_SECOND + PAUSE_S


class Pace:
    """When each interaction of a set without a clock begins: when the one before it in its session has been spoken.

    Such times lay the set on a clock to be played; they are no part of an interaction, whose timing stays unknown.
    """

    def __init__(self) -> None:
        self._session, self._at_s = "", 0.0

    def begin(self, session: str, text: str) -> float:
        """Seconds into ``session`` at which ``text`` begins."""
        if session != self._session:
            self._session, self._at_s = session, 0.0
        begins, self._at_s = self._at_s, self._at_s + spoken_s(text)
        return begins

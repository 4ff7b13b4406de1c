"""What the session role leaves out while it is behind: optional work, in one order, and never a label.

    work          what is left out                                                         saves, of 250 µs a prediction
    annotation    nothing is asked of experts about it (no role asks yet; when one does, this goes first)
    estimates     it counts in no estimate of accuracy without labels (``streams.unlabelled``)            about 11 µs
    reasons       its importance, which is 0, and the addends of it (``learners.importance``)             about 19 µs

An example's importance is computed anew when its label comes, so that nothing that is learned depends on the load.
Predictions and joins are never left out: a label could not be joined to a prediction that was not made.

The decision is a function of the batch, of the time at which it is decided, and of the level that the store holds for
the partition, which the same commit replaces. An owner that dies before the commit leaves nothing behind; one that dies
after it leaves its predictions in the outbox, and they are sent as they are. So a prediction that anybody may have seen
is never made a second time at another level. What it lacks it says itself (``shed``), as it names the version of the
model that made it: neither follows from the topics alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic_core import from_json, to_json

from schemas.prediction import Work
from streams.processor import Batch

LADDER: tuple[Work, ...] = ("annotation", "estimates", "reasons")
"""What is left out, the first first. Level n leaves out the first n."""

KEY = "shedding"  # in the store: level and partition
FALL = 0.5  # of the age at which work is left out; younger than that it is done again


@dataclass(frozen=True, slots=True)
class Shedding:
    """How far down the ladder one partition is."""

    level: int = 0
    partition: int | None = None

    @property
    def shed(self) -> tuple[Work, ...]:
        """What is left out."""
        return LADDER[: self.level]

    def gauges(self) -> list[tuple[str, Mapping[str, str], float]]:
        """What operators see of it."""
        if self.partition is None:
            return []
        return [("shedding_level", {"role": "session", "partition": str(self.partition)}, float(self.level))]

    def to_bytes(self) -> bytes:
        """For the store; the inverse of ``from_bytes``."""
        return to_json((self.level, self.partition))

    @classmethod
    def from_bytes(cls, stored: bytes | None) -> Shedding:
        """What the store holds; nothing is left out where it holds nothing, or a level that the ladder has no more."""
        level, partition = from_json(stored) if stored else (0, None)
        return cls(min(level, len(LADDER)), partition)


def next_level(level: int, age_s: float, after_s: float) -> int:
    """The level after ``level``, where even the newest interaction at hand has waited for ``age_s``.

    Work number n (from 0) is left out once that is more than ``after_s`` · 2ⁿ, and done again once it is less than
    half of that: between the two it stays as it is, so that a steady age leads to one level, whatever came before it
    lies nearest. ``after_s`` of 0 never leaves anything out.
    """
    if not after_s:
        return 0
    while level < len(LADDER) and age_s > after_s * 2**level:
        level += 1
    while level and age_s < FALL * after_s * 2 ** (level - 1):
        level -= 1
    return level


def decided(before: Shedding, batch: Batch, interactions: str, after_s: float) -> Shedding:
    """What is left out of ``batch``, whose interactions stand on the topic of that name.

    By the age of the newest interaction: a partition that has stood still for a moment has old ones, too, but takes
    them all at once. Without an interaction there is nothing to leave out: an empty batch means that all is done.
    """
    came = [input_ for input_ in batch.inputs if input_.origin.topic == interactions]
    if not came:
        return before if batch.inputs else Shedding(0, before.partition)
    newest_s = max(input_.record.timestamp_ms for input_ in came) / 1000
    return Shedding(next_level(before.level, batch.now - newest_s, after_s), came[0].origin.partition)

"""A frozen probe asked again and again: what is retained of it, and how soon something new is learned."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from learners.bootstrap import Interval, bootstrap
from learners.judged import name_code
from learners.stopping import bounded

MOST_EPISODES = 32  # the last so many beginnings are remembered
SHARE = 0.8  # of its target that a score must reach to count as adapted


@dataclass(frozen=True, slots=True)
class Answers:
    """The probe at one step. ``items`` and ``units`` are numbers that stand for names, ``right`` goes with them."""

    step: int = 0
    items: tuple[float, ...] = ()
    units: tuple[float, ...] = ()
    right: tuple[bool, ...] = ()

    @property
    def score(self) -> float:
        """The share of the items that are right; NaN of none."""
        return sum(self.right) / len(self.right) if self.right else math.nan


@dataclass(slots=True)
class Probing:
    """What a probe said at its best and last time, its scores so far, and when something new began.

    ``target`` is the score that adaptation is measured towards. The first beginning is the first step asked.
    """

    target: float = 0.85
    best: Answers = field(default_factory=Answers)
    last: Answers = field(default_factory=Answers)
    history: list[tuple[int, float]] = field(default_factory=list)
    begun: list[int] = field(default_factory=list)

    def begin(self, step: int) -> None:
        """Something new begins at ``step``."""
        self.begun = [*self.begun, step][-MOST_EPISODES:]

    def ask(self, step: int, right: Mapping[str, bool], units: Mapping[str, str]) -> None:
        """Remember which items were right at ``step``. Of equal scores the first counts as the best."""
        items = sorted(right)
        self.last = Answers(
            step,
            tuple(map(name_code, items)),
            tuple(name_code(units[item]) for item in items),
            tuple(bool(right[item]) for item in items),
        )
        if items and not self.last.score <= self.best.score:
            self.best = self.last
        if items:
            self.history.append((step, self.last.score))
        self.history = bounded(self.history)

    def retention(self, seed: int, *, draws: int, level: float) -> Interval:
        """Retention: of the probe's items that were right when most of them were, the share that is right now.

        An item that is right now and was wrong then is no part of it, so that new knowledge cannot pay for what was
        forgotten. 1 while the last asking is the best. The interval is over units.
        """
        now = dict(zip(self.last.items, self.last.right, strict=True))
        then = zip(self.best.items, self.best.units, self.best.right, strict=True)
        held = [(unit, float(now.get(item, False))) for item, unit, right in then if right]
        if not held:
            return Interval(math.nan, math.nan, math.nan)
        values = np.array([value for _, value in held])
        return bootstrap(
            lambda rows: float(values[rows].mean()), [unit for unit, _ in held], seed, draws=draws, level=level
        )

    def episodes(self) -> list[float]:
        """For each beginning, the steps until the score first reached ``SHARE`` of the target; infinite if it has not.

        A probe that is asked every 50 steps knows them to 50: it is the first asking at which the score is reached, so
        never less than what was needed. An episode ends where the next begins.
        """
        begun = self.begun or [0]
        ends = [*begun[1:], math.inf]
        return [self._steps(begin, end) for begin, end in zip(begun, ends, strict=True)] if self.history else []

    def _steps(self, begin: int, end: float) -> float:
        met = (step for step, score in self.history if begin < step <= end and score >= SHARE * self.target)
        return next((step - begin for step in met), math.inf)

    def adaptation(self, seed: int, *, draws: int, level: float) -> Interval:
        """Adaptation speed: the median of ``episodes`` in steps, of two the larger, and its interval over episodes.
        Infinite if half of them never reached it, NaN where nothing was asked."""
        found = np.array(self.episodes(), dtype=np.float64)
        return bootstrap(
            lambda rows: float(np.quantile(found[rows], 0.5, method="higher")) if len(rows) else math.nan,
            range(len(found)), seed, draws=draws, level=level,
        )  # fmt: skip

    def to_dict(self) -> dict[str, object]:
        """As JSON can hold it; the inverse of ``from_dict``."""
        return asdict(self)

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Probing:
        """The probe that ``to_dict`` wrote. Raises KeyError, TypeError."""
        answers = {
            name: Answers(one["step"], *(tuple(one[part]) for part in ("items", "units", "right")))
            for name, one in ((name, found[name]) for name in ("best", "last"))
        }
        history = [(step, score) for step, score in found["history"]]
        return cls(found["target"], answers["best"], answers["last"], history, list(found["begun"]))

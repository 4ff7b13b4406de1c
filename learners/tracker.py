"""The metrics tracker: the eight targets, each with its value, how sure it is, its history, and whether it is met.

Six are about single interactions (``learners.goals``, ``learners.accord``); two are about the same frozen probe asked
again and again: what is retained, and how soon something new is learned. The state does not grow with the stream, and
``Tracker.from_bytes`` goes on where ``to_bytes`` stood.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic_core import from_json, to_json

from learners.bootstrap import Interval, bootstrap
from learners.goals import goals
from learners.judged import Goal, Judged, Row, name_code
from learners.probing import Probing
from learners.stopping import bounded, verdicts
from learners.tasks import Task

RETENTION, ADAPTATION_STEPS = 0.90, 50  # the targets of what is asked of a probe


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """The last ``window`` judged interactions count for each target; ``draws`` resamples make an interval."""

    window: int = 2_000
    draws: int = 500
    level: float = 0.95


@dataclass(frozen=True, slots=True)
class Standing:
    """How a target stands. ``value`` is None where nothing was measured, ``low`` and ``high`` where no interval is.

    ``met``: the value is no worse than the target; ``shown``: neither is the worse end of the interval. ``n`` rows of
    ``units`` that are independent of one another. ``of_ceiling`` is the share of what people reach. ``verdicts`` are
    those of ``learners.stopping`` over the history.
    """

    name: str
    target: float
    value: float | None
    low: float | None
    high: float | None
    n: int
    units: int
    met: bool | None
    shown: bool | None
    parts: Mapping[str, float]
    of_ceiling: float | None = None
    verdicts: tuple[str, ...] = ()
    history: tuple[tuple[int, float], ...] = ()

    def to_dict(self) -> dict[str, object]:
        """As JSON can hold it, rounded to five digits."""
        found: dict[str, object] = {
            name: getattr(self, name) for name in ("name", "target", "n", "units", "met", "shown")
        }
        found |= {name: _short(getattr(self, name)) for name in ("value", "low", "high", "of_ceiling")}
        parts = {name: _short(_or_none(value)) for name, value in self.parts.items()}
        history = [[step, _short(value)] for step, value in self.history]
        return {**found, "parts": parts, "verdicts": list(self.verdicts), "history": history}


@dataclass(slots=True)
class Kept:
    """Of one target: the last rows with the units they belong to, and its value at the steps so far."""

    rows: deque[tuple[float, Row]]
    history: list[tuple[int, float]] = field(default_factory=list)


class Tracker:
    """What was judged, by target. Mutable: ``observe``, ``probe`` and ``mark`` add to it."""

    def __init__(self, tasks: Sequence[Task], settings: TrackerSettings = TrackerSettings()) -> None:
        self.settings = settings
        self.tasks = name_code(to_json([task.to_dict() for task in tasks]).decode())  # rows are of these
        self.goals = {goal.name: goal for goal in goals(tasks)}
        self.kept = {name: self._empty() for name in self.goals}
        self.probing = Probing()

    def _empty(self) -> Kept:
        return Kept(deque(maxlen=self.settings.window))

    def observe(self, judged: Judged) -> None:
        """Count ``judged`` for every target that it has something to say about."""
        unit = name_code(judged.unit)
        for name, goal in self.goals.items():
            if (row := goal.row(judged)) is not None:
                self.kept[name].rows.append((unit, row))

    def begin(self, step: int) -> None:
        """Something new begins at ``step``: a lineage, a task, a drift. Adaptation is timed from here."""
        self.probing.begin(step)

    def probe(self, step: int, right: Mapping[str, bool], units: Mapping[str, str]) -> None:
        """The probe was asked at ``step``: which items are right, and the unit of each."""
        self.probing.ask(step, right, units)

    def mark(self, step: int) -> None:
        """Write the value of every target that has one into its history, under ``step``."""
        for name, goal in self.goals.items():
            kept = self.kept[name]
            if kept.rows and math.isfinite(value := goal.figure(_table(kept))):
                kept.history = bounded([*kept.history, (step, value)])

    def report(self, seed: int) -> tuple[Standing, ...]:
        """How each of the eight targets stands, in the order of the docs; ``seed`` decides the resamples."""
        found = [self._standing(goal, self.kept[name], seed) for name, goal in self.goals.items()]
        return (*found[:4], *self._probed(seed), *found[4:])

    def _standing(self, goal: Goal, kept: Kept, seed: int) -> Standing:
        at, parts, units = Interval(math.nan, math.nan, math.nan), {}, [unit for unit, _ in kept.rows]
        if kept.rows:
            table = _table(kept)
            parts = goal.parts(table)
            at = bootstrap(
                lambda rows: goal.figure(table[rows]), units, seed,
                draws=self.settings.draws, level=self.settings.level,
            )  # fmt: skip
        return standing(
            goal.name, goal.target, at, len(units), len(set(units)), parts,
            ceiling=goal.ceiling, history=tuple(kept.history),
        )  # fmt: skip

    def _probed(self, seed: int) -> tuple[Standing, Standing]:
        probing, draws, level = self.probing, self.settings.draws, self.settings.level
        kept = probing.retention(seed, draws=draws, level=level)
        speed = probing.adaptation(seed, draws=draws, level=level)
        retained = standing(
            "retention", RETENTION, kept, len(probing.best.right), len(set(probing.best.units)),
            {"best_step": probing.best.step, "best_score": probing.best.score}, history=tuple(probing.history),
        )  # fmt: skip
        episodes = probing.episodes()
        adapted = standing(
            "adaptation_steps", ADAPTATION_STEPS, speed, len(episodes), len(episodes),
            {"not_reached": float(sum(math.isinf(steps) for steps in episodes))}, less_is_better=True,
        )  # fmt: skip
        return retained, adapted

    def to_bytes(self) -> bytes:
        """All of its state as JSON; NaN, which stands for "missing" in a row, is written as null."""
        kept = {
            name: {"rows": [[unit, *map(_or_none, row)] for unit, row in one.rows], "history": one.history}
            for name, one in self.kept.items()
        }
        return to_json({"tasks": self.tasks, "kept": kept, "probing": self.probing.to_dict()})

    @classmethod
    def from_bytes(cls, value: bytes, tasks: Sequence[Task], settings: TrackerSettings = TrackerSettings()) -> Tracker:
        """The inverse of ``to_bytes``. Raises ValueError, also where it was of other ``tasks``, KeyError, TypeError."""
        found, state = cls(tasks, settings), from_json(value)
        if state["tasks"] != found.tasks:
            raise ValueError("the tracker's bytes are of other tasks: their rows mean something else")
        for name, kept in found.kept.items():
            _restore(kept, state["kept"][name])
        found.probing = Probing.from_dict(state["probing"])
        return found


def standing(
    name: str, target: float, at: Interval, n: int, units: int, parts: Mapping[str, float], *,
    ceiling: float | None = None, history: tuple[tuple[int, float], ...] = (), less_is_better: bool = False,
) -> Standing:  # fmt: skip
    """The standing of a figure ``at`` its value and interval."""
    sign = -1 if less_is_better else 1
    worse = at.high if less_is_better else at.low
    known, sure = not math.isnan(at.value), not math.isnan(worse)
    return Standing(
        name=name, target=target, value=_or_none(at.value), low=_or_none(at.low), high=_or_none(at.high),
        n=n, units=units, parts=parts, history=history,
        met=sign * at.value >= sign * target if known else None,
        shown=sign * worse >= sign * target if sure else None,
        of_ceiling=at.value / ceiling if ceiling and known else None,
        verdicts=verdicts([sign * value for _, value in history]),
    )  # fmt: skip


def _table(kept: Kept) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([row for _, row in kept.rows], dtype=np.float64)


def _restore(kept: Kept, found: Mapping[str, Any]) -> None:
    for unit, *row in found["rows"]:
        kept.rows.append((unit, tuple(math.nan if value is None else value for value in row)))
    kept.history = [(step, value) for step, value in found["history"]]


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 5)

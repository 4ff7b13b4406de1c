"""When learning has come to rest, when it could stop, when it goes wrong: decisions over a history of scores.

A score is any figure where more is better, measured again and again: of a frozen probe, or prequential over a window.
Offline these decisions end a fold; online they only alert, for a stream has no end and what comes next may differ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from schemas.errors import ConfigurationError

KEPT = 64  # scores of a history; the decisions look no further back
MOST = 256  # points of a history that is kept to be looked at

CONVERGED, EARLY_STOP, FALLING = "converged", "early-stop", "falling"


@dataclass(frozen=True, slots=True)
class StoppingSettings:
    """All lengths in evaluations, all heights in units of the score. Raises ConfigurationError out of range."""

    patience: int = 10  # without a new best before there is no more to wait for
    least_gain: float = 0.002  # by which a score must beat the best to be a new best
    window: int = 10  # over which the trend is judged
    flat: float = 0.005  # the most that a trend may rise or fall over the window and still be called flat
    drop: float = 0.05  # below the best, twice running, is falling

    def __post_init__(self) -> None:
        for name in ("patience", "window"):
            if not isinstance(value := getattr(self, name), int) or not 2 <= value < KEPT:
                raise ConfigurationError(f"{name} is {value!r}, expected a whole number from 2 to {KEPT - 1}")
        for name in ("least_gain", "flat", "drop"):
            if not isinstance(value := getattr(self, name), int | float) or not value >= 0:
                raise ConfigurationError(f"{name} is {value!r}, expected a number from 0 on")


def remembered(history: Sequence[float], score: float) -> tuple[float, ...]:
    """``history`` with ``score`` at its end, the last ``KEPT``; a score that is not finite was not measured."""
    return (*history, score)[-KEPT:] if math.isfinite(score) else tuple(history)


def bounded(history: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """A history of (step, score) to keep: past ``MOST`` points every second of the older ones is dropped."""
    return history if len(history) <= MOST else [*history[:-KEPT:2], *history[-KEPT:]]


def verdicts(history: Sequence[float], settings: StoppingSettings = StoppingSettings()) -> tuple[str, ...]:
    """What holds of ``history``, oldest first: any of "converged", "early-stop" and "falling", in this order.

    - *converged*: the least-squares line through the last ``window`` scores rises or falls by at most ``flat``, and so
      does the line through the ``window`` before the last score.
    - *early-stop*: ``patience`` scores have come since the last new best, a score ``least_gain`` above all before
      (Prechelt 1998, criterion by patience).
    - *falling*: the last two scores lie more than ``drop`` below the best of those before them.
    """
    kept = list(history[-KEPT:])
    found = {
        CONVERGED: _is_flat(kept, settings) and _is_flat(kept[:-1], settings),
        EARLY_STOP: _since_best(kept, settings.least_gain) >= settings.patience,
        FALLING: len(kept) > 2 and max(kept[-2:]) < max(kept[:-2]) - settings.drop,
    }
    return tuple(name for name, holds in found.items() if holds)


def alerts(history: Sequence[float], settings: StoppingSettings = StoppingSettings()) -> tuple[str, ...]:
    """What holds of ``history`` and did not hold before its last score: each is said once until it ceases."""
    before = verdicts(history[:-1], settings)
    return tuple(name for name in verdicts(history, settings) if name not in before)


def should_stop(history: Sequence[float], settings: StoppingSettings = StoppingSettings()) -> bool:
    """Whether an offline fold may end here: nothing more is gained, or what was gained is being lost."""
    return bool(verdicts(history, settings))


def _since_best(history: Sequence[float], least_gain: float) -> int:
    """How many scores have come since the last that beat all before it by ``least_gain``."""
    best, since = -math.inf, 0
    for score in history:
        if score > best + least_gain or best == -math.inf:
            best, since = score, 0
        else:
            since += 1
    return since


def _is_flat(history: Sequence[float], settings: StoppingSettings) -> bool:
    if len(history) < settings.window:
        return False
    last = np.asarray(history[-settings.window :], dtype=np.float64)
    at = np.arange(len(last)) - (len(last) - 1) / 2
    slope = float(at @ (last - last.mean()) / (at @ at))
    return abs(slope) * (len(last) - 1) <= settings.flat

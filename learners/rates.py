"""How the learning rates go on after the warm-up: a scale for each group of tasks, within [.1, 3] whatever happens.

constant  1
plateau   down where a group's prequential loss has stopped falling, up where it has jumped: the stream has drifted
cosine    from 1 to .1 over ``schedule_steps`` (Loshchilov & Hutter 2017, eq. 5), for offline folds that have an end

A rule that multiplies whenever a score is low has no bound: .9 below .6 for a thousand steps is 41,000 times the rate.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from learners.settings import LearningSettings

Floats = npt.NDArray[np.float32]

LOWEST, HIGHEST = 0.1, 3.0
DOWN, UP = 0.7, 1.3
FAST, SLOW = 0.9, 0.99  # smoothing of the two running means of the loss
JUMP = 1.5  # a fast mean this much over the slow one is a drift
GAIN = 1e-3  # the least relative improvement
LARGEST = 1e30  # a loss that float32 means can still hold
SCALE, QUICK, STEADY, BEST, SINCE = range(5)


def begun() -> Floats:
    """The pace of a group before its first loss: float32 [5], scale, fast and slow mean, best, steps since."""
    return np.array([1.0, np.nan, np.nan, np.inf, 0.0], dtype=np.float32)


def paced(pace: Floats, loss: float, step: int, settings: LearningSettings) -> Floats:
    """The pace after step number ``step`` and its loss on new examples before they were learned."""
    if settings.schedule == "constant" or not math.isfinite(loss):
        return pace
    loss = min(max(loss, -LARGEST), LARGEST)
    if settings.schedule == "cosine":
        way = min(step / settings.schedule_steps, 1.0)
        return np.array([LOWEST + (1 - LOWEST) * (1 + math.cos(math.pi * way)) / 2, *pace[1:]], dtype=np.float32)
    return _plateau(pace, loss, max(settings.schedule_steps // 10, 1))


def _plateau(pace: Floats, loss: float, patience: int) -> Floats:
    scale, quick, steady, best, since = (float(value) for value in pace)
    quick = loss if math.isnan(quick) else FAST * quick + (1 - FAST) * loss
    steady = loss if math.isnan(steady) else SLOW * steady + (1 - SLOW) * loss
    if quick > JUMP * steady:
        scale, best, since = scale * UP, math.inf, 0.0
    elif steady < best * (1 - GAIN):
        best, since = steady, 0.0
    elif since + 1 >= patience:
        scale, since = scale * DOWN, 0.0
    else:
        since += 1
    return np.array([min(max(scale, LOWEST), HIGHEST), quick, steady, best, since], dtype=np.float32)

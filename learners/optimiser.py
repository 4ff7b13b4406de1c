"""How gradients move parameters: state in, state out. Row-wise Adagrad for tables, AdamW for dense parameters."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

FIRST_DECAY, SECOND_DECAY = 0.9, 0.999
TINY = np.float32(1e-8)


def adagrad_rows(rows: Floats, squares: Floats, gradient: Floats, rate: float) -> tuple[Floats, Floats]:
    """Rows [k, width] and their accumulators [k] after one step.

    Adagrad (Duchi, Hazan & Singer 2011) with one accumulator a row, the mean square of its gradient, so that the state
    of a table is one number a row (as in Mudigere et al. 2022, section 4.1.4).
    """
    squares = squares + np.mean(gradient * gradient, axis=1)
    return rows - np.float32(rate) * gradient / (np.sqrt(squares) + TINY)[:, None], squares


def adamw(
    value: Floats, first: Floats, second: Floats, gradient: Floats, *, step: int, rate: float, decay: float
) -> tuple[Floats, Floats, Floats]:
    """A dense parameter and its two moments after step number ``step``, from 1 (Loshchilov & Hutter 2019, alg. 2)."""
    first = np.float32(FIRST_DECAY) * first + np.float32(1 - FIRST_DECAY) * gradient
    second = np.float32(SECOND_DECAY) * second + np.float32(1 - SECOND_DECAY) * (gradient * gradient)
    mean = first / np.float32(1 - FIRST_DECAY**step)
    spread = np.sqrt(second / np.float32(1 - SECOND_DECAY**step))
    return value - np.float32(rate) * (mean / (spread + TINY) + np.float32(decay) * value), first, second


def warm_up(step: int, steps: int) -> float:
    """The share of the full rate at step number ``step``, from 1: rises linearly over ``steps``, then stays 1."""
    return min(1.0, step / steps) if steps else 1.0


def clip_factor(norm: float, limit: float) -> float:
    """What a gradient of norm ``norm`` is multiplied with so that it has at most ``limit`` (Pascanu et al. 2013)."""
    return min(1.0, limit / norm) if norm > 0 else 1.0


def average_rates(touches: npt.NDArray[np.uint32], decay: float) -> Floats:
    """How far an average moves towards its value at touch number ``touches``, from 1.

    The plain mean of the values so far until it would move less than 1 − ``decay``, an exponential average from there:
    without bias from the start, whatever the decay.
    """
    return np.maximum(np.float32(1 - decay), 1 / touches.astype(np.float32))

"""How gradients move parameters: state in, state out. Row-wise Adagrad for tables, AdamW for dense parameters."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

FIRST_DECAY, SECOND_DECAY = 0.9, 0.999
TINY = np.float32(1e-8)


SQUARES, TOUCHES = -2, -1  # columns of a packed row, after its trained values and their average


def packed_width(width: int) -> int:
    """The width of a packed row: trained values, their average, Adagrad's accumulator, how often it was touched."""
    return 2 * width + 2


def step_rows(packed: Floats, gradient: Floats, rate: float, decay: float, shrink: float = 0.0) -> Floats:
    """Packed rows [k, 2·width + 2] after one step along ``gradient`` [k, width], their averages moved by ``decay``.

    ``shrink`` is the share of its value that a row loses first: weight decay apart from the gradient (Loshchilov
    & Hutter 2019), for rows touched only.

    Adagrad (Duchi, Hazan & Singer 2011) with one accumulator a row, the mean square of its gradient, so that the state
    of a table is one number a row (as in Mudigere et al. 2022, section 4.1.4).
    """
    width = gradient.shape[1]
    stepped = packed.copy()
    stepped[:, SQUARES] += np.einsum("ij,ij->i", gradient, gradient) / np.float32(width)
    stepped[:, TOUCHES] += 1
    pace = np.float32(rate) / (np.sqrt(stepped[:, SQUARES]) + TINY)
    if shrink:
        stepped[:, :width] *= np.float32(1 - shrink)
    stepped[:, :width] -= pace[:, None] * gradient
    moved = average_rates(stepped[:, TOUCHES], decay)[:, None] * (stepped[:, :width] - packed[:, width : 2 * width])
    stepped[:, width : 2 * width] += moved
    return stepped


def step_dense(packed: Floats, gradient: Floats, step: int, *, rate: float, shrink: float, decay: float) -> Floats:
    """A dense parameter, [trained, average, first moment, second moment], after its step number ``step``, from 1.

    AdamW (Loshchilov & Hutter 2019, algorithm 2) with weight decay ``shrink``; ``decay`` is the average's.
    """
    value, average, first, second = packed
    first = first + np.float32(1 - FIRST_DECAY) * (gradient - first)
    second = second + np.float32(1 - SECOND_DECAY) * (gradient * gradient - second)
    mean = first / np.float32(1 - FIRST_DECAY**step)
    spread = np.sqrt(second / np.float32(1 - SECOND_DECAY**step))
    value = value - np.float32(rate) * (mean / (spread + TINY) + np.float32(shrink) * value)
    average = average + average_rates(np.full(1, step, dtype=np.float32), decay) * (value - average)
    return np.stack((value, average, first, second))


def step_plain(packed: Floats, gradient: Floats, step: int, *, rate: float, decay: float) -> Floats:
    """A dense parameter as ``step_dense`` knows it after a step of plain gradient descent; its moments stay."""
    value, average, first, second = packed
    value = value - np.float32(rate) * gradient
    average = average + average_rates(np.full(1, step, dtype=np.float32), decay) * (value - average)
    return np.stack((value, average, first, second))


def warm_up(step: int, steps: int) -> float:
    """The share of the full rate at step number ``step``, from 1: rises linearly over ``steps``, then stays 1."""
    return min(1.0, step / steps) if steps else 1.0


def clip_factor(norm: float, limit: float) -> float:
    """What a gradient of norm ``norm`` is multiplied with so that it has at most ``limit`` (Pascanu et al. 2013)."""
    return min(1.0, limit / norm) if norm > 0 else 1.0


def average_rates(touches: Floats, decay: float) -> Floats:
    """How far an average moves towards its value at touch number ``touches``, from 1.

    The plain mean of the values so far until it would move less than 1 − ``decay``, an exponential average from there:
    without bias from the start, whatever the decay.
    """
    return np.maximum(np.float32(1 - decay), 1 / touches)

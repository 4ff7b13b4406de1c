"""A slope is found where there is one, and its interval holds what is true as often as it says."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.soak_slope import FEWEST, HOUR_S, WAVES, slope

Floats = npt.NDArray[np.float64]
LOOKS, SEEDS, LEVEL = 240, 400, 0.95
AT_S = 5.0 * np.arange(LOOKS)
HOURS = AT_S / HOUR_S
BY_CHANCE = 4 * sqrt(LEVEL * (1 - LEVEL) / SEEDS)  # four standard deviations of the share among so many seeds


def white(seed: int) -> Floats:
    return np.random.default_rng(seed).normal(size=LOOKS)


def wandering(seed: int, kept: float = 0.7) -> Floats:
    """An autoregression: of each look's noise so much is in the next."""
    found = white(seed)
    for at in range(1, LOOKS):
        found[at] += kept * found[at - 1]
    return found


def share_that_holds(true: float, noise: Callable[[int], Floats]) -> float:
    found = [slope(AT_S, true * HOURS + noise(seed), LEVEL) for seed in range(SEEDS)]
    return sum(one.low <= true <= one.high for one in found) / SEEDS


@pytest.mark.parametrize("true", [0.0, 3.0])
@pytest.mark.parametrize("noise", [white, wandering])
def test_the_interval_holds_the_slope_as_often_as_it_says(true: float, noise: Callable[[int], Floats]) -> None:
    assert abs(share_that_holds(true, noise) - LEVEL) <= BY_CHANCE


def test_the_textbook_s_interval_would_take_what_wanders_for_a_slope() -> None:
    """So that the other way is worth its page: by least squares alone, looks taken as independent."""
    held = 0
    for seed in range(SEEDS):
        y, x = wandering(seed), HOURS - HOURS.mean()
        rise = x @ y / (x @ x)
        left = y - y.mean() - rise * x
        held += abs(rise) <= 1.97 * sqrt(left @ left / (LOOKS - 2) / (x @ x))
    assert held / SEEDS < LEVEL - BY_CHANCE


@pytest.mark.parametrize("noise", [white, wandering])
def test_a_slope_well_above_the_noise_is_found(noise: Callable[[int], Floats]) -> None:
    error = noise(0).std() * sqrt(12 / LOOKS) / (HOURS[-1] - HOURS[0])  # of a slope in white noise
    found = slope(AT_S, 30 * error * HOURS + noise(0))
    assert found.low > 0


@given(st.floats(-1e3, 1e3), st.floats(-1e6, 1e6))
def test_a_straight_line_has_its_own_slope(rise: float, base: float) -> None:
    found = slope(AT_S, rise * HOURS + base)
    assert found.per_hour == pytest.approx(rise, rel=1e-6, abs=1e-6)
    assert found.mean == pytest.approx(base + rise * HOURS.mean())


@given(st.floats(-1e12, 1e12), st.integers(FEWEST, LOOKS))
def test_what_never_changes_has_no_slope_to_the_bit(value: float, looks: int) -> None:
    found = slope(AT_S[:looks], [value] * looks)
    assert (found.per_hour, found.low, found.high) == (0, 0, 0)
    assert found.contains_zero


@given(st.floats(0.1, 10), st.floats(-100, 100), st.integers(0, 9))
def test_a_slope_is_of_the_unit_that_it_is_measured_in(factor: float, shift: float, seed: int) -> None:
    one, other = slope(AT_S, white(seed)), slope(AT_S, factor * white(seed) + shift)
    assert [other.per_hour, other.low, other.high] == pytest.approx(
        [factor * one.per_hour, factor * one.low, factor * one.high], rel=1e-6, abs=1e-6
    )


def test_a_look_that_is_missing_changes_no_line() -> None:
    kept = [at for at in range(LOOKS) if at % 7]
    assert slope(AT_S[kept], 2 * HOURS[kept]).per_hour == pytest.approx(2)


def test_percent_a_day_are_of_the_mean() -> None:
    found = slope(AT_S, 2 * HOURS + 100)
    assert found.percent_per_day == pytest.approx(100 * 2 * 24 / found.mean)
    assert slope(AT_S, 0 * HOURS).percent_per_day is None


def test_a_wider_level_has_a_wider_interval_and_too_few_looks_none() -> None:
    one, other = slope(AT_S, white(0), 0.9), slope(AT_S, white(0), 0.99)
    assert other.low < one.low < one.high < other.high
    with pytest.raises(ValueError, match=f"at least {WAVES + 3}"):
        slope(AT_S[: FEWEST - 1], white(0)[: FEWEST - 1])

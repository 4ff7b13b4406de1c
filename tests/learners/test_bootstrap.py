"""Bootstrap intervals: what they contain, what they resample, and that a seed decides them."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learners.bootstrap import Counts, bootstrap, bootstrap_sums, rows_by_unit

VALUES = np.random.default_rng(3).normal(2.0, 1.0, size=400)


def mean_of(rows: Counts) -> float:
    return float(VALUES[rows].mean())


def test_the_interval_of_a_mean_is_the_normal_one_where_units_are_many() -> None:
    found = bootstrap(mean_of, range(len(VALUES)), seed=1, draws=4_000)
    half = NormalDist().inv_cdf(0.975) * VALUES.std() / math.sqrt(len(VALUES))
    assert found.value == pytest.approx(VALUES.mean())
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.05)


def test_rows_of_one_unit_are_drawn_together() -> None:
    """Copies of a row say nothing new: the interval over units is that without the copies."""
    values = np.repeat(VALUES[:50], 8)
    of_units = bootstrap(lambda rows: float(values[rows].mean()), [n // 8 for n in range(400)], seed=1, draws=2_000)
    half = NormalDist().inv_cdf(0.975) * VALUES[:50].std() / math.sqrt(50)
    assert (of_units.high - of_units.low) / 2 == pytest.approx(half, rel=0.1)


def test_a_figure_of_sums_has_the_interval_of_the_rows_behind_them() -> None:
    units = [n % 40 for n in range(400)]
    sums = np.array([[VALUES[rows].sum(), len(rows)] for rows in rows_by_unit(units)])
    by_sums = bootstrap_sums(lambda total: float(total[0] / total[1]), sums, seed=1, draws=4_000)
    by_rows = bootstrap(mean_of, units, seed=2, draws=4_000)
    assert by_sums.value == pytest.approx(by_rows.value)
    assert (by_sums.low, by_sums.high) == pytest.approx((by_rows.low, by_rows.high), abs=0.01)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**31), n=st.integers(2, 30))
def test_the_same_seed_gives_the_same_interval_around_the_value(seed: int, n: int) -> None:
    found = bootstrap(mean_of, range(n), seed, draws=200)
    assert found == bootstrap(mean_of, range(n), seed, draws=200)
    assert VALUES[:n].min() <= found.low <= found.high <= VALUES[:n].max()


@pytest.mark.parametrize("units", [[], [0]])
def test_one_unit_alone_has_no_interval(units: list[int]) -> None:
    found = bootstrap(mean_of, units, seed=1)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert not found.excludes_zero


def test_a_figure_undefined_in_some_resamples_has_the_interval_of_the_others() -> None:
    found = bootstrap(lambda rows: float("nan") if len(set(rows.tolist())) < 2 else 1.0, range(3), seed=1)
    assert (found.value, found.low, found.high) == (1, 1, 1)

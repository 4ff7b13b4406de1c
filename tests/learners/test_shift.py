"""Two samples of one population are told apart no more often than they say, and two of two populations are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp  # type: ignore[import-untyped]  # scipy ships no types

from learners.shift import Fourier, Moments, compare_means, holm, ks, mmd

Rows = list[tuple[float, float]]
NUMBERS = st.floats(-1e3, 1e3)
ROWS = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=20)


def moments(rows: Rows) -> Moments:
    return Moments.of(np.array(rows).reshape(-1, 2))


@given(ROWS, ROWS, ROWS)
def test_moments_of_shards_merge_into_those_of_all_rows_in_any_grouping(one: Rows, two: Rows, three: Rows) -> None:
    whole = moments([*one, *two, *three])
    for merged in (
        moments(one).merge(moments(two)).merge(moments(three)),
        moments(three).merge(moments(two).merge(moments(one))),
    ):
        assert merged.n == whole.n
        assert merged.mean == pytest.approx(whole.mean, abs=1e-6)
        assert merged.m2 == pytest.approx(whole.m2, rel=1e-6, abs=1e-3)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=30))
def test_moments_are_mean_and_covariance(rows: Rows) -> None:
    found = moments(rows)
    assert found.mean == pytest.approx(np.mean(rows, axis=0), abs=1e-6)
    assert found.m2 / (found.n - 1) == pytest.approx(np.cov(np.array(rows).T), rel=1e-6, abs=1e-3)


def test_t_squared_is_that_of_one_number() -> None:
    """Of one number T² is the squared difference of means over its squared standard error."""
    draw = np.random.default_rng(0)
    reference, recent = draw.normal(size=200), draw.normal(0.5, size=50)
    (found,) = compare_means(Moments.of(reference[:, None]), [[recent.mean()]], [50])
    apart = recent.mean() - reference.mean()
    assert found.statistic == pytest.approx(apart**2 / (reference.var(ddof=1) * (1 / 200 + 1 / 50)), rel=1e-5)
    assert found.effect == pytest.approx((apart**2 / reference.var(ddof=1) - 1 / 200 - 1 / 50) ** 0.5, rel=1e-5)


@pytest.mark.parametrize("level", [0.1, 0.01])
def test_samples_of_one_population_differ_as_often_as_the_p_value_says(level: float) -> None:
    draw, runs = np.random.default_rng(1), 400
    p = []
    for _ in range(runs):
        rows = draw.normal(size=(300, 8)) @ draw.normal(size=(8, 8))
        p.append(compare_means(Moments.of(rows[:200]), [rows[200:].mean(axis=0)], [100])[0].p)
    assert np.mean(np.array(p) < level) == pytest.approx(level, abs=4 * (level * (1 - level) / runs) ** 0.5)


def test_too_few_vectors_are_not_compared() -> None:
    with pytest.raises(ValueError, match="too few"):
        compare_means(Moments.of(np.eye(3)), [[0.0, 0.0, 0.0]], [10])


def test_fourier_features_multiply_to_the_kernel() -> None:
    """Their inner product is exp(-|x - y|² / 2 width²), up to 1 / √features (Rahimi & Recht 2007)."""
    draw = np.random.default_rng(2)
    rows = draw.normal(size=(10, 3))
    features = Fourier.drawn(3, 20_000, seed=0, width=1.5)(rows)
    apart = ((rows[:, None] - rows) ** 2).sum(axis=2)
    assert features @ features.T == pytest.approx(np.exp(-apart / (2 * 1.5**2)), abs=5 / 20_000**0.5)


def test_mmd_sees_what_no_mean_shows() -> None:
    draw = np.random.default_rng(3)
    reference = draw.normal(size=(600, 4))
    wider = draw.normal(scale=2.0, size=(300, 4))
    assert mmd(reference, wider).p < 1e-6
    assert mmd(reference, draw.normal(size=(300, 4))).p > 1e-3
    assert compare_means(Moments.of(reference), [wider.mean(axis=0)], [300])[0].p > 1e-3, "their means are the same"


@given(st.integers(0, 1_000), st.integers(150, 400), st.integers(150, 400))
def test_ks_is_scipy_s_statistic_and_its_asymptotic_p(seed: int, n: int, m: int) -> None:
    draw = np.random.default_rng(seed)
    one, two = draw.normal(size=n), np.round(draw.normal(0.3, size=m), 1)
    statistic, p = ks(one, two)
    theirs = ks_2samp(one, two, method="asymp")
    assert statistic == pytest.approx(theirs.statistic)
    assert p == pytest.approx(theirs.pvalue, abs=0.05)


def test_holm_multiplies_the_smallest_by_their_number_the_next_by_one_less_and_so_on() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=10))
def test_holm_keeps_the_order_lies_above_p_and_no_higher_than_bonferroni(p: list[float]) -> None:
    for corrected, each in zip(holm(p), p, strict=True):
        assert each <= corrected <= 1
    assert holm(p)[p.index(min(p))] == pytest.approx(min(min(p) * len(p), 1))

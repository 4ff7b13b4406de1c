"""Agreement measures give the figures of the literature's worked examples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learners.agreement import Level, alpha, consistency, kappa, quadratic_kappa, ranks, spearman

# Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", section C: four observers, twelve units.
OBSERVERS = ["123321412...", "1233224125.3", ".3332342251.", "1233244125 1.".replace(" ", "")]
UNITS = [[int(row[unit]) for row in OBSERVERS if row[unit] != "."] for unit in range(12)]
# What two judges said of one hundred items, [a, b], and how often.
TABLE = {(1, 1): 25, (1, 2): 13, (1, 3): 12, (2, 1): 12, (2, 2): 2, (2, 3): 16, (3, 1): 3, (3, 2): 15, (3, 3): 2}
whole = st.lists(st.tuples(st.integers(1, 7), st.integers(1, 7)), min_size=2, max_size=40)


@pytest.mark.parametrize(("level", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_is_that_of_krippendorffs_own_example(level: Level, published: float) -> None:
    assert round(alpha(UNITS, level), 3) == published


def test_alpha_of_two_judges_of_everything_is_scotts_pi_for_a_small_sample() -> None:
    """Krippendorff (2011): alpha = 1 - (1 - agreed)(n - 1)/(n - Σ n_c²/n) with n the number of values."""
    one, other = "aabbccabca", "aabbcbabcc"
    n = 2 * len(one)
    agreed = sum(a == b for a, b in zip(one, other, strict=True)) / len(one)
    squares = sum((one + other).count(name) ** 2 for name in "abc")
    expected = 1 - (1 - agreed) * (n - 1) / (n - squares / n)
    assert alpha(list(zip(one, other, strict=True))) == pytest.approx(expected)


def test_items_with_one_judge_say_nothing_of_agreement() -> None:
    assert alpha([*UNITS, [5], [1]], "interval") == alpha(UNITS, "interval")


def test_kappa_of_a_table_is_agreement_beyond_chance() -> None:
    one = [a for (a, _), times in TABLE.items() for _ in range(times)]
    other = [b for (_, b), times in TABLE.items() for _ in range(times)]
    agreed = (25 + 2 + 2) / 100
    chance = (50 * 40 + 30 * 30 + 20 * 30) / 100**2
    assert kappa(one, other) == pytest.approx((agreed - chance) / (1 - chance))


@given(pairs=whole)
def test_quadratic_kappa_is_its_double_sum(pairs: list[tuple[int, int]]) -> None:
    one, other = zip(*pairs, strict=True)
    observed = sum((a - b) ** 2 for a, b in pairs) / len(pairs)
    chance = sum((a - b) ** 2 for a in one for b in other) / len(pairs) ** 2
    if chance:
        assert quadratic_kappa(one, other) == pytest.approx(1 - observed / chance)
    else:
        assert math.isnan(quadratic_kappa(one, other))


def test_equal_values_share_the_mean_of_their_ranks() -> None:
    assert ranks([30, 10, 30, 20]).tolist() == [3.5, 1, 3.5, 2]


def test_without_ties_rho_is_spearmans_sum_of_squared_differences() -> None:
    one, other = [86, 97, 99, 100, 101, 103, 106, 110, 112, 113], [2, 20, 28, 27, 50, 29, 7, 17, 6, 12]
    apart = float(((ranks(one) - ranks(other)) ** 2).sum())
    assert spearman(one, other) == pytest.approx(1 - 6 * apart / (10 * (10**2 - 1)))


@given(pairs=whole)
def test_rho_does_not_change_with_a_rising_map(pairs: list[tuple[int, int]]) -> None:
    one, other = np.array(pairs, dtype=float).T
    np.testing.assert_equal(spearman(np.exp(one), other), spearman(one, other))


def test_nothing_and_constants_have_no_agreement() -> None:
    assert all(map(math.isnan, (alpha([]), alpha([[1, 1]]), kappa([], []), kappa(["a", "a"], ["a", "a"]))))
    assert all(map(math.isnan, (spearman([], []), spearman([1, 1], [1, 2]), quadratic_kappa([], []))))


def test_consistency_is_one_of_equal_and_zero_of_disjoint_distributions() -> None:
    assert consistency({"open": 0.3, "closed": 0.7}, {"closed": 0.7, "open": 0.3}) == pytest.approx(1)
    assert consistency({"open": 1.0}, {"closed": 1.0}) == pytest.approx(0)

"""Calibration figures are what their formulas say, and their parts add up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learners import confusion
from learners.calibration import BINS, Point, brier, calibration_error, equal_mass, equal_width, top

forecasts = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=80)


def came(p: float, hits: int, n: int) -> tuple[list[float], list[bool]]:
    """``n`` forecasts of ``p``, of which ``hits`` came true."""
    return [p] * n, [i < hits for i in range(n)]


def test_a_forecaster_who_is_too_sure_by_a_quarter_has_that_error() -> None:
    for points in (equal_width, equal_mass):
        found = points(*came(0.75, 50, 100))
        assert found == [Point(0.75, 0.5, 100)]
        assert calibration_error(found) == pytest.approx(0.25)


@given(given_=forecasts)
def test_equal_width_is_the_error_that_is_counted_online(given_: list[tuple[float, bool]]) -> None:
    bins = [[0.0, 0.0, 0.0] for _ in range(confusion.BINS)]
    for stated, hit in given_:
        held = bins[confusion.bin_of(stated)]
        held[0], held[1], held[2] = held[0] + 1, held[1] + stated, held[2] + hit
    p, hits = zip(*given_, strict=True)
    found = calibration_error(equal_width(p, hits, confusion.BINS))
    assert found == pytest.approx(confusion.calibration_error(bins), abs=1e-9)


@given(given_=forecasts)
def test_bins_hold_every_forecast_once(given_: list[tuple[float, bool]]) -> None:
    p, hits = zip(*given_, strict=True)
    for points in (equal_width, equal_mass):
        assert sum(point.n for point in points(p, hits)) == len(given_)


@given(order=st.permutations(range(5 * BINS)))
def test_bins_of_equal_mass_hold_equally_many_different_forecasts(order: list[int]) -> None:
    found = equal_mass([n / (5 * BINS) for n in order], [0] * (5 * BINS))
    assert [point.n for point in found] == [5] * BINS


@given(given_=forecasts)
def test_equal_forecasts_share_a_bin(given_: list[tuple[float, bool]]) -> None:
    p, hits = zip(*[(round(p, 1), hit) for p, hit in given_], strict=True)
    assert len({round(point.stated, 6) for point in equal_mass(p, hits)}) == len(equal_mass(p, hits)) <= len(set(p))


@given(given_=forecasts)
def test_the_parts_of_the_brier_score_add_up(given_: list[tuple[float, bool]]) -> None:
    p, hits = zip(*given_, strict=True)
    found = brier(p, hits)
    assert found.score == pytest.approx(np.mean([(a - b) ** 2 for a, b in given_]))
    assert found.reliability - found.resolution + found.uncertainty + found.within == pytest.approx(found.score)


def test_murphys_parts_of_two_forecasts_by_hand() -> None:
    (low, dry), (high, wet) = came(0.2, 10, 40), came(0.9, 48, 60)
    found = brier(low + high, dry + wet)
    base = 58 / 100
    assert found.reliability == pytest.approx(0.4 * (0.2 - 10 / 40) ** 2 + 0.6 * (0.9 - 48 / 60) ** 2)
    assert found.resolution == pytest.approx(0.4 * (10 / 40 - base) ** 2 + 0.6 * (48 / 60 - base) ** 2)
    assert found.uncertainty == pytest.approx(base * (1 - base))
    assert found.within == pytest.approx(0, abs=1e-12)


def test_the_top_class_is_the_most_likely_one() -> None:
    p, right = top([2, 0], [[0.2, 0.3, 0.5], [0.1, 0.6, 0.3]])
    assert (p.tolist(), right.tolist()) == ([0.5, 0.6], [1, 0])


def test_nothing_is_well_calibrated() -> None:
    assert calibration_error(equal_mass([], [])) == calibration_error(equal_width([], [])) == brier([], []).score == 0


@pytest.mark.parametrize(("p", "hits"), [([1.2], [True]), ([0.5, 0.5], [True]), ([[0.5]], [[True]])])
def test_what_is_no_forecast_is_refused(p: list[float], hits: list[bool]) -> None:
    with pytest.raises(ValueError, match="expected"):
        equal_width(p, hits)

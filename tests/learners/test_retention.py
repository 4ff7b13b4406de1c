"""Figures over the matrix of accuracies say what their formulas say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from learners.retention import Floats, Retention

NAN = float("nan")
MATRIX = [[0.9, 0.2, 0.1], [0.8, 0.7, 0.3], [0.5, 0.75, 0.6]]
squares = st.integers(1, 6).flatmap(lambda n: arrays(np.float64, (n, n), elements=st.floats(0, 1)))


def test_the_figures_of_three_tasks_by_hand() -> None:
    found = Retention(MATRIX)
    assert found.acc == pytest.approx((0.5 + 0.75 + 0.6) / 3)
    assert found.backward_transfer == pytest.approx(((0.5 - 0.9) + (0.75 - 0.7)) / 2)
    assert found.forgetting == pytest.approx(((0.9 - 0.5) + (0.7 - 0.75)) / 2)
    assert found.anytime == pytest.approx((0.9 + (0.8 + 0.7) / 2 + (0.5 + 0.75 + 0.6) / 3) / 3)
    assert found.forward_transfer([0.1, 0.1, 0.2]) == pytest.approx(((0.2 - 0.1) + (0.3 - 0.2)) / 2)


@given(matrix=squares)
def test_forgetting_is_never_less_than_negative_backward_transfer(matrix: Floats) -> None:
    found = Retention(matrix)
    assert found.forgetting >= -found.backward_transfer - 1e-12


@given(matrix=squares)
def test_what_was_not_measured_changes_nothing_below_the_diagonal(matrix: Floats) -> None:
    partly = matrix.copy()
    partly[np.triu_indices(len(matrix), k=1)] = NAN
    for name in ("acc", "backward_transfer", "anytime"):
        assert getattr(Retention(partly), name) == getattr(Retention(matrix), name)


@given(row=st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_who_knows_everything_always_forgets_and_transfers_nothing(row: list[float]) -> None:
    found = Retention([row] * len(row))
    assert found.forgetting == found.backward_transfer == 0
    assert found.forward_transfer(row) == 0


def test_one_task_alone_has_no_transfer() -> None:
    found = Retention([[0.7]])
    assert found.summary() == {"acc": 0.7, "backward_transfer": 0.0, "forgetting": 0.0, "anytime": 0.7}


@pytest.mark.parametrize("matrix", [[], [[0.5, 0.5]], [[0.5, 0.1], [NAN, 0.5]], [[0.5], [0.5]]])
def test_a_matrix_that_is_not_whole_is_refused(matrix: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="matrix"):
        Retention(matrix)


def test_forward_transfer_needs_what_stands_above_the_diagonal() -> None:
    with pytest.raises(ValueError, match="above the diagonal"):
        Retention([[0.5, NAN], [0.5, 0.5]]).forward_transfer([0.1, 0.1])
    with pytest.raises(ValueError, match="one number a task"):
        Retention(MATRIX).forward_transfer([0.1])

from __future__ import annotations

import numpy as np
import pytest
import torch

from learners.optimiser import SQUARES, TOUCHES, average_rates, clip_factor, step_dense, step_plain, step_rows, warm_up


def test_adagrad_divides_by_the_root_of_the_rows_mean_squares():
    packed = np.array([[0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 3, 7]], np.float32)
    gradient = np.array([[1, 1], [1, -1]], np.float32)
    stepped = step_rows(packed, gradient, 0.5, 0.9)
    assert stepped[:, SQUARES].tolist() == [0 + 1, 3 + 1]
    np.testing.assert_allclose(stepped[:, :2], [[-0.5, -0.5], [-0.25, 0.25]], rtol=1e-6)


def test_a_rows_average_follows_it_and_its_touches_are_counted():
    packed = np.array([[2, 8, 0, 1]], np.float32)  # value, average, squares, touches
    stepped = step_rows(packed, np.zeros((1, 1), np.float32), 0.5, 0.9)
    assert stepped[0, TOUCHES] == 2
    assert stepped[0, 1] == 8 + (2 - 8) / 2  # the second touch: the mean of two


def test_a_row_shrinks_by_its_share_before_it_steps():
    packed = np.array([[4, 0, 0, 0], [-4, 0, 0, 0]], np.float32)
    stepped = step_rows(packed, np.array([[1], [0]], np.float32), 0.5, 0.9, 0.25)
    np.testing.assert_allclose(stepped[:, 0], [4 * 0.75 - 0.5, -4 * 0.75], rtol=1e-6)


def test_adamw_walks_as_torch_does():
    theirs = torch.nn.Parameter(torch.linspace(-1, 1, 6))
    optimiser = torch.optim.AdamW([theirs], lr=0.01, weight_decay=0.1)
    start = theirs.detach().numpy().copy()
    packed = np.stack((start, start, 0 * start, 0 * start))
    for step in range(1, 6):
        theirs.grad = torch.sin(theirs.detach() * step)
        gradient = theirs.grad.numpy().copy()
        optimiser.step()
        packed = step_dense(packed, gradient, step, rate=0.01, shrink=0.1, decay=0.9)
    np.testing.assert_allclose(packed[0], theirs.detach().numpy(), rtol=1e-5)


def test_the_rate_rises_linearly_and_stays():
    assert [warm_up(step, 4) for step in (1, 2, 4, 9)] == [0.25, 0.5, 1, 1]
    assert warm_up(1, 0) == 1


def test_a_long_gradient_is_cut_to_the_limit_and_a_short_one_left():
    assert clip_factor(10, 5) * 10 == pytest.approx(5)
    assert clip_factor(3, 5) == clip_factor(0, 5) == 1


def test_an_average_is_the_plain_mean_until_it_moves_by_the_decay():
    values = np.arange(1, 6, dtype=np.float32)
    average = np.float32(0)
    for touch, value in enumerate(values, start=1):
        (rate,) = average_rates(np.array([touch], np.float32), 0.9)
        average += rate * (value - average)
    assert average == pytest.approx(values.mean())
    assert average_rates(np.array([1000], np.float32), 0.9) == pytest.approx(0.1)


def test_plain_descent_goes_down_the_gradient_and_leaves_the_moments():
    packed, gradient = np.arange(12, dtype=np.float32).reshape(4, 3), np.array([1, -2, 0], dtype=np.float32)
    value, average, first, second = step_plain(packed, gradient, 1, rate=0.5, decay=0.9)
    assert value.tolist() == (packed[0] - 0.5 * gradient).tolist()
    assert average.tolist() == value.tolist()  # the mean of one value
    assert [first.tolist(), second.tolist()] == packed[2:].tolist()

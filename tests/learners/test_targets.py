from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from learners.targets import probabilities, sigmoid, target, targets, values
from tests.learners.cases import CLAIM, DEPTH, MOVE, SUPPORT

LOGITS = st.floats(-30, 30, width=32)


def test_a_class_is_one_and_the_others_nought():
    assert target(MOVE, "restating").tolist() == [0, 1, 0]


def test_several_classes_are_ones_each():
    assert target(CLAIM, ("reason", "claim")).tolist() == [1, 1]
    assert target(CLAIM, ()).tolist() == [0, 0]


def test_an_ordinal_label_says_of_each_step_whether_it_lies_above():
    assert target(SUPPORT, 3.0).tolist() == [1, 1, 0, 0, 0, 0]  # above 1, above 2, not above 3


def test_a_number_is_its_place_in_the_range():
    assert target(DEPTH, 0.25).tolist() == [0.25]


def test_only_examples_with_a_label_of_the_task_are_among_its_targets():
    found = targets(MOVE, [{"depth": 0.5}, {"move": "none"}, {}, {"move": "press"}])
    assert found.examples.tolist() == [1, 3]
    assert found.values.tolist() == [[1, 0, 0], [0, 0, 1]]


@given(arrays(np.float32, (3, 3), elements=LOGITS))
def test_probabilities_of_classes_are_the_softmax(logits: np.ndarray):
    raised = np.exp(logits.astype(float))
    np.testing.assert_allclose(probabilities(MOVE, logits), raised / raised.sum(1, keepdims=True), atol=1e-6)


@given(arrays(np.float32, (3, 6), elements=LOGITS))
def test_probabilities_of_levels_are_none_negative_and_sum_to_one(logits: np.ndarray):
    found = probabilities(SUPPORT, logits)
    assert found.shape == (3, 7)
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)


def test_the_expected_level_is_the_lowest_and_the_chance_of_each_step_above():
    logits = np.array([[2.0, 1.0, 0.0, -1.0, -2.0, -3.0]], dtype=np.float32)
    assert values(SUPPORT, logits) == pytest.approx(1 + sigmoid(logits).sum())


def test_an_undecided_regression_is_the_middle_of_the_range():
    assert values(DEPTH, np.zeros((1, 1), dtype=np.float32)) == pytest.approx([0.5])

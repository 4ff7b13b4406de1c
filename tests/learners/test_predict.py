from __future__ import annotations

import numpy as np
import pytest

from learners.model import served
from learners.predict import predict, rounded
from tests.learners.cases import MOVES, begun, folded, said


def test_a_model_that_learned_nothing_finds_all_classes_equally_likely():
    ((found),) = predict(served(begun()), [said("hello")])
    assert found["move"].probabilities == pytest.approx({"none": 1 / 3, "restating": 1 / 3, "press": 1 / 3}, abs=1e-4)
    assert found["support"].value == pytest.approx(1 + 6 / 2)
    assert found["depth"].value == pytest.approx(0.5)


def test_only_tasks_of_the_speakers_role_are_predicted():
    teacher, student, unknown = predict(served(begun()), [said("a"), said("b", "student"), said("c", "unknown")])
    assert set(teacher) == {"move", "support", "depth"}
    assert set(student) == {"claim", "support", "depth"}
    assert set(unknown) == {"support", "depth"}


def test_what_was_taught_is_predicted():
    weights = served(folded(begun(), 1, 40))
    for move, text in MOVES.items():
        ((found),) = predict(weights, [said(text, before=[("student", "twelve")])])
        assert found["move"].probabilities is not None
        assert max(found["move"].probabilities, key=found["move"].probabilities.get) == move  # type: ignore[arg-type]  # a key for max


def test_nothing_is_predicted_of_nothing():
    assert predict(served(begun()), []) == []


def test_what_rounds_to_nothing_is_written_without_a_sign():
    assert str(rounded(np.array([-0.00001, 0.5, -0.5]))) == "[0.0, 0.5, -0.5]"

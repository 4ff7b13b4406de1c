"""Quality before labels: an estimate from confidence, exact where confidence keeps its meaning, and checked later."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learners.estimate import FEWEST, WINDOW, Estimate, Guess
from schemas.prediction import Output

SURE, UNSURE = 0.975, 0.525  # the middles of two bins


def output(confidence: float) -> Output:
    return Output(probabilities={"open": confidence, "closed": 1 - confidence})


def taught(n: int, sure_right: float, unsure_right: float) -> Estimate:
    """``n`` labels at either confidence, of which such shares were right."""
    estimate = Estimate()
    for confidence, right in ((SURE, sure_right), (UNSURE, unsure_right)):
        for k in range(n):
            estimate.labelled("question", "open" if k < right * n else "closed", output(confidence))
    return estimate


def test_the_estimate_is_how_often_such_confidence_was_right_not_the_confidence() -> None:
    """Overconfident: of what it says at .975 60 % is right, at .525 20 %; nine in ten unlabelled ones are unsure."""
    estimate = taught(2_000, 0.6, 0.2)
    for confidence, n in ((SURE, 100), (UNSURE, 900)):
        for _ in range(n):
            estimate.asked("question", output(confidence))
    assert estimate.summary()["question"]["calibrated"] == pytest.approx(0.1 * 0.6 + 0.9 * 0.2, abs=1e-3)


def test_the_threshold_is_passed_by_as_many_labelled_as_were_right() -> None:
    """Right are (.6 + .2) / 2 = .4 of the labelled; those are the surest, four fifths of the sure half."""
    estimate = taught(2_000, 0.6, 0.2)
    for confidence, n in ((SURE, 500), (UNSURE, 500)):
        for _ in range(n):
            estimate.asked("question", output(confidence))
    assert estimate.summary()["question"]["thresholded"] == pytest.approx(0.5 * 0.8)


def test_where_the_truth_comes_later_as_before_the_error_is_near_zero_and_where_it_moved_it_says_by_how_much() -> None:
    draw, estimate = random.Random(1), Estimate()
    for n in range(2 * WINDOW):
        right = draw.random() < (0.8 if n < WINDOW else 0.5)
        estimate.labelled("question", "open" if right else "closed", output(SURE))
        if n == WINDOW - 1:
            steady = estimate.summary()["question"]["calibrated_error"]
    assert abs(steady) < 3 * (0.8 * 0.2 / WINDOW) ** 0.5 + FEWEST / WINDOW * 0.1
    assert estimate.summary()["question"]["calibrated_error"] > 0.03


def test_coverage_is_labels_a_prediction_for_tasks_of_numbers_too() -> None:
    estimate = Estimate()
    for n in range(100):
        estimate.asked("depth", Output(value=0.5))
        if n % 4 == 0:
            estimate.labelled("depth", 0.7, Output(value=0.5))
    assert estimate.summary() == {"depth": {"coverage": 0.25}}


def test_no_estimate_before_enough_labels() -> None:
    estimate = Estimate()
    for _ in range(FEWEST - 1):
        estimate.asked("question", output(SURE))
        estimate.labelled("question", "open", output(SURE))
    assert "calibrated" not in estimate.summary()["question"]


@given(st.lists(st.tuples(st.floats(0.5, 1), st.booleans(), st.booleans()), max_size=200))
def test_estimates_are_shares(seen: list[tuple[float, bool, bool]]) -> None:
    estimate = Estimate()
    for confidence, right, labelled in seen:
        estimate.asked("question", output(confidence))
        if labelled:
            estimate.labelled("question", "open" if right else "closed", output(confidence))
    for found in estimate.summary().values():
        assert all(0 <= found.get(name, 0) <= 1 for name in ("coverage", "calibrated", "thresholded"))


def test_counts_stay_bounded() -> None:
    estimate = Estimate()
    for _ in range(3 * WINDOW):
        estimate.asked("question", output(SURE))
        estimate.labelled("question", "open", output(SURE))
    guess = estimate.tasks["question"]
    assert isinstance(guess, Guess)
    assert max(guess.predictions, sum(guess.labelled), guess.judged) <= 2 * WINDOW

"""Figures of many tables at once are those of each, and a difference is known better than what it is between."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from learners import confusion
from learners.bootstrap import Interval
from learners.paired import Floats, Paired, in_words, macro_f1, matthews
from learners.tasks import Task
from schemas.prediction import Output

CLASSES = ("none", "closed", "open")
TASK = Task(name="question", kind="categorical", classes=CLASSES)
tables = arrays(np.float64, (4, 3, 3), elements=st.integers(0, 30).map(float))


def matrix_of(table: Floats) -> confusion.Matrix:
    return {a: {b: int(table[i, j]) for j, b in enumerate(CLASSES)} for i, a in enumerate(CLASSES)}


@given(found=tables)
def test_the_figures_of_many_tables_are_those_of_each(found: Floats) -> None:
    for table, r, f in zip(found, matthews(found), macro_f1(found, 0), strict=True):
        assert r == pytest.approx(confusion.matthews(matrix_of(table)))
        assert f == pytest.approx(confusion.macro(confusion.f1_by_class(matrix_of(table)), "none"))


def says(name: str) -> dict[str, Output]:
    return {"question": Output(probabilities={each: float(each == name) for each in CLASSES})}


def judged(n: int, better: float) -> Paired:
    """Two ways that fail on the same labels, but the second knows a share ``better`` of those."""
    draw, paired = random.Random(1), Paired((TASK,), 2)
    for number in range(n):
        label, other = draw.sample(CLASSES, 2)
        first = label if draw.random() < 0.5 else other
        second = label if draw.random() < better else first
        paired.add(f"lesson {number % 200}", {"question": label}, [says(first), says(second)])
    return paired


def test_a_way_that_knows_more_is_better_and_the_other_way_round_worse() -> None:
    assert in_words(judged(2_000, 0.1).difference("question", 1, seed=1)) == "better"
    assert in_words(Interval(-0.1, -0.2, -0.01)) == "worse"


def test_a_way_that_says_the_same_shows_no_difference() -> None:
    found = judged(500, 0.0).difference("question", 1, seed=1)
    assert found == Interval(0, 0, 0)
    assert in_words(found) == "no difference shown"


def test_the_difference_is_that_of_the_values() -> None:
    paired = judged(500, 0.1)
    difference = paired.difference("question", 1, seed=1).value
    assert difference == pytest.approx(paired.value("question", 1) - paired.value("question", 0))


def test_a_label_that_one_way_does_not_answer_counts_for_none() -> None:
    paired = judged(100, 0.1)
    before = paired.tables["question"].sum()
    paired.add("lesson", {"question": "open"}, [says("open"), {}])
    paired.add("lesson", {"depth": 0.5}, [says("open"), says("open")])
    assert paired.tables["question"].sum() == before
    assert set(paired.tables) == {"question"}

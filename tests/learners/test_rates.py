"""Learning rates have bounds, whatever the metrics do."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learners.rates import HIGHEST, LOWEST, SCALE, UP, begun, paced
from learners.settings import LearningSettings
from learners.step import step
from tests.learners.cases import SMALL, example, moves, said
from tests.learners.cases import begun as model_begun

PLATEAU = LearningSettings(schedule="plateau", schedule_steps=50)
COSINE = LearningSettings(schedule="cosine", schedule_steps=100)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=200), st.sampled_from(["plateau", "cosine"]))
def test_the_scale_stays_within_its_bounds_whatever_the_losses_do(losses, schedule):
    settings, pace = replace(PLATEAU, schedule=schedule), begun()
    for step_, loss in enumerate(losses):
        pace = paced(pace, loss, step_, settings)
        assert np.float32(LOWEST) <= pace[SCALE] <= HIGHEST


@pytest.mark.parametrize("losses", [[1.0] * 5000, [2.0**n for n in range(900)], [1.0, 9.0] * 2000])
def test_the_rates_of_a_step_stay_within_a_tenth_and_three_times_their_base(losses):
    pace = begun()
    for step_, loss in enumerate(losses):
        pace = paced(pace, loss, step_, PLATEAU)
    assert np.float32(LOWEST) <= pace[SCALE] <= HIGHEST


def test_a_loss_that_no_longer_falls_lowers_the_scale_to_its_least():
    pace = begun()
    for step_ in range(5000):
        pace = paced(pace, 1.0, step_, PLATEAU)
    assert pace[SCALE] == np.float32(LOWEST)


def test_a_loss_that_jumps_raises_the_scale():
    pace = begun()
    for step_ in range(20):
        pace = paced(pace, 1.0 / (step_ + 1), step_, PLATEAU)
    jumped = paced(pace, 100.0, 20, PLATEAU)
    assert jumped[SCALE] == pytest.approx(UP * pace[SCALE])


def test_a_constant_schedule_is_no_schedule():
    pace = begun()
    assert paced(pace, 5.0, 1, LearningSettings()) is pace


@pytest.mark.parametrize(("step_", "way"), [(0, 0.0), (50, 0.5), (100, 1.0), (500, 1.0)])
def test_a_cosine_falls_from_one_to_its_least(step_: int, way: float):
    found = paced(begun(), 1.0, step_, COSINE)[SCALE]
    assert found == pytest.approx(LOWEST + (1 - LOWEST) * (1 + math.cos(math.pi * way)) / 2)


def test_a_step_scales_a_group_and_says_so():
    settings = replace(SMALL, schedule="cosine", schedule_steps=10, warm_up_steps=0)
    model = model_begun(settings)
    for _ in range(10):
        model, progress = step(model, moves(0, 6), (), np.ones(6, np.float32))
    assert progress.rates["group.move"] == pytest.approx(LOWEST * settings.group_rates["move"], rel=1e-5)
    assert progress.rates["group.class"] == settings.group_rates["class"]


def test_a_task_that_only_replayed_examples_know_holds_no_other_task_of_its_group_up():
    settings = replace(SMALL, schedule="cosine", schedule_steps=10, warm_up_steps=0)
    claim = example("claim", said("because it is twelve", "student"), claim=("reason",))
    model = model_begun(settings)
    for _ in range(10):
        model, progress = step(model, moves(0, 6), [claim], np.ones(7, np.float32))
    assert progress.rates["group.move"] == pytest.approx(LOWEST * settings.group_rates["move"], rel=1e-5)

"""Convergence, early stop and falling are functions of a history of scores."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learners.stopping import KEPT, StoppingSettings, alerts, remembered, should_stop, verdicts
from schemas.errors import ConfigurationError

SETTINGS = StoppingSettings(patience=5, least_gain=0.01, window=4, flat=0.01, drop=0.1)
RISING = [0.1 * n for n in range(10)]
scores = st.lists(st.floats(0, 1), max_size=100)


def said(history: Sequence[float]) -> list[tuple[int, str]]:
    """Every alert as the history grows, with how many scores there were."""
    kept: tuple[float, ...] = ()
    found = []
    for number, score in enumerate(history, 1):
        kept = remembered(kept, score)
        found += [(number, alert) for alert in alerts(kept, SETTINGS)]
    return found


def test_scores_that_rise_raise_no_alert() -> None:
    assert said(RISING) == []
    assert not should_stop(RISING, SETTINGS)


def test_a_plateau_converges_once_and_then_stops_early_once() -> None:
    history = [*RISING, *[RISING[-1]] * 20]
    assert said(history) == [
        (len(RISING) + SETTINGS.window, "converged"),  # the window holds the last rise until it is out, and once more
        (len(RISING) + SETTINGS.patience, "early-stop"),
    ]


def test_a_gain_below_the_least_is_no_new_best() -> None:
    creeping = [0.5 + 0.009 * (n % 2) for n in range(SETTINGS.patience + 1)]
    assert "early-stop" in verdicts(creeping, SETTINGS)


def test_a_new_best_starts_the_wait_anew() -> None:
    waited = [0.5] * SETTINGS.patience
    assert "early-stop" not in verdicts([*waited, 0.6], SETTINGS)
    assert "early-stop" in verdicts([*waited, 0.6, *[0.6] * SETTINGS.patience], SETTINGS)


def test_falling_takes_two_scores_well_below_the_best() -> None:
    assert "falling" not in verdicts([0.5, 0.9, 0.7], SETTINGS)
    assert "falling" in verdicts([0.5, 0.9, 0.7, 0.75], SETTINGS)


def test_what_ceased_is_said_again_when_it_comes_again() -> None:
    fall = [0.9, 0.7, 0.7]
    assert [alert for _, alert in said([*fall, 0.9, 0.7, 0.7])].count("falling") == 2


@given(history=scores)
def test_no_more_of_a_history_is_looked_at_than_is_kept(history: list[float]) -> None:
    kept: tuple[float, ...] = ()
    for score in history:
        kept = remembered(kept, score)
    assert len(kept) <= KEPT
    assert verdicts(kept, SETTINGS) == verdicts(history, SETTINGS)


@given(history=scores, shift=st.integers(-3, 3))
def test_decisions_depend_on_differences_alone(history: list[float], shift: int) -> None:
    coarse = [round(score * 64) / 64 for score in history]  # exact in binary, so that shifting rounds nothing
    settings = StoppingSettings(patience=5, least_gain=1 / 64, window=4, flat=0.011, drop=0.11)
    assert verdicts(coarse, settings) == verdicts([score + shift for score in coarse], settings)


def test_a_score_that_is_not_finite_was_not_measured() -> None:
    assert remembered((0.5,), math.nan) == (0.5,)


@pytest.mark.parametrize(("name", "value"), [("patience", 1), ("window", KEPT), ("flat", -0.1), ("drop", math.nan)])
def test_settings_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=name):
        StoppingSettings(**{name: value})  # type: ignore[arg-type]  # the range is what is tested

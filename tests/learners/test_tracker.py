"""The tracker says how the eight targets stand, keeps no more than it must, and goes on from its bytes."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learners.bootstrap import Interval
from learners.judged import Judged
from learners.probing import SHARE, Probing
from learners.stopping import MOST
from learners.tasks import default_tasks
from learners.tracker import ADAPTATION_STEPS, Standing, Tracker, TrackerSettings, standing
from schemas.feedback import LabelValue
from schemas.prediction import Output

TASKS = default_tasks()
QUICK = TrackerSettings(window=50, draws=60)
TARGETS = {
    "open_question_accuracy": 0.85,
    "scaffolding_macro_f1": 0.80,
    "class_correlation": 0.75,
    "wait_time_appropriateness": 0.70,
    "retention": 0.90,
    "adaptation_steps": 50,
    "expert_agreement": 0.80,
    "cross_modal_consistency": 0.75,
}
UNITS = {f"i{n}": f"lesson {n // 2}" for n in range(10)}


def lesson(n: int, seed: int = 1) -> list[Judged]:
    """Questions of several lessons, about two of three answered rightly."""
    draw, found = random.Random(seed), []
    for number in range(n):
        label, other = draw.sample(("none", "closed", "open"), 2)
        said = label if draw.random() < 2 / 3 else other
        labels: dict[str, LabelValue] = {"question_type": label, "emotional_support": float(draw.randint(1, 7))}
        outputs = {
            "question_type": Output(probabilities={said: 0.7, "rest": 0.3}),
            "emotional_support": Output(value=draw.uniform(1, 7)),
        }
        found.append(Judged(f"lesson {number % 7}", f"i{number}", "ann", labels, outputs))
    return found


def watched(n: int, settings: TrackerSettings = QUICK) -> Tracker:
    tracker = Tracker(TASKS, settings)
    for number, judged in enumerate(lesson(n)):
        tracker.observe(judged)
        tracker.probe(50 * number, {item: n % 3 > 0 for n, item in enumerate(UNITS)}, UNITS)
        tracker.mark(50 * number)
    return tracker


def by_name(tracker: Tracker) -> Mapping[str, Standing]:
    return {one.name: one for one in tracker.report(seed=1)}


def test_there_are_eight_targets_and_without_labels_none_is_met_or_missed() -> None:
    found = Tracker(TASKS, QUICK).report(seed=1)
    assert {one.name: one.target for one in found} == TARGETS
    assert all(one.value is one.met is one.shown is None for one in found)


def test_a_value_lies_within_its_interval_over_lessons() -> None:
    found = by_name(watched(50))["open_question_accuracy"]
    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.value <= found.high
    assert found.units == 7


def test_only_the_last_window_counts() -> None:
    tracker, fresh = watched(70), Tracker(TASKS, QUICK)
    for judged in lesson(70)[-QUICK.window :]:
        fresh.observe(judged)
    assert by_name(tracker)["expert_agreement"].value == by_name(fresh)["expert_agreement"].value


@settings(deadline=None, max_examples=15)
@given(n=st.integers(0, 60), cut=st.integers(0, 60))
def test_a_tracker_goes_on_from_its_bytes(n: int, cut: int) -> None:
    stored, whole = (Tracker(TASKS, QUICK) for _ in range(2))
    for number, judged in enumerate(lesson(n)):
        if number == cut:
            stored = Tracker.from_bytes(stored.to_bytes(), TASKS, QUICK)
        for tracker in (stored, whole):
            tracker.observe(judged)
            tracker.probe(number, {item: (number + i) % 3 > 0 for i, item in enumerate(UNITS)}, UNITS)
            tracker.mark(number)
    assert stored.to_bytes() == whole.to_bytes()


def test_the_bytes_of_other_tasks_are_refused() -> None:
    with pytest.raises(ValueError, match="other tasks"):
        Tracker.from_bytes(watched(3).to_bytes(), TASKS[:3], QUICK)


def test_a_history_grows_no_longer_than_its_limit_and_ends_with_the_last_value() -> None:
    tracker = watched(10)
    for step in range(3 * MOST):
        tracker.mark(step)
    found = by_name(tracker)["open_question_accuracy"]
    assert len(found.history) <= MOST
    assert found.history[-1] == (3 * MOST - 1, found.value)


def test_a_target_is_shown_only_where_the_worse_end_of_the_interval_meets_it() -> None:
    at = Interval(0.86, 0.84, 0.88)
    assert standing("f1", 0.85, at, 9, 9, {}).met
    assert not standing("f1", 0.85, at, 9, 9, {}).shown
    assert standing("steps", 50, Interval(40, 30, 50), 9, 9, {}, less_is_better=True).shown
    assert not standing("steps", 50, Interval(40, 30, 60), 9, 9, {}, less_is_better=True).shown


def test_the_correlation_with_class_stands_beside_what_observers_reach() -> None:
    found = standing("class_correlation", 0.75, Interval(0.44, 0.4, 0.5), 9, 9, {}, ceiling=0.55)
    assert found.of_ceiling == pytest.approx(0.44 / 0.55)


def test_a_standing_as_json_has_no_numbers_that_json_has_not() -> None:
    for one in watched(3).report(seed=1):
        assert not any(isinstance(v, float) and not math.isfinite(v) for v in one.to_dict().values())


def asked(*scores: float) -> Probing:
    """A probe of ten items, asked every 50 steps, of which the first so many are right."""
    probing = Probing()
    for number, score in enumerate(scores, 1):
        probing.ask(50 * number, {item: n < 10 * score for n, item in enumerate(UNITS)}, UNITS)
    return probing


def test_what_is_retained_is_what_was_right_at_the_best_and_still_is() -> None:
    probing = asked(0.5, 0.8, 0.6)
    assert probing.retention(1, draws=50, level=0.95).value == pytest.approx(6 / 8)


def test_new_knowledge_does_not_pay_for_what_was_forgotten() -> None:
    probing = Probing()
    items = list(UNITS)
    probing.ask(50, {item: n < 5 for n, item in enumerate(items)}, UNITS)
    probing.ask(100, {item: n >= 5 for n, item in enumerate(items)}, UNITS)
    assert probing.retention(1, draws=50, level=0.95).value == 0


def test_adaptation_ends_at_the_first_asking_that_reaches_its_share_of_the_target() -> None:
    probing = asked(0.2, 0.6, 0.7, 0.9)
    assert SHARE * probing.target == pytest.approx(0.68)
    assert probing.episodes() == [150]


def test_every_beginning_is_an_episode_of_its_own() -> None:
    probing = asked(0.7, 0.7, 0.2, 0.4, 0.9, 0.1)
    probing.begin(0)
    probing.begin(100)
    probing.begin(275)
    assert probing.episodes() == [50, 150, math.inf]
    assert probing.adaptation(1, draws=50, level=0.95).value == 150


def test_who_never_adapted_has_missed_the_target() -> None:
    tracker = Tracker(TASKS, QUICK)
    tracker.probe(ADAPTATION_STEPS, dict.fromkeys(UNITS, False), UNITS)
    found = by_name(tracker)["adaptation_steps"]
    assert (found.value, found.met, found.parts["not_reached"]) == (None, False, 1)

"""Curate's judgement: of errors, of what the model is told, of how late labels are; the same however it is batched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NoReturn

import pytest
from builders import MODEL, START_S, Room, Teller, consent, curation, event
from hypothesis import given, settings
from hypothesis import strategies as st

from learners.population import Population, PopulationSettings
from schemas import topics
from schemas.drift import Drift
from schemas.envelope import derive_id
from schemas.interaction import Payload
from schemas.prediction import Example, ExampleInput
from state.store import Put
from streams.curate import Curate
from streams.judge import DELAYS, SHIFT, Judge

QUICK = PopulationSettings(pane=25, reference=4, numbers=4, recent=3)


def example(n: int, text: str = "why is that", sure: float = 0.9, **more: Any) -> Example:
    seen = ExampleInput(session="s", role="teacher", payload=Payload(text=text), learner=more.pop("learner", None))
    given: dict[str, Any] = {
        "kind": "label", "model": MODEL, "session": "s", "interaction": f"i{n}", "feedback": f"f{n}", "rater": "r",
        "labels": {"move": "press"}, "predicted": Teller(sure).outputs("teacher"), "delay_s": 60.0,
        "input": seen, "arrived_ms": int(START_S * 1000),
    }  # fmt: skip
    return Example(**{**given, **more})


def judged(examples: Iterable[Example], judge: Judge | None = None) -> Judge:
    found = judge or Judge.load({}, {}, ())
    for n, data in enumerate(examples):
        found.hear(data.feedback, data, START_S + n)
        found.meet(data.feedback, data, START_S + n)
    found.settle()
    return found


def drifts(judge: Judge) -> list[Drift]:
    return [output.data for output in judge.drifts(MODEL) if isinstance(output.data, Drift)]


def quick() -> Judge:
    judge = Judge.load({}, {}, ())
    judge.population = Population(QUICK)
    return judge


def test_an_input_that_changed_becomes_a_drift_that_says_what_how_much_how_sure_and_where_to_look() -> None:
    calm = [example(n, text=" ".join(f"w{n * k % 7}" for k in range(8))) for n in range(200)]
    changed = [example(n, text=f"v{n % 2} v3 v4 v5 v6") for n in range(200, 260)]
    found = [drift for drift in drifts(judged([*calm, *changed], quick())) if drift.detector == "mmd"]
    (drift,) = found
    assert (drift.task, drift.cohort, drift.part, drift.alarm) == ("input", "all", "words", True)
    assert drift.effect is not None
    assert drift.effect >= QUICK.effect
    assert drift.p_value is not None
    assert drift.p_value <= QUICK.alpha
    assert {int(id_[1:]) >= 200 for id_ in drift.look_at} == {True}


def test_errors_that_fall_are_told_of_without_an_alarm_and_errors_that_rise_with_one() -> None:
    sure = [0.05] * 300 + [0.95] * 300 + [0.05] * 300
    found = drifts(judged(example(n, sure=share) for n, share in enumerate(sure)))
    moves = [drift for drift in found if drift.task == "move"]
    assert {drift.alarm for drift in moves} == {True, False}
    assert all(drift.alarm == (drift.after > drift.before) for drift in moves)
    assert all(drift.effect == drift.after - drift.before for drift in moves)


def test_an_interaction_with_several_labels_is_looked_at_once() -> None:
    assert judged([example(n, interaction="one") for n in range(10)]).population.n == 1


def test_the_words_of_those_who_do_not_consent_are_not_looked_at() -> None:
    here = Room(Curate(curation(consent="opt-in")))
    said = [event(example(n, learner=who), derive_id("example", f"f{n}")) for n, who in enumerate(("kim", "lee"))]
    here.take(consent("kim", granted=True), *said)
    assert Population.from_bytes(here.shelf.values[SHIFT]).n == 1


def test_a_drift_of_the_input_is_published_once_under_an_id_of_its_own() -> None:
    judge = quick()
    outputs = list(judged((example(n, text="a b" if n < 200 else "c d e f") for n in range(400)), judge).drifts(MODEL))
    assert outputs
    assert {output.topic for output in outputs} == {topics.DRIFT}
    assert len({output.id for output in outputs}) == len(outputs)


def stored(judge: Judge) -> dict[str, bytes]:
    return {write.key: write.value for write in judge.writes() if isinstance(write, Put)}


@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(0, 120), max_size=3))
def test_what_is_kept_does_not_depend_on_how_examples_were_batched(cuts: Sequence[int]) -> None:
    every = [example(n, text=f"w{n % 5} w{n % 3}", delay_s=float(n % 90)) for n in range(120)]
    values: dict[str, bytes] = {}
    edges = [0, *sorted(cuts), len(every)]
    for first, last in pairwise(edges):
        judge = Judge.load(values, {}, ("move",))
        for n in range(first, last):
            judge.hear(every[n].feedback, every[n], START_S + n)
            judge.meet(every[n].feedback, every[n], START_S + n)
        values |= stored(judge)
    assert values == stored(judged(every))
    assert {DELAYS, SHIFT} <= values.keys()


class Asked(dict[str, bytes]):
    """Values that may be asked for by name and not be looked through: there may be millions."""

    def items(self) -> NoReturn:
        """Not with so many."""
        raise AssertionError("all were looked through")

    __iter__ = keys = values = items


def test_no_more_is_looked_at_than_what_belongs_to_the_tasks() -> None:
    values = Asked(stored(judged([example(1), example(2)])))
    assert set(Judge.load(values, {}, ("move", "depth")).monitor.watches) == {"move"}


def test_a_reference_that_cannot_be_restored_begins_anew() -> None:
    judge = judged([example(1)], Judge.load({SHIFT: b"of another version"}, {}, ()))
    assert judge.population.n == 1


def late(now_s: int = 2_000) -> Judge:
    """Items come every second from the beginning; labels of ``none`` after 10 s, of ``press`` after 500 s."""
    judge = Judge.load({}, {}, ())
    delays = {"none": 10, "press": 500}
    due = sorted((at + delays[name], at, name) for at in range(now_s) for name in delays if at + delays[name] <= now_s)
    for when, at, name in due:
        judge.delays.update("move", name, START_S + at, float(when - at))
    return judge


def test_soon_after_a_change_labels_of_a_late_class_weigh_more_and_labels_of_items_before_it_weigh_one() -> None:
    judge = late()
    judge.delays.restart(START_S + 1_000)
    heavy, light = (judge.delay_weight({"move": name}, START_S + 1_400) for name in ("press", "none"))
    assert heavy > 1.5 * light
    assert judge.delay_weight({"move": "press"}, START_S + 900) == 1


@pytest.mark.parametrize("labels", [{}, {"depth": 0.5}, {"other": "class"}])
def test_labels_without_known_delays_weigh_one(labels: dict[str, Any]) -> None:
    assert late().delay_weight(labels, START_S + 1_500) == 1


def test_a_label_from_the_far_future_takes_no_other_delay_out_of_the_count() -> None:
    judge = judged(example(n) for n in range(40))
    judge.hear("late", example(40), START_S + 1e9)
    judge.hear("after", example(41), START_S + 41)
    judge.settle()
    assert sum(n for pane in judge.delays.tasks["move"].panes.values() for n in pane["press"].values()) == 42


def test_an_alarm_is_a_new_beginning_for_the_weights() -> None:
    judge = judged(example(n, sure=0.95 if n < 300 else 0.05) for n in range(600))
    assert any(drift.alarm for drift in drifts(judge))
    assert judge.delays.began >= START_S + 300

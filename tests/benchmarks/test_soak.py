"""The soak's lessons are new people all the time, at the rate asked for; its verdict is what its figures say."""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from datetime import timedelta
from itertools import islice
from math import log
from pathlib import Path
from statistics import NormalDist

import pytest

from benchmarks.soak import check
from benchmarks.soak_lessons import STAFF, WINDOW_S, lessons, per_lesson_s
from benchmarks.soak_summary import Result, drawn, kind, slopes, summary, warm_up_minutes
from benchmarks.soak_watch import Look, of_process, size
from schemas import topics
from schemas.errors import ConfigurationError
from schemas.feedback import Feedback
from schemas.interaction import Interaction
from streams.audit import Audit, audit
from streams.engines.memory import ManualClock, MemoryLog
from streams.play import Played
from streams.schedule import START, Classroom
from streams.simulated import MEDIAN_DELAY_S, SIGMA

HORIZON_S, AT_ONCE, LASTS_S = 120.0, 20, WINDOW_S


@pytest.fixture(scope="module")
def said() -> list[Classroom]:
    """Lessons for ``LASTS_S`` of event time."""
    enough = round(1.5 * LASTS_S * AT_ONCE * per_lesson_s(0))
    end = START + timedelta(seconds=LASTS_S)
    return [one for one in islice(lessons(0, AT_ONCE, "oakfield", START), enough) if one.envelope.time < end]


def lesson(event: Classroom) -> int:
    return int(event.data.session.rpartition("-")[2])


def test_lessons_are_under_way_when_it_begins(said: list[Classroom]) -> None:
    begun = {lesson(one) for one in said if one.envelope.time < START + timedelta(seconds=60)}
    assert len(begun) > 1
    assert said[0].envelope.time >= START


def test_a_learner_comes_to_one_lesson_and_an_expert_to_a_hundred(said: list[Classroom]) -> None:
    met, judged = defaultdict(set), defaultdict(set)
    for event in said:
        if isinstance(event.data, Interaction) and event.data.learner is not None:
            met[event.data.learner].add(lesson(event))
        elif isinstance(event.data, Feedback):
            judged[event.data.rater].add(lesson(event) // STAFF)
    assert {len(of_learner) for of_learner in met.values()} == {len(of_rater) for of_rater in judged.values()} == {1}


def test_hardly_anything_is_said_twice(said: list[Classroom]) -> None:
    texts = [one.data.payload.text for one in said if isinstance(one.data, Interaction)]
    assert len(set(texts)) > 0.95 * len(texts)


def test_so_many_lessons_at_once_make_the_rate_that_is_asked_for(said: list[Classroom]) -> None:
    assert len(said) / LASTS_S == pytest.approx(AT_ONCE * per_lesson_s(0), rel=0.01)  # the same lessons, counted twice


def test_half_of_all_judgements_come_beyond_the_horizon(said: list[Classroom]) -> None:
    when = {one.id: one.envelope.time for one in said if isinstance(one.data, Interaction)}
    waits = [
        (one.envelope.time - when[one.data.interaction]).total_seconds()
        for one in said
        if isinstance(one.data, Feedback)
        and one.data.judgement.kind != "retraction"  # which come later still
        and when.get(one.data.interaction, START + timedelta(seconds=LASTS_S)) < START + timedelta(seconds=LASTS_S / 2)
    ]
    beyond = 1 - NormalDist(log(MEDIAN_DELAY_S), SIGMA).cdf(log(HORIZON_S))
    assert beyond == 0.5
    assert sum(wait > HORIZON_S for wait in waits) / len(waits) == pytest.approx(beyond, abs=0.05)


def asked(minutes: float = 30.0, horizon_s: float = HORIZON_S, warm_up: float | None = None) -> argparse.Namespace:
    return argparse.Namespace(minutes=minutes, horizon_s=horizon_s, warm_up_minutes=warm_up, every_s=5.0)


def test_the_warm_up_is_a_third_of_the_time_and_at_least_five_horizons() -> None:
    assert warm_up_minutes(asked(minutes=60)) == 60 / 3
    assert warm_up_minutes(asked(minutes=12)) == 5 * HORIZON_S / 60
    assert warm_up_minutes(asked(warm_up=1.5)) == 1.5


def test_what_leaves_too_few_looks_is_refused_before_it_begins() -> None:
    check(asked())
    with pytest.raises(ConfigurationError, match="--minutes"):
        check(asked(minutes=10))


def looks(*, rises: str = "", by: float = 1.0) -> list[Look]:
    """Half an hour of looks at series that are level, but for the one that rises by so much an hour."""
    level = {"session.rss_mb": 100.0, "session.files": 30.0, "session.lag": 5.0, "redis.memory_mb": 9.0,
             "kafka.disk_mb": 1.0}  # fmt: skip
    times = [5.0 * n for n in range(1, 361)]
    return [Look(at, {name: base + by * at / 3600 * (name == rises) for name, base in level.items()}) for at in times]


def result(seen: list[Look], **more: object) -> Result:
    log_ = MemoryLog(ManualClock())
    log_.create(topics.ALL, lambda topic: 1)
    nothing: Audit = audit(log_, "oakfield", "default")
    whole: dict[str, object] = {
        "sustainable_per_s": 20.0, "played": Played(100, 80, 180, 18.0), "restarts": 0, "caught_up": True,
        "audit": nothing,
    }  # fmt: skip
    return Result(**{**whole, "looks": seen, **more})  # type: ignore[arg-type]  # each of its own type


def test_level_series_hold() -> None:
    told = summary(result(looks()), asked())
    assert told["holds"]
    assert told["together"]
    assert told["sent_per_s"] == (100 + 80) / 18.0


@pytest.mark.parametrize("name", ["session.rss_mb", "session.files", "session.lag", "redis.memory_mb"])
def test_it_does_not_hold_if_a_series_of_the_bar_rises(name: str) -> None:
    told = summary(result(looks(rises=name, by=3.0)), asked())
    found = {one["name"]: one for one in told["rows"]}  # type: ignore[attr-defined]  # a list of rows
    assert not told["holds"]
    assert found[name]["slope_per_hour"] == pytest.approx(3.0)
    assert [other for other, one in found.items() if not one["contains_zero"]] == [name]


def test_what_is_told_beside_the_bar_may_rise() -> None:
    told = summary(result(looks(rises="kafka.disk_mb")), asked())
    (beside,) = told["beside"]  # type: ignore[misc]  # a list of rows
    assert (beside["name"], beside["contains_zero"], told["holds"]) == ("kafka.disk_mb", False, True)


@pytest.mark.parametrize("wrong", [{"restarts": 1}, {"caught_up": False}])
def test_it_does_not_hold_if_a_role_died_or_was_left_behind(wrong: dict[str, object]) -> None:
    assert not summary(result(looks(), **wrong), asked())["holds"]


def test_what_was_seen_during_the_warm_up_is_in_no_slope() -> None:
    whole = looks()
    jump = [Look(one.at_s, {**one.values, "session.files": 99.0}) if one.at_s < 600 else one for one in whole]
    assert slopes(jump, 600.0) == slopes(whole, 600.0)


def test_memory_and_lag_are_drawn_over_time() -> None:
    assert set(drawn(looks())) == {"soak-rss_mb", "soak-memory_mb", "soak-lag"}
    assert kind("session.rss_mb") == "rss_mb"


def test_a_process_has_memory_open_files_and_threads(tmp_path: Path) -> None:
    before = of_process(os.getpid())
    with (tmp_path / "one").open("w") as file:
        file.write("four")
        assert of_process(os.getpid())["files"] == before["files"] + 1
    assert (size(tmp_path), before["threads"] >= 1, before["rss_mb"] > 1) == (4.0, True, True)

"""Lessons on one clock, and each judgement some time after what it judges."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import NormalDist, median, stdev
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import decode, encode
from schemas.errors import ConfigurationError
from schemas.feedback import Feedback
from schemas.interaction import Interaction, Payload
from schemas.topics import FEEDBACK, INTERACTION
from streams.readers.form import Recorded
from streams.schedule import LONGEST_BREAK_S, START, Classroom, Judged, Play, Said, delay_s, play, schedule, uniform

STEP_S = 10.0


def lessons(count: int, length: int, *, labelled: bool = True) -> Iterator[Recorded]:
    for lesson in range(count):
        for position in range(length):
            yield Recorded(
                Interaction(session=f"lesson-{lesson}", role="teacher", payload=Payload(text="Why?")),
                id=f"lesson-{lesson}-{position}",
                session=f"lesson-{lesson}",
                time_s=STEP_S * position,
                labels=(("teacher_move", "press_for_reasoning"),) if labelled else (),
            )


def interactions(events: list[Classroom]) -> dict[str, datetime]:
    return {event.id: event.envelope.time for event in events if isinstance(event.data, Interaction)}


def feedbacks(events: list[Classroom]) -> list[tuple[Feedback, datetime]]:
    return [(event.data, event.envelope.time) for event in events if isinstance(event.data, Feedback)]


def test_events_arrive_in_the_order_of_their_time() -> None:
    times = [event.envelope.time for event in schedule(lessons(9, 30), seed=1, in_flight=4)]
    assert times == sorted(times)


def test_every_interaction_and_every_label_arrives_once() -> None:
    events = list(schedule(lessons(9, 30), seed=1, in_flight=4))
    assert len(interactions(events)) == 9 * 30
    assert len({event.id for event in events}) == len(events) == 2 * 9 * 30


def test_feedback_follows_its_interaction() -> None:
    events = list(schedule(lessons(9, 30), seed=1, in_flight=4))
    began = interactions(events)
    assert all(time > began[feedback.interaction] for feedback, time in feedbacks(events))


def test_the_same_seed_gives_the_same_events_and_another_gives_others() -> None:
    assert list(schedule(lessons(3, 9), seed=1)) == list(schedule(lessons(3, 9), seed=1))
    assert list(schedule(lessons(3, 9), seed=1)) != list(schedule(lessons(3, 9), seed=2))


def test_a_delay_does_not_depend_on_what_else_is_played() -> None:
    def delays(count: int, in_flight: int) -> dict[str, timedelta]:
        events = list(schedule(lessons(count, 9), seed=1, in_flight=in_flight))
        began = interactions(events)
        return {f.interaction: time - began[f.interaction] for f, time in feedbacks(events)}

    few, many = delays(2, 1), delays(8, 5)
    for interaction, delay in few.items():
        assert abs(many[interaction] - delay) <= timedelta(milliseconds=1)  # two roundings to the millisecond


def test_delays_are_log_normal() -> None:
    logs = [math.log(delay_s(1, str(n), 120.0, 1.0)) for n in range(4000)]
    error = 1 / math.sqrt(len(logs))  # of a mean with sigma 1; the median's is 1.2533 times, the deviation's 0.71 times
    assert abs(median(logs) - math.log(120.0)) < 4 * 1.2533 * error
    assert abs(stdev(logs) - 1.0) < 4 * 0.71 * error


@given(st.integers(), st.text(max_size=20), st.floats(0.0, 3.0))
def test_a_delay_is_the_quantile_of_its_uniform_number(seed: int, name: str, sigma: float) -> None:
    z = math.log(delay_s(seed, name, 120.0, sigma) / 120.0)
    assert z == pytest.approx(sigma * NormalDist().inv_cdf(uniform(seed, name)), abs=1e-9)


def test_lessons_run_side_by_side_and_no_more_than_in_flight() -> None:
    running: Counter[str] = Counter()
    most = 0
    for event in schedule(lessons(12, 50, labelled=False), seed=3, in_flight=4):
        running[event.envelope.subject] += 1
        most = max(most, sum(0 < n < 50 for n in running.values()))
    assert 2 <= most <= 4


def test_a_lesson_begins_within_a_break_of_the_end_of_another() -> None:
    began = interactions(list(schedule(lessons(6, 20, labelled=False), seed=3, in_flight=1)))
    ends = [(began[f"lesson-{n}-19"], began[f"lesson-{n + 1}-0"]) for n in range(5)]
    assert all(timedelta(0) < begin - end < timedelta(seconds=LONGEST_BREAK_S) for end, begin in ends)


def test_a_lesson_keeps_its_pace() -> None:
    began = interactions(list(schedule(lessons(3, 20), seed=3)))
    for lesson in range(3):
        times = [began[f"lesson-{lesson}-{position}"] for position in range(20)]
        assert {later - earlier for earlier, later in pairwise(times)} == {timedelta(seconds=STEP_S)}


@pytest.mark.parametrize("events", [0, 1, 57])
def test_a_limit_counts_interactions_and_lets_all_their_feedback_come(events: int) -> None:
    limited = list(schedule(lessons(9, 30), seed=1, events=events))
    began = interactions(limited)
    assert list(began) == list(interactions(list(schedule(lessons(9, 30), seed=1))))[:events]
    assert Counter(feedback.interaction for feedback, _ in feedbacks(limited)) == Counter(began.keys())


def test_no_more_lessons_are_read_than_are_in_flight() -> None:
    read = 0

    def counted() -> Iterator[Recorded]:
        nonlocal read
        for one in lessons(100, 10):
            read += 1
            yield one

    next(schedule(counted(), seed=1, in_flight=5))
    assert read <= 5 * 10 + 1  # and the first of the next, by which a lesson's end is known


def test_a_session_in_two_pieces_is_refused() -> None:
    pieces = [*lessons(2, 3), *lessons(1, 3)]
    with pytest.raises(ConfigurationError, match="session lesson-0 is in two pieces"):
        list(schedule(pieces, seed=1))


def test_no_lesson_in_flight_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="in_flight is 0"):
        list(schedule(lessons(1, 1), seed=1, in_flight=0))


def test_nothing_recorded_is_nothing_played() -> None:
    assert list(schedule([], seed=1)) == []


def test_one_rater_labels_a_lesson_and_a_label_s_id_is_a_function_of_what_it_judges() -> None:
    one = [event for event in schedule(lessons(2, 9), seed=1) if isinstance(event.data, Feedback)]
    two = [event for event in schedule(lessons(2, 9), seed=2) if isinstance(event.data, Feedback)]
    assert {event.id for event in one} == {event.id for event in two}
    raters: dict[str, set[str]] = {}
    for event in one:
        raters.setdefault(event.data.session, set()).add(event.data.rater)
    assert all(len(names) == 1 for names in raters.values())


def test_the_clock_tenant_and_source_are_the_caller_s() -> None:
    start = datetime(2030, 1, 1, tzinfo=UTC)
    first = next(schedule(lessons(1, 1), seed=1, start=start, tenant="oakfield", source="recorded/x"))
    assert start <= first.envelope.time < start + timedelta(seconds=LONGEST_BREAK_S)
    assert (first.envelope.tenant, first.envelope.source) == ("oakfield", "recorded/x")


def test_every_event_survives_the_codec() -> None:
    for event in schedule(lessons(2, 5), seed=1):
        topic = INTERACTION if isinstance(event.data, Interaction) else FEEDBACK
        assert decode(topic, event.envelope.headers(), encode(event.data)) == event


def test_an_interaction_that_lags_arrives_after_feedback_that_is_later_in_event_time() -> None:
    data: Any = Interaction(session="s", role="teacher", payload=Payload(text="Why?"))
    feedback = Feedback.model_validate(
        {"session": "s", "interaction": "i", "rater": "r", "judgement": {"kind": "rating", "value": 4}}
    )
    said = Said("i", 0.0, data, (Judged("f", 20.0, feedback),), lag_s=60.0)
    early, late = play([[said]], Play(seed=1))
    assert (early.id, late.id) == ("f", "i")
    assert early.envelope.time - late.envelope.time == timedelta(seconds=20)
    assert late.envelope.time >= START

"""Interactions are scored with the context that came before them, and batches do not show in what comes out."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from builders import (
    DAY_S,
    HORIZON_S,
    MODEL,
    START_S,
    Room,
    Teller,
    append,
    classroom_log,
    label,
    of,
    only,
    published,
    records,
    retraction,
    said,
    session_processor,
    session_role,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import topics
from schemas.envelope import Origin
from schemas.event import Data, Event
from schemas.interaction import Payload, Timing, Turn
from schemas.prediction import DeadLetter, Example, ExampleInput, Fate, Prediction
from state.memory import MemoryStore
from streams.engines.memory import ManualClock, MemoryEngine
from streams.message import Message
from streams.metrics import Metrics
from streams.processor import Output, message

TURNS = session_processor(Teller()).scoring.turns


def room(teller: Teller | None = None, horizon_s: float = HORIZON_S) -> Room:
    return Room(session_processor(teller or Teller(), horizon_s))


def seen_by_model(room: Room, interaction: str) -> ExampleInput:
    """What the model saw of an interaction, as a label's example tells."""
    example = only(room.take(label(f"about-{interaction}", interaction)), Example)
    assert example.input is not None
    return example.input


def texts(seen: ExampleInput) -> list[str]:
    return [turn.text for turn in seen.payload.context or ()]


def test_a_prediction_quotes_the_model_that_made_it() -> None:
    teller = Teller(0.75)
    (output,) = room(teller).take(said("i1"))
    assert isinstance(output.data, Prediction)
    assert (output.data.version, output.data.outputs) == (teller.version, teller.outputs("teacher"))
    assert (output.data.interaction, output.data.model) == ("i1", MODEL)
    assert output.causes == (Origin(topics.INTERACTION.name, 0, 0),)


def test_context_is_filled_from_the_session_s_last_turns() -> None:
    here = room()
    for n in range(TURNS + 2):
        here.take(said(f"i{n}", f"sentence {n}"))
    assert texts(seen_by_model(here, f"i{TURNS + 1}")) == [f"sentence {n}" for n in range(1, TURNS + 1)]


def test_context_within_a_batch_is_as_between_batches() -> None:
    apart, together = room(), room()
    lesson = [said(f"i{n}", f"sentence {n}") for n in range(TURNS + 2)]
    for one in lesson:
        apart.take(one)
    together.take(*lesson)
    for n in range(TURNS + 2):
        assert seen_by_model(apart, f"i{n}") == seen_by_model(together, f"i{n}")


def test_another_session_s_turns_are_no_context() -> None:
    here = room()
    here.take(said("i0", "elsewhere", session="another"), said("i1", "here"))
    assert texts(seen_by_model(here, "i1")) == []


@pytest.mark.parametrize("brought", [(), (Turn(role="student", text="twelve"),)])
def test_an_app_s_own_context_is_kept_even_if_it_is_empty(brought: tuple[Turn, ...]) -> None:
    here = room()
    here.take(said("i0", "before"), said("i1", payload=Payload(text="after", context=brought)))
    assert texts(seen_by_model(here, "i1")) == [turn.text for turn in brought]


def test_the_silence_before_an_utterance_is_the_time_since_the_last_one_began() -> None:
    here = room()
    here.take(said("i0", timing=Timing(at_s=10.0)), said("i1", timing=Timing(at_s=14.5)))
    assert seen_by_model(here, "i1").timing.gap_s == 14.5 - 10.0


def test_a_silence_that_the_app_measured_is_kept() -> None:
    here = room()
    here.take(said("i0", timing=Timing(at_s=10.0)), said("i1", timing=Timing(at_s=14.5, gap_s=1.0)))
    assert seen_by_model(here, "i1").timing.gap_s == 1.0


def test_a_clock_that_goes_back_makes_no_negative_silence() -> None:
    here = room()
    here.take(said("i0", timing=Timing(at_s=10.0)), said("i1", timing=Timing(at_s=4.0)))
    assert seen_by_model(here, "i1").timing.gap_s == 0.0


def test_a_repeated_interaction_is_a_duplicate_and_no_second_turn_of_the_context() -> None:
    here = room()
    once = said("i0", "once")
    here.take(once)
    assert only(here.take(once), Fate).fate == "duplicate"
    here.take(said("i1"))
    assert texts(seen_by_model(here, "i1")) == ["once"]


def test_an_interaction_repeated_within_a_batch_is_a_duplicate() -> None:
    once = said("i0", "once")
    outputs = room().take(once, once)
    assert [type(output.data) for output in outputs] == [Fate, Prediction]
    assert of(outputs, Fate)[0].origin == f"{topics.INTERACTION.name}/0/1"


@pytest.mark.parametrize("together", [True, False])
def test_an_interaction_that_reuses_an_id_is_a_conflict(together: bool) -> None:
    here, first, second = room(), said("i0", "one"), said("i0", "another")
    outputs = here.take(first, second) if together else [*here.take(first), *here.take(second)]
    (letter,) = of(outputs, DeadLetter)
    assert (letter.reason, letter.offset) == ("conflict", 1)
    assert len(of(outputs, Prediction)) == 1


def test_an_id_may_be_used_again_once_the_horizon_has_passed() -> None:
    here = room()
    here.take(said("i0", "one"))
    here.now += HORIZON_S
    here.take()
    assert isinstance(only(here.take(said("i0", "another")), Prediction), Prediction)


def test_what_is_remembered_of_a_session_goes_with_the_horizon() -> None:
    here = room()
    here.take(said("i0"), label("f0", "i0"), said("i1", session="another"))
    here.now += HORIZON_S
    here.take()
    assert here.shelf.values == {}


def test_a_turn_that_comes_when_the_context_is_due_is_remembered() -> None:
    here = room()
    here.take(said("i0", "long ago"))
    here.now += HORIZON_S
    here.take(said("i1", "now"))
    here.take(said("i2", "next"))
    assert texts(seen_by_model(here, "i2"))[-1] == "now"


def test_equal_batches_give_equal_plans() -> None:
    lesson = [said("i0"), label("f0", "i0"), label("f1", "i1"), retraction("f2", "i0", of="f0")]
    assert room().plan(*lesson) == room().plan(*lesson)


# Through the runner: what the screen and the codec refuse.


def letters_of(*events: Event[Data]) -> list[DeadLetter]:
    clock = ManualClock()
    log = classroom_log(clock)
    append(log, *events)
    MemoryEngine(log, MemoryStore(), session_role(), Metrics()).drain()
    dead = (topics.dlq(topics.INTERACTION), topics.dlq(topics.FEEDBACK))
    return [found.data for topic in dead for found in published(log, topic) if isinstance(found.data, DeadLetter)]


@pytest.mark.parametrize(
    "event",
    [
        label("f", "i", task="astrology"),
        label("f", "i", value="sneezing"),
        label("f", "i", value=0.5),
        label("f", "i", task="depth", value=1.5),
        said("i", at_s=0.0),
        said("i", at_s=START_S + DAY_S + 1),
        label("f", "i", at_s=START_S + DAY_S + 1),
    ],
    ids=["task", "class", "kind", "range", "past", "future", "feedback of the future"],
)
def test_what_cannot_be_is_a_dead_letter(event: Event[Data]) -> None:
    (letter,) = letters_of(event)
    assert (letter.reason, letter.topic, letter.offset) == ("unusable", event.data.TYPE, 0)


@pytest.mark.parametrize("at_s", [946_684_800.0, START_S + DAY_S])
def test_times_from_2000_to_a_day_ahead_are_taken(at_s: float) -> None:
    assert letters_of(said("i", at_s=at_s)) == []


def test_an_unreadable_record_is_a_dead_letter_and_its_neighbours_are_taken() -> None:
    log = classroom_log(ManualClock())
    append(log, said("i0"))
    log.append_raw(topics.INTERACTION.name, 0, b"lesson", b"\x00not json", records(log, topics.INTERACTION)[0].headers)
    append(log, said("i1"))
    MemoryEngine(log, MemoryStore(), session_role(), Metrics()).drain()
    assert [e.data.interaction for e in published(log, topics.PREDICTION) if isinstance(e.data, Prediction)] == [
        "i0",
        "i1",
    ]
    (letter,) = published(log, topics.dlq(topics.INTERACTION))
    assert isinstance(letter.data, DeadLetter)
    assert (letter.data.reason, letter.data.offset) == ("undecodable", 1)


# Cuts: events of both topics, each in its order, in batches of any size.

IDS = st.sampled_from(["a", "b"])
RATERS = st.sampled_from(["r1", "r2"])
FEEDBACK_IDS = st.sampled_from(["f1", "f2", "f3", "f4"])
INTERACTIONS = st.builds(
    said, id=IDS, text=st.sampled_from(["why?", "so"]), role=st.sampled_from(["teacher", "student"])
)
LATE = st.sampled_from([START_S + 60, START_S + HORIZON_S + DAY_S])
LABELS = st.builds(
    label, FEEDBACK_IDS, IDS, st.sampled_from(["press", "none"]), rater=RATERS, at_s=st.just(START_S + 60) | LATE
)
RETRACTIONS = st.builds(retraction, FEEDBACK_IDS, IDS, of=FEEDBACK_IDS, rater=RATERS)
LESSONS = st.tuples(st.lists(INTERACTIONS, max_size=4), st.lists(LABELS | RETRACTIONS, max_size=8))


@st.composite
def cuts(draw: st.DrawFn, interactions: int, feedbacks: int) -> list[tuple[int, int]]:
    """How many of each topic every batch takes, until all are taken."""
    found = []
    while interactions or feedbacks:
        taken = draw(st.integers(0, interactions)), draw(st.integers(0, feedbacks))
        found.append(taken)
        interactions, feedbacks = interactions - taken[0], feedbacks - taken[1]
        if len(found) == 12:
            found.append((interactions, feedbacks))
            break
    return found


def decided(
    interactions: Sequence[Event[Data]], feedbacks: Sequence[Event[Data]], batches: Sequence[tuple[int, int]]
) -> tuple[list[Message], dict[str, bytes]]:
    """All that was published, in no order, and all that is remembered."""
    here = room()
    outputs: list[Output] = []
    first, second = list(interactions), list(feedbacks)
    for some, more in batches:
        outputs += here.take(*first[:some], *second[:more])
        del first[:some], second[:more]
    sent = [message(output, "oakfield", "/test", 0, dict.fromkeys(topics.BY_NAME, 1)) for output in outputs]
    return sorted(sent, key=lambda m: (m.topic, m.id, m.value)), here.shelf.values


@settings(max_examples=250, deadline=None)
@given(LESSONS, st.data())
def test_outcomes_do_not_depend_on_how_the_log_was_cut_into_batches(
    lesson: tuple[list[Event[Data]], list[Event[Data]]], data: st.DataObject
) -> None:
    interactions, feedbacks = lesson
    batches = data.draw(cuts(len(interactions), len(feedbacks)))
    whole, kept = decided(interactions, feedbacks, [(len(interactions), len(feedbacks))])
    parts, kept_of_parts = decided(interactions, feedbacks, batches)
    assert parts == whole
    assert kept_of_parts == kept


@settings(max_examples=100, deadline=None)
@given(LESSONS)
def test_every_input_has_one_outcome_or_waits(lesson: tuple[list[Event[Data]], list[Event[Data]]]) -> None:
    interactions, feedbacks = lesson
    here = room()
    outputs = here.take(*interactions, *feedbacks)
    here.now += HORIZON_S
    outputs += here.take()
    causes = sorted(str(cause) for output in outputs for cause in output.causes)
    inputs = [f"{topics.INTERACTION.name}/0/{n}" for n in range(len(interactions))]
    inputs += [f"{topics.FEEDBACK.name}/0/{n}" for n in range(len(feedbacks))]
    assert causes == sorted(inputs)

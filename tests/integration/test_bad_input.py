"""Whatever arrives, the partition moves on and nothing disappears: on a real Kafka and a real Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from town import Town, allow, town

from schemas import codec, topics
from schemas.envelope import Envelope, Origin
from schemas.event import Data, Event
from schemas.feedback import Feedback, Label, LabelValue, Retraction
from schemas.interaction import Interaction, Payload
from schemas.prediction import Example, Fate, Prediction

pytestmark = [pytest.mark.kafka, pytest.mark.redis]

TEN_MB = 10_000_000
GOOD = codec.encode(Interaction(session="s", role="teacher", payload=Payload(text="Why is that?")))


@pytest.fixture(scope="module")
def here(kafka: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with town(kafka, redis_url, tmp_path_factory.mktemp("blobs")) as found:
        allow(kafka, topics.INTERACTION, 2 * TEN_MB)
        yield found


def said(session: str = "s") -> Interaction:
    return Interaction(session=session, role="teacher", payload=Payload(text="Why do you think so?"))


def judged(
    interaction: str, value: LabelValue = "revoicing", task: str = "teacher_move", rater: str = "r1"
) -> Feedback:
    return Feedback(
        session="s", interaction=interaction, rater=rater, judgement=Label(kind="label", task=task, value=value)
    )


Change = Callable[[Envelope], Envelope]


@pytest.mark.parametrize(
    ("value", "change", "reason"),
    [
        pytest.param(b"{not json", lambda e: e, "undecodable", id="not JSON"),
        pytest.param(GOOD.replace(b'"teacher"', b"7"), lambda e: e, "undecodable", id="a field of another type"),
        pytest.param(GOOD, lambda e: replace(e, type="edu.feedback.v1"), "undecodable", id="an event of another type"),
        pytest.param(GOOD, lambda e: replace(e, type="edu.interaction.v2"), "unknown-version", id="an unknown type"),
        pytest.param(
            GOOD, lambda e: replace(e, schema_version="2.0"), "unknown-version", id="an unknown major version"
        ),
        pytest.param(b'{"role":"teacher"}', lambda e: e, "undecodable", id="a missing field"),
        pytest.param(GOOD[:-2] + b',"clarity":NaN}}', lambda e: e, "undecodable", id="NaN"),
        pytest.param(GOOD[:-2] + b',"clarity":Infinity}}', lambda e: e, "undecodable", id="infinity"),
        pytest.param(b"x" * TEN_MB, lambda e: e, "too-large", id="ten megabytes"),
        pytest.param(
            GOOD, lambda e: replace(e, time=datetime.now(UTC) + timedelta(days=400)), "unusable", id="the far future"
        ),
        pytest.param(GOOD, lambda e: replace(e, time=datetime(1970, 1, 2, tzinfo=UTC)), "unusable", id="the far past"),
    ],
)
def test_what_cannot_be_used_is_a_dead_letter_that_says_where_it_stood(
    here: Town, value: bytes, change: Change, reason: str
) -> None:
    made = here.event(said())

    origin = here.send(Event(change(made.envelope), made.data), value)

    letter = here.dead_letter(origin)
    assert (letter.topic, letter.partition, letter.offset) == (origin.topic, origin.partition, origin.offset)
    assert letter.reason == reason
    assert letter.value_bytes == len(value)


def test_a_null_value_is_a_dead_letter(here: Town) -> None:
    origin = here.send_raw(topics.INTERACTION, "s", None, here.event(said()).envelope)

    assert here.dead_letter(origin).value is None


def test_a_record_without_headers_is_a_dead_letter(here: Town) -> None:
    origin = here.send_raw(topics.INTERACTION, "s", GOOD, None)

    assert "ce_specversion" in here.dead_letter(origin).detail


@pytest.mark.parametrize(("task", "value"), [("no_such_task", "revoicing"), ("teacher_move", "no_such_class")])
def test_an_unknown_task_or_class_is_a_dead_letter(here: Town, task: str, value: str) -> None:
    origin = here.send(here.event(judged("i-any", value, task)))

    assert here.dead_letter(origin).reason == "unusable"


def test_after_all_of_these_the_partition_moves_on(here: Town) -> None:
    origin = here.send(here.event(said()))

    assert codec.decode_data(Prediction, here.outcome(topics.PREDICTION, origin).value or b"").session == "s"


def test_an_event_that_is_sent_twice_counts_once_and_has_a_fate(here: Town) -> None:
    made = here.event(said(), id="i-twice")
    first, again = here.send(made), here.send(made)

    assert here.outcome(topics.PREDICTION, first).header("ce_id")
    assert codec.decode_data(Fate, here.outcome(topics.FATE, again).value or b"").fate == "duplicate"


def test_an_id_with_other_content_is_a_dead_letter_and_the_first_stands(here: Town) -> None:
    first = here.send(here.event(said(), id="i-other"))
    other = here.send(here.event(Interaction(session="s", role="student", payload=Payload(text="No")), id="i-other"))

    assert here.outcome(topics.PREDICTION, first).header("ce_id")
    assert here.dead_letter(other).reason == "conflict"


def test_two_raters_who_contradict_each_other_both_stand_and_are_named(here: Town) -> None:
    here.outcome(topics.PREDICTION, here.send(here.event(said(), id="i-contradicted")))
    here.outcome(topics.EXAMPLE, here.send(here.event(judged("i-contradicted", "revoicing"), id="f-one")))
    second = here.send(here.event(judged("i-contradicted", "restating", rater="r2"), id="f-two"))

    example = codec.decode_data(Example, here.outcome(topics.EXAMPLE, second).value or b"")
    assert example.contradicts == ("f-one",)


def test_feedback_that_comes_first_is_joined_when_its_interaction_comes(here: Town) -> None:
    early = here.send(here.event(judged("i-late"), id="f-early"))
    here.send(here.event(said(), id="i-late"))

    example = codec.decode_data(Example, here.outcome(topics.EXAMPLE, early).value or b"")
    assert (example.interaction, example.feedback) == ("i-late", "f-early")


def test_a_retraction_reaches_curate_as_an_example_that_takes_back(here: Town) -> None:
    here.send(here.event(said(), id="i-regret"))
    here.outcome(topics.EXAMPLE, here.send(here.event(judged("i-regret"), id="f-regret")))
    taking_back = Feedback(
        session="s", interaction="i-regret", rater="r1", judgement=Retraction(kind="retraction", feedback="f-regret")
    )
    origin = here.send(here.event(taking_back))

    example = codec.decode_data(Example, here.outcome(topics.EXAMPLE, origin).value or b"")
    assert (example.kind, example.retracts) == ("retraction", "f-regret")


def test_what_was_learned_here_was_served_here(here: Town) -> None:
    origin = here.send(here.event(judged("i-served"), id="f-served"))
    here.send(here.event(said(), id="i-served"))
    example_at = _origin_of(here, origin)

    request = here.outcome(topics.TRAIN_REQUEST, example_at)

    step = here.outcome(topics.TRAIN_STEP, request.origin)
    here.wait_for(topics.PREDICTION, lambda record: _version(record) > 0 or _poke(here))
    assert step.header("ce_type") == "edu.train-step.v1"


def test_feedback_whose_interaction_never_comes_expires_with_a_fate(
    kafka: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with town(kafka, redis_url, tmp_path_factory.mktemp("blobs"), horizon_days=1 / 86_400) as impatient:
        origin = impatient.send(impatient.event(judged("i-never")))

        assert codec.decode_data(Fate, impatient.outcome(topics.FATE, origin).value or b"").fate == "expired"


def _origin_of(here: Town, cause: Origin) -> Origin:
    return here.outcome(topics.EXAMPLE, cause).origin


def _version(record: object) -> int:
    value = getattr(record, "value", None) or b""
    return int(codec.decode_data(Prediction, value).version.rsplit(":", 1)[1])


def _poke(here: Town) -> bool:
    """Another interaction, so that the model that serves now is asked."""
    data: Data = said()
    here.send(here.event(data))
    return False

"""Over real servers: a session role that is behind leaves out optional work, joins every label, and catches up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from stand import eventually
from town import Town, empty_town

from schemas import codec, topics
from schemas.interaction import Interaction, Payload
from schemas.prediction import Prediction
from streams.message import Record
from streams.shedding import LADDER

pytestmark = [pytest.mark.kafka, pytest.mark.redis]

EVENTS, AFTER_S = 200, 0.5
BEYOND_S = AFTER_S * 2 ** (len(LADDER) - 1)  # older than that an interaction has all that is optional left out


@pytest.fixture
def here(kafka: str, redis_url: str, tmp_path: Path) -> Iterator[Town]:
    with empty_town(kafka, redis_url, tmp_path, batch=20, shed_after_s=AFTER_S) as found:
        yield found


def prediction(record: Record) -> Prediction:
    data = codec.decode(topics.PREDICTION, record.headers, record.value).data
    assert isinstance(data, Prediction)
    return data


def shed_of_the_next(here: Town, number: int) -> tuple[str, ...]:
    """What the prediction of an interaction lacks that comes now."""
    data = Interaction(session="later", role="teacher", payload=Payload(text=f"why is that? {number}"))
    return prediction(here.outcome(topics.PREDICTION, here.send(here.event(data)))).shed


def test_a_backlog_is_predicted_without_what_is_optional_and_with_every_label_then_all_is_as_before(here: Town) -> None:
    here.play(EVENTS)
    newest = max(record.timestamp_ms for record in here.records(topics.INTERACTION)) / 1000
    eventually(lambda: time.time() - newest > BEYOND_S, "the backlog is old")
    here.start("session", "curate", "worker")
    found = here.settle()
    assert {prediction(record).shed for record in here.records(topics.PREDICTION)} == {LADDER}
    assert found.ok, (found.verdict, found.findings)
    led_nowhere = [
        r for r in here.records(topics.FATE) if (r.header("ce_causes") or "").startswith(topics.FEEDBACK.name)
    ]
    assert found.examples + found.waiting + len(led_nowhere) == found.feedback
    numbers = iter(range(1_000))
    eventually(lambda: shed_of_the_next(here, next(numbers)) == (), "who has caught up leaves nothing out")

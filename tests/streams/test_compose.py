"""A train request is a function of what it holds."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from builders import MODEL, SMALL

from learners.request import NEW, REPLAYED, decode_request
from learners.settings import LearningSettings
from schemas import topics
from schemas.codec import decode, encode, manifest
from schemas.envelope import Origin, derive_id
from schemas.interaction import Payload
from schemas.prediction import ExampleInput
from schemas.training import TrainExample, TrainRequest
from streams.compose import Chosen, genesis_request, step_request
from streams.processor import Output, message

CAUSES = (Origin(topics.EXAMPLE.name, 0, 3), Origin(topics.EXAMPLE.name, 0, 4))
TIME = datetime(2026, 1, 5, tzinfo=UTC)


def example(name: str) -> Chosen:
    seen = ExampleInput(session="lesson", role="teacher", payload=Payload(text=f'"{name}", ünïcode \\'))
    made = TrainExample(
        id=name, interaction=f"i-{name}", feedback=name, rater="ann", input=seen, labels={"move": "press"}
    )
    return Chosen.of(made)


def request(seed: int = 7) -> Output:
    return step_request(MODEL, [example("a"), example("b")], [example("c").again(3)], [0.25], seed, TIME, CAUSES)


def test_a_request_is_named_after_its_newest_example() -> None:
    assert request().id == derive_id("request", "b")


def test_a_request_carries_manifest_and_weights_in_one_value() -> None:
    found, weights = decode_request(request().value or b"")
    assert found == request().data
    assert ([e.id for e in found.new], [e.id for e in found.replayed]) == (["a", "b"], ["c"])
    np.testing.assert_array_equal(weights[NEW], np.ones(2, np.float32))
    np.testing.assert_array_equal(weights[REPLAYED], np.array([0.25], np.float32))


def test_the_copied_json_of_its_examples_is_what_would_be_written_anew() -> None:
    for output in (request(), step_request(MODEL, [example("a").again(0)], [], [], 7, TIME, CAUSES)):
        assert manifest(output.value) == encode(output.data)


def test_equal_requests_are_equal_bytes() -> None:
    assert request().value == request().value != request(seed=8).value


def test_a_request_is_an_event_of_its_topic() -> None:
    sent = message(request(), "oakfield", "/currere/oakfield/curate", 0, {topics.TRAIN_REQUEST.name: 1})
    event = decode(topics.TRAIN_REQUEST, sent.headers, sent.value)
    assert (event.envelope.causes, event.envelope.time, event.data) == (CAUSES, TIME, request().data)


def test_a_genesis_holds_the_settings_that_begin_a_model() -> None:
    output = genesis_request(MODEL, SMALL, 7)
    found = TrainRequest.model_validate_json(manifest(output.value))
    assert (found.kind, found.seed, output.causes) == ("genesis", 7, ())
    assert LearningSettings.from_dict(found.settings or {}) == SMALL


def test_the_same_genesis_is_the_same_record_and_another_seed_another() -> None:
    assert genesis_request(MODEL, SMALL, 7) == genesis_request(MODEL, SMALL, 7)
    assert genesis_request(MODEL, SMALL, 7).id != genesis_request(MODEL, SMALL, 8).id

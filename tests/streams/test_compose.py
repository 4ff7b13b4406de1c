"""A train request is a function of what it holds."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from builders import MODEL, SMALL
from hypothesis import given
from hypothesis import strategies as st

from learners.entry import MemorySettings
from learners.request import NEW, REPLAYED, decode_request
from learners.settings import LearningSettings
from schemas import topics
from schemas.codec import decode, encode, manifest
from schemas.envelope import Origin, derive_id
from schemas.interaction import Payload
from schemas.prediction import ExampleInput
from schemas.training import TrainExample, TrainRequest
from streams.compose import Chosen, genesis_request, probe_request, sample_weights, step_request
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


def test_a_probe_is_named_after_its_newest_example_and_has_no_weights() -> None:
    output = probe_request(MODEL, [example("a"), example("b")], 7, TIME, CAUSES)
    found, weights = decode_request(output.value or b"")
    assert (found, found.kind, weights) == (output.data, "probe", {})
    assert (output.id, output.causes) == (derive_id("probe", "b"), CAUSES)


def by(rater: str, learner: str | None = None, importance: float = 0.5) -> TrainExample:
    given = example("a").example
    seen = given.input.model_copy(update={"learner": learner})
    return given.model_copy(update={"rater": rater, "input": seen, "importance": importance})


TRUSTED = {"ann": 1.0, "bob": 0.5, "cid": 0.8}.__getitem__
UNCAPPED = MemorySettings(learner_share=1.0, rater_share=1.0)


def test_a_new_example_weighs_the_product_of_what_speaks_for_it() -> None:
    settings = MemorySettings(learner_share=1.0, rater_share=1.0, importance_power=0.5)
    new = [by("ann", importance=0.9), by("bob", importance=0.1)]
    first, again = sample_weights(settings, new, [by("bob")], [0.6], TRUSTED, delays=[1.0, 2.0])
    mean = (0.9 + 0.1) / 2
    assert first == pytest.approx([(0.9 / mean) ** 0.5 * 1.0 * 1.0, (0.1 / mean) ** 0.5 * 0.5 * 2.0])
    assert again == pytest.approx([0.6 * 0.5]), "what is replayed keeps its own correction"


def test_without_reasons_to_differ_every_weight_is_as_it_was() -> None:
    first, again = sample_weights(MemorySettings(), [by("ann")] * 3, [by("ann")] * 2, [1.0, 0.25], TRUSTED)
    assert (first, again) == ([1.0] * 3, [1.0, 0.25])


NAMES = st.sampled_from(["ann", "bob", "cid"])
PEOPLE = st.lists(st.builds(by, NAMES, st.sampled_from([None, "kim", "lee"])), max_size=12)


@given(PEOPLE, PEOPLE, st.sampled_from([0.3, 0.5]), st.floats(0.1, 2.0))
def test_no_rater_has_more_than_its_share_of_the_gradient_and_nothing_grows(
    new: list[TrainExample], replayed: list[TrainExample], share: float, replay_share: float
) -> None:
    settings = MemorySettings(rater_share=share)
    corrections = [1.0] * len(replayed)
    first, again = sample_weights(settings, new, replayed, corrections, TRUSTED, replay_share)
    free = sample_weights(UNCAPPED, new, replayed, corrections, TRUSTED, replay_share)
    assert all(0 <= w <= whole for w, whole in zip([*first, *again], [*free[0], *free[1]], strict=True))
    parts = [w / len(new) for w in first] + [w * replay_share / len(replayed) for w in again]
    raters = [one.rater for one in (*new, *replayed)]
    cap = max(share, 1 / max(len(set(raters)), 1))
    for rater in set(raters):
        held = sum(part for part, one in zip(parts, raters, strict=True) if one == rater)
        assert held <= cap * sum(parts) * (1 + 1e-6)


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

from __future__ import annotations

import numpy as np
import pytest

from learners.delta import apply_delta, delta_parts, no_changes
from learners.fold import fold
from learners.model import served, served_digest, trained_digest
from learners.snapshot import restore, snapshot
from schemas.errors import ModelRefused, UnusableEvent
from schemas.training import TrainRequest
from tests.learners.cases import begun, example, folded, genesis_request, moves, ones, said, step_request

MORE = step_request(moves(100, 4), moves(0, 2))


def reset_to(version: str) -> TrainRequest:
    return TrainRequest(kind="reset", model="main", seed=0, reason="worse", version=version)


def test_an_interrupted_fold_gives_the_bytes_of_an_uninterrupted_one():
    whole = folded(begun(), 1, 8)
    resumed = folded(restore(snapshot(folded(begun(), 1, 5))), 6, 8)
    assert trained_digest(resumed) == trained_digest(whole)


def test_a_step_reports_what_it_learned_from():
    model, report = fold(folded(begun(), 1, 2), MORE, ones(MORE), "more", 7)
    event = report.event
    assert (event.model, event.version, event.request, event.offset) == ("main", model.version, "more", 7)
    assert event.applied
    assert event.new == tuple(e.id for e in MORE.new)
    assert event.replayed == tuple(e.id for e in MORE.replayed)
    assert event.losses["total"] > 0
    assert {"raw", "clipped"} <= set(event.norms)
    assert model.next_offset == 8


def test_a_repeated_request_is_no_part_of_the_fold():
    model, _ = fold(folded(begun(), 1, 2), MORE, ones(MORE), "more", 3)
    digest = trained_digest(model)
    model, report = fold(model, MORE, ones(MORE), "more", 4)
    assert not report.event.applied
    assert trained_digest(model) == digest
    assert model.next_offset == 5


def test_a_new_example_that_was_folded_before_is_no_part_of_a_step():
    repeated = step_request((*moves(100, 4), *moves(8, 2)), moves(0, 2))  # 8 and 9 were new in request 2
    with_repeats, report = fold(folded(begun(), 1, 2), repeated, ones(repeated), "more", 3)
    without, _ = fold(folded(begun(), 1, 2), MORE, ones(MORE), "more", 3)
    assert report.event.new == tuple(e.id for e in moves(100, 4))
    assert trained_digest(with_repeats) == trained_digest(without)


def test_a_new_example_that_comes_twice_in_a_request_is_folded_once():
    twice = step_request((*moves(100, 4), *moves(100, 1)), moves(0, 2))
    _, report = fold(folded(begun(), 1, 2), twice, ones(twice), "more", 3)
    assert report.event.new == tuple(e.id for e in moves(100, 4))


def test_a_replayed_example_may_recur():
    model, report = fold(folded(begun(), 1, 2), MORE, ones(MORE), "more", 3)
    only = step_request((), moves(0, 2))
    _, report = fold(model, only, ones(only), "again", 4)
    assert report.event.applied


def test_a_genesis_begins_anew_whatever_stood_before():
    model, report = fold(folded(begun(), 1, 2), genesis_request(), {}, "second", 3)
    assert model.lineage != begun().lineage
    assert trained_digest(model) == trained_digest(begun())
    assert report.event.version == f"{model.lineage}:4"


def test_a_reset_goes_back_to_the_good_weights_and_goes_on_in_the_same_lineage():
    model = folded(begun(), 1, 3)
    good, version = snapshot(model), model.version
    model, report = fold(folded(model, 4, 6), reset_to(version), {}, "reset", 7, {version: good}.__getitem__)
    assert served_digest(model) == served_digest(restore(good))
    assert model.version == f"{restore(good).lineage}:8"
    assert report.event.applied


def test_a_reset_does_not_forget_what_was_folded():
    model = folded(begun(), 1, 3)
    good, version = snapshot(model), model.version
    model, _ = fold(folded(model, 4, 6), reset_to(version), {}, "reset", 7, {version: good}.__getitem__)
    repeated = step_request(moves(24, 4))  # new in request 6
    _, report = fold(model, repeated, ones(repeated), "late", 8)
    assert not report.event.applied


def test_a_delta_leads_across_a_reset():
    model = folded(begun(), 1, 1)
    good, version = snapshot(model), model.version
    labelled = step_request([example("deep", said("go on"), depth=0.9)])
    model, _ = fold(model, labelled, ones(labelled), "deep", 2)
    follower = served(model)
    model, report = fold(model, reset_to(version), {}, "reset", 3, {version: good}.__getitem__)
    changes = no_changes(3).and_then(report.touched)
    assert apply_delta(follower, delta_parts(model, changes, 3, 4, "main")).digest() == served_digest(model)


def test_a_reset_to_another_lineage_is_refused():
    other, _ = fold(None, genesis_request(), {}, "other", 0)
    with pytest.raises(ModelRefused, match="lineage"):
        fold(
            folded(begun(), 1, 1), reset_to(other.version), {}, "reset", 2, {other.version: snapshot(other)}.__getitem__
        )


def test_a_step_without_a_genesis_before_it_is_unusable():
    with pytest.raises(UnusableEvent, match="genesis"):
        fold(None, MORE, ones(MORE), "more", 0)


def test_a_request_before_the_models_next_offset_is_refused():
    with pytest.raises(ModelRefused, match="stands at"):
        fold(folded(begun(), 1, 4), MORE, ones(MORE), "more", 3)


def test_an_impossible_label_leaves_the_model_as_it_was():
    model = folded(begun(), 1, 2)
    digest = trained_digest(model)
    wrong = step_request([example("odd", said("hm"), move="shout")])
    with pytest.raises(UnusableEvent):
        fold(model, wrong, ones(wrong), "odd", 3)
    assert trained_digest(model) == digest
    assert "odd" not in {name.decode(errors="ignore") for name in model.folded}


def test_a_step_without_examples_or_labels_is_unusable():
    for empty in (step_request(()), step_request([example("bare", said("hm"))])):
        with pytest.raises(UnusableEvent, match="learn from"):
            fold(begun(), empty, ones(empty), "empty", 1)


def test_weights_that_do_not_fit_are_unusable():
    with pytest.raises(UnusableEvent):
        fold(begun(), MORE, {"weights.new": np.ones(1, np.float32)}, "more", 1)

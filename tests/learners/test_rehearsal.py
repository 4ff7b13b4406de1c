"""How replayed examples are learned from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from learners.rehearsal import NEVER, SLOTS, names_of, recall, rehearsed, remember, rivals, shares
from learners.step import step
from learners.targets import targets
from tests.learners.cases import MOVE, SMALL, begun, moves

ONES = np.ones(12, np.float32)


def labelled(*names: str):
    return targets(MOVE, [{"move": name} for name in names])


@pytest.mark.parametrize("replay", ["none", "a-gem"])
def test_replayed_examples_weigh_nothing_where_they_are_not_learned_from(replay):
    assert shares(np.ones(5, np.float32), 2, replace(SMALL, replay=replay)).tolist() == [0.5, 0.5, 0, 0, 0]


def test_each_part_is_a_mean_and_the_replayed_one_has_its_weight():
    found = shares(np.array([1, 2, 3, 4], np.float32), 2, replace(SMALL, replay_weight=0.5))
    assert found.tolist() == [1 / 2, 2 / 2, 0.5 * 3 / 2, 0.5 * 4 / 2]


def test_der_weighs_the_labels_of_replayed_examples_by_beta():
    settings = replace(SMALL, replay="der++", der_beta=0.25)
    assert shares(np.ones(4, np.float32), 2, settings).tolist() == [0.5, 0.5, 0.125, 0.125]


def test_under_ace_new_examples_compete_only_with_the_classes_among_the_new():
    logits, both = torch.zeros(4, 3), labelled("none", "none", "press", "restating")
    found = rivals(logits, both, 2, replace(SMALL, replay="er-ace"))
    assert found[:2].tolist() == [[0, NEVER, NEVER]] * 2
    assert found[2:].tolist() == [[0, 0, 0]] * 2
    assert rivals(logits, both, 2, SMALL).tolist() == logits.tolist()


def test_the_logits_met_are_those_of_the_first_meeting():
    state: dict[str, np.ndarray] = {}
    names, first = names_of(["a", "b"]), np.array([[1, 2, 3], [4, 5, 6]], np.float32)
    both = labelled("none", "press")
    remember(state, both, names, first, np.zeros(2, dtype=bool))
    met, known = recall(state, both, names)
    assert known.all()
    remember(state, both, names, 9 * first, known)
    assert recall(state, both, names)[0].tolist() == met.tolist() == first.tolist()


@given(st.lists(st.text(min_size=1), unique=True, min_size=1, max_size=50))
def test_recall_never_gives_the_logits_of_another_example(ids):
    state: dict[str, np.ndarray] = {}
    names, all_ = names_of(ids), labelled(*["none"] * len(ids))
    own = np.arange(3 * len(ids), dtype=np.float32).reshape(-1, 3)
    remember(state, all_, names, own, np.zeros(len(ids), dtype=bool))
    met, known = recall(state, all_, names)
    assert (met[known] == own[known]).all()
    assert len(state["met/move"]) == SLOTS


def test_der_adds_the_mean_squared_distance_to_the_logits_met():
    settings = replace(SMALL, replay="der++", der_alpha=0.5, replay_weight=1.0)
    examples, labels = moves(0, 2), [labelled("none", "press")]
    state: dict[str, np.ndarray] = {}
    before = torch.tensor([[1.0, 0.0, -1.0], [0.0, 0.0, 0.0]])
    rehearsed(state, examples, 2, labels, {"move": before}, ONES[:2], settings)
    now = {"move": before + torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])}
    parts = rehearsed(state, examples, 0, labels, now, ONES[:2], settings)
    assert parts["rehearsal"].item() == pytest.approx(0.5 * (1 / 3 + 4 / 3) / 2)


def test_what_is_met_for_the_first_time_is_not_held_against_anything():
    settings = replace(SMALL, replay="der++")
    parts = rehearsed({}, moves(0, 2), 0, [labelled("none", "press")], {"move": torch.ones(2, 3)}, ONES[:2], settings)
    assert parts["rehearsal"].item() == 0


def test_a_gem_does_not_raise_the_loss_of_what_is_replayed():
    """To first order: where new labels contradict the old, a step is at a right angle to the replayed gradient."""
    contradicting = [e.model_copy(update={"labels": {"move": "press"}}) for e in moves(0, 6)]
    losses = {}
    for replay in ("none", "a-gem"):
        model = begun(replace(SMALL, replay=replay, warm_up_steps=0, average_decay=0.0))
        for _ in range(20):
            model, _ = step(model, moves(0, 6), (), ONES[:6])
        for _ in range(3):
            model, _ = step(model, contradicting, moves(0, 6), ONES)
        _, after = step(model, moves(0, 6), (), ONES[:6])
        losses[replay] = after.losses["total"]
    assert losses["a-gem"] < losses["none"]

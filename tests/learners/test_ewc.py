"""Holding on to what mattered: the Fisher information, its accumulation and the penalty."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from learners.analyzer import Seen, heads
from learners.ewc import EDUCATIONAL, consolidate, educational_importance, fisher, information, penalty
from learners.step import step
from learners.targets import Targets, targets
from learners.tasks import Task
from tests.learners.cases import CLAIM, DEPTH, MOVE, SMALL, SUPPORT, begun, moves

DRAW = np.random.default_rng(0)
LABEL = {"move": "none", "claim": ("claim",), "support": 3, "depth": 0.5}


def seen_by(count: int, task: Task = MOVE) -> tuple[Seen, dict[str, np.ndarray]]:
    """A batch as a network of 4 inputs and 5 hidden units sees it, and the parameters of that network."""
    inputs = torch.from_numpy(DRAW.normal(size=(count, 4)).astype(np.float32))
    shapes = {"trunk.weight": (4, 5), "trunk.bias": (5,), "head": (5, task.logits), "bias": (task.logits,)}
    drawn = {name: DRAW.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    values = {"trunk.weight": drawn["trunk.weight"], "trunk.bias": drawn["trunk.bias"],
              f"head.{task.name}.weight": drawn["head"], f"head.{task.name}.bias": drawn["bias"]}  # fmt: skip
    linear = torch.from_numpy(DRAW.normal(size=(count, task.logits)).astype(np.float32))
    return Seen(inputs, inputs, {task.name: linear}), values


def labelled(count: int, task: Task = MOVE) -> Targets:
    return targets(task, [{task.name: LABEL[task.name]}] * count)


def rows_of(seen: Seen, rows: slice, task: Task = MOVE) -> Seen:
    return Seen(seen.text[rows], seen.inputs[rows], {task.name: seen.linear[task.name][rows]})


def by_definition(values: dict[str, np.ndarray], seen: Seen, task: Task) -> dict[str, np.ndarray]:
    """Every example's gradient of every outcome's log-probability, squared, weighted and averaged."""
    leaves = {name: torch.from_numpy(value).requires_grad_() for name, value in values.items()}
    total = {name: np.zeros_like(value) for name, value in values.items()}
    for n in range(len(seen.inputs)):
        one = rows_of(seen, slice(n, n + 1), task)
        logits = heads(leaves, one, [task])[task.name][0]
        if task.kind == "categorical":
            outcomes = [(p.item(), p.log()) for p in logits.softmax(dim=0)]
        else:
            outcomes = [(p.item(), p.log()) for z in logits for p in (z.sigmoid(), (-z).sigmoid())]
        for p, log_p in outcomes:
            found = torch.autograd.grad(log_p, list(leaves.values()), retain_graph=True)
            for name, gradient in zip(leaves, found, strict=True):
                total[name] += p * gradient.numpy() ** 2 / len(seen.inputs)
    return total


def test_the_fisher_information_of_logistic_regression_is_the_analytic_one():
    """The head on its hidden features is a logistic regression: X² p (1 − p), averaged."""
    seen, values = seen_by(7, DEPTH)
    hidden = np.maximum(seen.inputs.numpy() @ values["trunk.weight"] + values["trunk.bias"], 0)
    logits = hidden @ values["head.depth.weight"] + values["head.depth.bias"] + seen.linear["depth"].numpy()
    p = 1 / (1 + np.exp(-logits))
    wanted = (hidden**2 * p * (1 - p)).mean(axis=0)
    assert fisher(values, seen, labelled(7, DEPTH))["head.depth.weight"][:, 0] == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("task", [MOVE, CLAIM, SUPPORT, DEPTH], ids=lambda task: task.kind)
def test_the_fisher_information_is_that_of_its_definition(task: Task):
    seen, values = seen_by(5, task)
    found, wanted = fisher(values, seen, labelled(5, task)), by_definition(values, seen, task)
    for name, information_ in wanted.items():
        assert found[name] == pytest.approx(information_, rel=2e-3, abs=1e-5)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_the_fisher_information_does_not_depend_on_how_examples_are_batched(size: int):
    """The square of a batch's mean gradient would: it shrinks with the batch."""
    seen, values = seen_by(7)
    whole = fisher(values, seen, labelled(7))
    for name, wanted in whole.items():
        parts = []
        for at in range(0, 7, size):
            some = rows_of(seen, slice(at, at + size))
            parts.append(len(some.inputs) / 7 * fisher(values, some, labelled(len(some.inputs)))[name])
        assert sum(parts) == pytest.approx(wanted, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize(("group", "threshold", "importance"), [(g, *values) for g, values in EDUCATIONAL.items()])
def test_educational_importance_begins_past_its_threshold(group: str, threshold: float, importance: float):
    task = replace(MOVE, group=group)
    assert educational_importance(task, threshold) == 1
    assert educational_importance(task, threshold + 0.01) == importance
    assert educational_importance(task, None) == 1


def test_educational_importance_enters_once():
    seen, values = seen_by(6)
    labels = [labelled(6, replace(MOVE, group="question"))]
    plain = information({}, values, seen, labels)
    good = information({"probe.skill/move": np.array([0.9], np.float32)}, values, seen, labels)
    for name, found in plain.items():
        assert good[name] == pytest.approx(1.5 * found)


def test_what_is_held_has_mean_one_whatever_the_scale_of_the_loss():
    seen, values = seen_by(6)
    state: dict[str, np.ndarray] = {}
    consolidate(state, values, seen, [labelled(6)], decay=0.9)
    held = np.concatenate([state[f"fisher/{name}"].ravel() for name in values])
    assert held.mean() == pytest.approx(1, rel=1e-4)


def test_old_information_fades_by_the_decay_as_new_is_added():
    seen, values = seen_by(6)
    labels = [labelled(6)]
    state: dict[str, np.ndarray] = {}
    consolidate(state, values, seen, labels, decay=0.5)
    once = {name: state[f"fisher/{name}"].copy() for name in values}
    consolidate(state, values, seen, labels, decay=0.5)
    for name, first in once.items():
        assert state[f"fisher/{name}"] == pytest.approx(1.5 * first, rel=1e-4)


def test_the_penalty_is_the_weighted_square_of_the_way_from_the_anchor_and_its_gradient():
    held, anchor, value = (np.array(v, np.float32) for v in ([1.0, 2.0, 0.0], [0.5, 0.5, 0.5], [1.0, 0.0, 9.0]))
    total, pull = penalty({"fisher/p": held, "anchor/p": anchor}, {"p": value, "free": value}, 4.0)
    assert total == pytest.approx(4 / 2 * (1 * 0.25 + 2 * 0.25))
    assert pull["p"] == pytest.approx(4 * held * (value - anchor))
    assert "free" not in pull


def test_a_model_that_holds_on_moves_less_from_what_it_learned():
    moved = []
    for weight in (0.0, 100.0):
        model = begun(replace(SMALL, ewc_weight=weight, ewc_steps=0, warm_up_steps=0))
        for at in range(10):
            model, _ = step(model, moves(0, 6), (), np.ones(6, np.float32), consolidate=at == 9)
        before = model.dense["trunk.weight"].packed[0].copy()
        others = [e.model_copy(update={"labels": {"move": "press"}}) for e in moves(30, 6)]
        for _ in range(10):
            model, _ = step(model, others, (), np.ones(6, np.float32))
        held = model.state["fisher/trunk.weight"]
        moved.append(float((held * (model.dense["trunk.weight"].packed[0] - before) ** 2).sum()))
    assert moved[1] < 0.5 * moved[0]


def test_consolidation_comes_every_so_many_steps():
    model = begun(replace(SMALL, ewc_weight=1.0, ewc_steps=3))
    came = []
    for _ in range(7):
        before = model.state.get("anchor/trunk.bias")
        model, _ = step(model, moves(0, 6), (), np.ones(6, np.float32))
        came.append(model.state.get("anchor/trunk.bias") is not before)
    assert came == [False, False, True, False, False, True, False]

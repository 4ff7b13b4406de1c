"""Holding on to what mattered: elastic weight consolidation over the dense parameters, online.

    penalty = λ/2 · Σ F_i (θ_i − θ*_i)²        F ← γ F + F_new        θ* ← θ

(Kirkpatrick et al. 2017, eq. 3; Schwarz et al. 2018, section 3.2, one anchor.) F is the true Fisher information: the
expectation is over the model's own outputs, not over the labels, and squares are taken of each example's gradient, not
of a batch's mean (Kunstner et al. 2019). Its mean is one, so λ does not depend on the scale of the loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.func import jacrev, vmap

from learners.analyzer import Seen, heads
from learners.targets import Targets
from learners.tasks import Task

Floats = npt.NDArray[np.float32]
State = MutableMapping[str, npt.NDArray[Any]]
Parameters = Mapping[str, Tensor]

EDUCATIONAL: Mapping[str, tuple[float, float]] = {"question": (0.8, 1.5), "class": (0.7, 1.3), "depth": (0.6, 1.2)}


def fisher(logits_of: Callable[..., Tensor], parameters: Parameters, task: Task, *inputs: Tensor) -> dict[str, Floats]:
    """The diagonal of the Fisher information, in the shapes of ``parameters``: the mean over examples n of

        Σ_y p(y|x_n) (∂ log p(y|x_n) / ∂θ_i)²

    ``logits_of(parameters, *inputs)`` gives the logits [logits] of one example, whose inputs are rows of ``inputs``.
    """
    jacobians: dict[str, Tensor] = vmap(jacrev(logits_of), in_dims=(None, *(0 for _ in inputs)))(parameters, *inputs)
    logits = vmap(logits_of, in_dims=(None, *(0 for _ in inputs)))(parameters, *inputs)
    found = {name: _information(task, logits, jacobian) for name, jacobian in jacobians.items()}
    return {name: information.numpy() for name, information in found.items()}


def _information(task: Task, logits: Tensor, jacobian: Tensor) -> Tensor:
    """Of one parameter, from ∂z/∂θ [n, logits, ...]: ∂ log p_y is ∂z_y − Σ p ∂z for classes; each other logit is a
    coin of its own, whose information is p (1 − p) (∂z)²."""
    shape = (*logits.shape, *(1 for _ in jacobian.shape[2:]))
    if task.kind == "categorical":
        p = logits.softmax(dim=1).reshape(shape)
        return (p * (jacobian - (p * jacobian).sum(dim=1, keepdim=True)).square()).sum(dim=1).mean(dim=0)
    p = logits.sigmoid().reshape(shape)
    return (p * (1 - p) * jacobian.square()).sum(dim=1).mean(dim=0)


def educational_importance(task: Task, score: float | None) -> float:
    """What the Fisher information of ``task`` is multiplied with: more than one once its score on the probe says that
    there is something to hold on to. It enters here and nowhere else."""
    threshold, importance = EDUCATIONAL.get(task.group, (np.inf, 1.0))
    return importance if score is not None and score > threshold else 1.0


def consolidate(
    state: State, values: Mapping[str, Floats], seen: Seen, labels: Sequence[Targets], decay: float
) -> None:
    """Add what a batch says of which dense parameters matter, with mean one, and anchor them at ``values``."""
    found = information(state, values, seen, labels)
    mean = sum(float(info.sum()) for info in found.values()) / max(sum(info.size for info in found.values()), 1)
    for name, info in found.items():
        before = state.get(f"fisher/{name}", np.zeros_like(info))
        state[f"fisher/{name}"] = np.asarray(decay * before + info / np.float32(mean or 1.0), dtype=np.float32)
        state[f"anchor/{name}"] = values[name].copy()


def information(
    state: Mapping[str, npt.NDArray[Any]], values: Mapping[str, Floats], seen: Seen, labels: Sequence[Targets]
) -> dict[str, Floats]:
    """Σ_task importance · F over the tasks that the batch has labels of."""
    total: dict[str, Floats] = {}
    for given in labels:
        name, rows = given.task.name, torch.from_numpy(given.examples)
        mine = ("trunk.weight", "trunk.bias", f"head.{name}.weight", f"head.{name}.bias")
        parameters = {part: torch.from_numpy(values[part]) for part in mine}
        inputs = seen.inputs.detach()[rows], seen.linear[name].detach()[rows]
        score = state.get(f"probe.skill/{name}")
        importance = np.float32(educational_importance(given.task, None if score is None else float(score[0])))
        for part, found in fisher(partial(_logits_of_one, given.task), parameters, given.task, *inputs).items():
            total[part] = total.get(part, np.zeros_like(found)) + np.multiply(importance, found)
    return total


def _logits_of_one(task: Task, parameters: Parameters, inputs: Tensor, linear: Tensor) -> Tensor:
    one = Seen(inputs[None], inputs[None], {task.name: linear[None]})
    return heads(parameters, one, [task])[task.name][0]


def penalty(
    state: Mapping[str, npt.NDArray[Any]], values: Mapping[str, Floats], weight: float
) -> tuple[float, dict[str, Floats]]:
    """The penalty at ``values`` and its gradient λ F (θ − θ*), of the parameters that were consolidated."""
    total, gradients = 0.0, {}
    for name, value in values.items():
        if (held := state.get(f"fisher/{name}")) is not None:
            away = value - state[f"anchor/{name}"]
            gradients[name] = np.asarray(weight * held * away, dtype=np.float32)
            total += 0.5 * float(np.vdot(gradients[name], away))
    return total, gradients

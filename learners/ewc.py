"""Holding on to what mattered: elastic weight consolidation over the dense parameters, online.

    penalty = λ/2 · Σ F_i (θ_i − θ*_i)²        F ← γ F + F_new        θ* ← θ

(Kirkpatrick et al. 2017, eq. 3; Schwarz et al. 2018, section 3.2, one anchor.) F is the true Fisher information: the
expectation is over the model's own outputs, not over the labels, and squares are taken of each example's gradient, not
of a batch's mean (Kunstner et al. 2019). Its mean is one, so λ does not depend on the scale of the loss.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from learners.analyzer import Seen
from learners.targets import Targets, probabilities, sigmoid
from learners.tasks import Task

Floats = npt.NDArray[np.float32]
State = MutableMapping[str, npt.NDArray[Any]]

EDUCATIONAL: Mapping[str, tuple[float, float]] = {"question": (0.8, 1.5), "class": (0.7, 1.3), "depth": (0.6, 1.2)}


def fisher(values: Mapping[str, Floats], seen: Seen, given: Targets) -> dict[str, Floats]:
    """The diagonal of the Fisher information of one task over the trunk and its head: the mean over examples n of

        Σ_y p(y|x_n) (∂ log p(y|x_n) / ∂θ_i)²

    ∂ log p_y is ∂z_y − Σ_k p_k ∂z_k for classes; every other logit is a coin of its own, with p (1 − p) (∂z)². With one
    hidden layer h = relu(xW + b), z = hV + c, each example's squares factor, so that no example's gradient is ever
    formed: for V they are h² p (1 − p), for W x² [h > 0] Σ_y p_y (V_y − Σ_k p_k V_k)².
    """
    name, rows = given.task.name, given.examples
    x, head = seen.inputs.detach().numpy()[rows], values[f"head.{name}.weight"]
    hidden = np.maximum(x @ values["trunk.weight"] + values["trunk.bias"], 0)
    logits = hidden @ head + values[f"head.{name}.bias"] + seen.linear[name].detach().numpy()[rows]
    p = probabilities(given.task, logits) if given.task.kind == "categorical" else sigmoid(logits)
    spread = p * (1 - p)
    through = p @ (head**2).T - (p @ head.T) ** 2 if given.task.kind == "categorical" else spread @ (head**2).T
    through = through * (hidden > 0) / len(rows)
    return {
        "trunk.weight": (x**2).T @ through,
        "trunk.bias": through.sum(axis=0),
        f"head.{name}.weight": (hidden**2).T @ spread / np.float32(len(rows)),
        f"head.{name}.bias": spread.mean(axis=0),
    }


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
        score = state.get(f"probe.skill/{given.task.name}")
        importance = np.float32(educational_importance(given.task, None if score is None else float(score[0])))
        for part, found in fisher(values, seen, given).items():
            total[part] = total.get(part, np.zeros_like(found)) + np.multiply(importance, found)
    return total


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

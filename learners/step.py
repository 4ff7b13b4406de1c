"""One guided step, in the order in which it happens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from learners.analyzer import Batch, batch, forward, losses
from learners.encode import encode
from learners.model import Dense, Floats, Model, Rows, Table
from learners.optimiser import clip_factor, step_dense, step_rows, warm_up
from learners.parameters import EMBED, task_of
from learners.settings import LearningSettings
from learners.targets import targets
from schemas.training import TrainExample


@dataclass(frozen=True, slots=True)
class Progress:
    """What a step did: loss parts, gradient norms, learning rates, and the rows of each table that it touched."""

    losses: Mapping[str, float]
    norms: Mapping[str, float]
    rates: Mapping[str, float]
    touched: Mapping[str, Rows]


def step(
    model: Model, new: Sequence[TrainExample], replayed: Sequence[TrainExample], weights: Floats
) -> tuple[Model, Progress]:
    """Learn from ``new`` while rehearsing ``replayed`` (experience replay, Chaudhry et al. 2019).

    ``weights`` are the sample weights of the new examples, then of the replayed ones. Minimises

        Σ_task w_task · (mean over new + replay_weight · mean over replayed) of weight_i · ℓ_task(i)

    where an example without a label of the task counts nothing. ``model`` is consumed.
    """
    settings = model.settings
    examples = [*new, *replayed]
    features = encode([example.input for example in examples], settings)
    given = batch(features)

    leaves = _leaves(model, given, _taught(settings, examples))
    labels = [targets(task, [e.labels for e in examples]) for task in settings.tasks if task.name in leaves.tasks]
    logits = forward(leaves.tensors, given, [part.task for part in labels])
    parts = losses(logits, labels, torch.from_numpy(_shares(weights, len(new), settings.replay_weight)))
    total = sum((part * _weight(settings, name) for name, part in parts.items()), torch.zeros(()))
    total.backward()  # type: ignore[no-untyped-call]  # torch types it so

    gradients = {name: _gradient(leaf) for name, leaf in leaves.tensors.items()}
    norm = float(np.sqrt(sum(float(np.vdot(gradient, gradient)) for gradient in gradients.values())))
    factor = clip_factor(norm, settings.clip_norm)
    share = warm_up(model.steps + 1, settings.warm_up_steps)
    touched = {}
    for name, gradient in gradients.items():
        rate = share * _rate(settings, name)
        if name in model.tables:
            touched[name] = _step_rows(model.tables[name], given.touched, gradient * np.float32(factor), rate, settings)
        else:
            _step_dense(model.dense[name], gradient * np.float32(factor), rate, settings)

    return replace(model, steps=model.steps + 1), Progress(
        losses={"total": total.item(), **{name: part.item() for name, part in parts.items()}},
        norms={"raw": norm, "clipped": norm * factor},
        rates={"embed": share * settings.embed_rate, "linear": share * settings.linear_rate,
               "dense": share * settings.dense_rate},
        touched=touched,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Leaves:
    tasks: frozenset[str]
    tensors: Mapping[str, Tensor]


def _taught(settings: LearningSettings, examples: Sequence[TrainExample]) -> frozenset[str]:
    """The tasks that an example of this step has a label of."""
    return frozenset(task.name for task in settings.tasks if any(task.name in e.labels for e in examples))


def _leaves(model: Model, given: Batch, tasks: frozenset[str]) -> _Leaves:
    """The parameters that a step may move, as leaves of its graph: touched rows, and the dense ones of ``tasks``."""
    arrays = {
        name: np.take(table.packed[:, : table.width], given.touched, axis=0)
        for name, table in model.tables.items()
        if _mine(name, tasks)
    }
    arrays |= {name: dense.packed[0] for name, dense in model.dense.items() if _mine(name, tasks)}
    return _Leaves(tasks, {name: torch.from_numpy(array).requires_grad_() for name, array in arrays.items()})


def _mine(parameter: str, tasks: frozenset[str]) -> bool:
    return task_of(parameter) is None or task_of(parameter) in tasks


def _shares(weights: Floats, new: int, replay_weight: float) -> Floats:
    """What each example's loss is multiplied with: its weight over the size of its part, new or replayed."""
    size = np.full(len(weights), max(new, 1), dtype=np.float32)
    size[new:] = max(len(weights) - new, 1) / np.float32(replay_weight) if replay_weight else np.inf
    return weights / size


def _weight(settings: LearningSettings, name: str) -> float:
    task = settings.task(name)
    return task.weight if task else 0.0


def _rate(settings: LearningSettings, parameter: str) -> float:
    """The learning rate of a parameter: its kind's, times its task's group's."""
    kind = parameter.split(".")[0]
    base = {EMBED: settings.embed_rate, "linear": settings.linear_rate}.get(kind, settings.dense_rate)
    task = settings.task(task_of(parameter) or "")
    return base * (settings.group_rates[task.group] if task else 1.0)


def _gradient(leaf: Tensor) -> Floats:
    return np.zeros(leaf.shape, dtype=np.float32) if leaf.grad is None else leaf.grad.numpy()


def _step_rows(table: Table, rows: Rows, gradient: Floats, rate: float, settings: LearningSettings) -> Rows:
    """Step the rows whose gradient is not zero; the others, their averages included, stay. Returns those rows."""
    moved = gradient.any(axis=1)
    rows = rows[moved]
    packed = step_rows(table.packed[rows], gradient[moved], rate, settings.average_decay)
    table.packed[rows] = packed
    table.served[rows] = packed[:, table.width : 2 * table.width]
    return rows


def _step_dense(dense: Dense, gradient: Floats, rate: float, settings: LearningSettings) -> None:
    dense.steps[...] += 1
    dense.packed[...] = step_dense(
        dense.packed, gradient, int(dense.steps[0]),
        rate=rate, shrink=settings.weight_decay, decay=settings.average_decay,
    )  # fmt: skip
    dense.served[...] = dense.packed[1]

"""One guided step, in the order in which it happens."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from learners.analyzer import batch, forward, losses
from learners.encode import encode
from learners.model import Floats, Model, Rows
from learners.optimiser import clip_factor, step_dense, step_rows, warm_up
from learners.parameters import task_of
from learners.settings import LearningSettings
from learners.targets import Targets, targets
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
    given = batch(encode([example.input for example in examples], settings))
    labels = [found for task in settings.tasks if len(found := targets(task, [e.labels for e in examples])) > 0]

    names = [name for name in (*model.tables, *model.dense) if _is_moved(name, labels)]
    held = {name: _held(model, name, given.touched) for name in names}
    leaves = {name: _leaf(model, name, value) for name, value in held.items()}

    logits = forward(leaves, given, [found.task for found in labels])
    parts = losses(logits, labels, torch.from_numpy(_shares(weights, len(new), settings.replay_weight)))
    total = torch.zeros(()) + sum(found.task.weight * parts[found.task.name] for found in labels)
    gradients = _gradients(total, leaves)

    norm = math.sqrt(sum(float(np.vdot(gradient, gradient)) for gradient in gradients.values()))
    clipped = clip_factor(norm, settings.clip_norm)
    share = warm_up(model.steps + 1, settings.warm_up_steps)
    touched = {}
    for name, gradient in gradients.items():
        rate = share * _rate(settings, name)
        if name in model.tables:
            touched[name] = _move_rows(model, name, given.touched, held[name], clipped * gradient, rate)
        else:
            _move_dense(model, name, clipped * gradient, rate)

    return replace(model, steps=model.steps + 1), Progress(
        losses={"total": total.item(), **{name: part.item() for name, part in parts.items()}},
        norms={"raw": norm, "clipped": norm * clipped},
        rates={name: share * rate for name, rate in _base_rates(settings).items()},
        touched=touched,
    )


def _is_moved(parameter: str, labels: Sequence[Targets]) -> bool:
    """Whether a step with these labels moves a parameter: what all tasks share, and what belongs to a labelled one."""
    return task_of(parameter) in (None, *(found.task.name for found in labels))


def _held(model: Model, name: str, touched: Rows) -> Floats:
    """A parameter as it is packed; of a table the rows ``touched``."""
    return model.tables[name].packed[touched] if name in model.tables else model.dense[name].packed


def _leaf(model: Model, name: str, held: Floats) -> Tensor:
    """The trained values among those ``held``, as a leaf of the step's graph."""
    trained = held[:, : model.tables[name].width] if name in model.tables else held[0]
    return torch.from_numpy(np.ascontiguousarray(trained)).requires_grad_()


def _gradients(total: Tensor, leaves: Mapping[str, Tensor]) -> dict[str, Floats]:
    found = torch.autograd.grad(total, list(leaves.values()))
    return {name: gradient.numpy() for name, gradient in zip(leaves, found, strict=True)}


def _shares(weights: Floats, new: int, replay_weight: float) -> Floats:
    """What each example's loss is multiplied with: its weight over the size of its part, new or replayed."""
    size = np.full(len(weights), max(new, 1), dtype=np.float32)
    size[new:] = max(len(weights) - new, 1) / np.float32(replay_weight) if replay_weight else np.inf
    return weights / size


def _base_rates(settings: LearningSettings) -> dict[str, float]:
    return {"embed": settings.embed_rate, "linear": settings.linear_rate, "dense": settings.dense_rate}


def _rate(settings: LearningSettings, parameter: str) -> float:
    """The learning rate of a parameter: its kind's, times its task's group's."""
    base = _base_rates(settings).get(parameter.split(".")[0], settings.dense_rate)
    task = settings.task(task_of(parameter) or "")
    return base * (settings.group_rates[task.group] if task else 1.0)


def _move_rows(model: Model, name: str, rows: Rows, held: Floats, gradient: Floats, rate: float) -> Rows:
    """Step the rows whose gradient is not zero; the others, their averages included, stay. Returns those rows."""
    table, moved = model.tables[name], gradient.any(axis=1)
    packed = step_rows(held[moved], gradient[moved], rate, model.settings.average_decay)
    table.packed[rows[moved]] = packed
    table.served[rows[moved]] = packed[:, table.width : 2 * table.width]
    return rows[moved]


def _move_dense(model: Model, name: str, gradient: Floats, rate: float) -> None:
    dense, settings = model.dense[name], model.settings
    dense.steps[...] += 1
    dense.packed[...] = step_dense(
        dense.packed, gradient, int(dense.steps[0]),
        rate=rate, shrink=settings.weight_decay, decay=settings.average_decay,
    )  # fmt: skip
    dense.served[...] = dense.packed[1]

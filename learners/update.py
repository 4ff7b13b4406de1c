"""Parameters out of the model as leaves of a step's graph, and back again, moved along a gradient."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from learners import rates
from learners.model import Floats, Model, Rows
from learners.optimiser import step_dense, step_plain, step_rows, warm_up
from learners.parameters import task_of
from learners.settings import LearningSettings
from learners.targets import Targets

Gradients = Mapping[str, Floats]


def held_by(model: Model, labels: Sequence[Targets], touched: Rows) -> dict[str, Floats]:
    """The packed parameters that a step with ``labels`` moves; of tables the rows ``touched``."""
    moved = {None, *(found.task.name for found in labels)}
    tables = {name: table.packed[touched] for name, table in model.tables.items() if task_of(name) in moved}
    return tables | {name: dense.packed for name, dense in model.dense.items() if task_of(name) in moved}


def leaves_of(model: Model, held: Mapping[str, Floats]) -> dict[str, Tensor]:
    """The trained values among those ``held``, as leaves of the step's graph."""
    trained = {n: h[:, : model.tables[n].width] if n in model.tables else h[0] for n, h in held.items()}
    return {name: torch.from_numpy(np.ascontiguousarray(value)).requires_grad_() for name, value in trained.items()}


def gradients_of(leaves: Mapping[str, Tensor], loss: Tensor) -> dict[str, Floats]:
    """The gradient of ``loss``, zeros where it does not depend on a leaf. The graph stays for the next."""
    found = torch.autograd.grad(loss, list(leaves.values()), retain_graph=True, materialize_grads=True)
    return {name: gradient.numpy() for name, gradient in zip(leaves, found, strict=True)}


def paces(model: Model, labels: Sequence[Targets], losses: Mapping[str, float]) -> None:
    """Note each task group's mean loss on new examples; what its rates are scaled with follows from it."""
    moving = () if model.settings.schedule == "constant" else labels
    for group in dict.fromkeys(found.task.group for found in moving):
        mine = [losses[found.task.name] for found in labels if found.task.group == group]
        known = [loss for loss in mine if math.isfinite(loss)]  # nan is of a task that only replayed examples know
        if known:
            before = model.state.get(f"pace/{group}", rates.begun())
            model.state[f"pace/{group}"] = rates.paced(before, float(np.mean(known)), model.steps + 1, model.settings)


def rates_of(model: Model) -> dict[str, float]:
    """The rates of the next step: of both kinds of tables and the dense parameters, and the scale of each group."""
    share = warm_up(model.steps + 1, model.settings.warm_up_steps)
    groups = sorted({task.group for task in model.settings.tasks})
    base = {name: share * rate for name, rate in _base_rates(model.settings).items()}
    return base | {f"group.{group}": _scale(model, group) for group in groups}


def move(model: Model, rows: Rows, held: Mapping[str, Floats], gradients: Gradients) -> dict[str, Rows]:
    """Step every parameter ``held`` along its gradient; the rows of tables that moved, of each table.

    Rows whose gradient is zero stay, their averages included.
    """
    share = warm_up(model.steps + 1, model.settings.warm_up_steps)
    touched = {}
    for name, gradient in gradients.items():
        rate = share * _rate(model, name)
        if name in model.tables:
            touched[name] = _move_rows(model, name, rows, held[name], gradient, rate)
        else:
            _move_dense(model, name, gradient, rate)
    return touched


def _base_rates(settings: LearningSettings) -> dict[str, float]:
    shared = {"embed": settings.embed_rate, "linear": settings.linear_rate, "dense": settings.dense_rate}
    return shared | ({"agree": settings.consistency_rate} if settings.audio_dim or settings.video_dim else {})


def _scale(model: Model, group: str) -> float:
    pace = model.state.get(f"pace/{group}")
    return model.settings.group_rates[group] * (1.0 if pace is None else float(pace[rates.SCALE]))


def _rate(model: Model, parameter: str) -> float:
    """The learning rate of a parameter: its kind's, times its task's group's; what is shared goes at the mean pace of
    the groups."""
    base = _base_rates(model.settings).get(parameter.split(".")[0], model.settings.dense_rate)
    task = model.settings.task(task_of(parameter) or "")
    if task:
        return base * _scale(model, task.group)
    scales = [float(pace[rates.SCALE]) for name, pace in model.state.items() if name.startswith("pace/")]
    return base * (sum(scales) / len(scales) if scales else 1.0)


def _decay(model: Model, table: str) -> float:
    """The share that a touched row of ``table`` loses: its task's; what is shared loses the mean of the tasks'."""
    tasks = model.settings.tasks
    task = model.settings.task(task_of(table) or "")
    return task.decay if task else sum(task.decay for task in tasks) / max(len(tasks), 1)


def _move_rows(model: Model, name: str, rows: Rows, held: Floats, gradient: Floats, rate: float) -> Rows:
    table, moved = model.tables[name], gradient.any(axis=1)
    packed = step_rows(held[moved], gradient[moved], rate, model.settings.average_decay, _decay(model, name))
    table.packed[rows[moved]] = packed
    table.served[rows[moved]] = packed[:, table.width : 2 * table.width]
    return rows[moved]


def _move_dense(model: Model, name: str, gradient: Floats, rate: float) -> None:
    dense, settings = model.dense[name], model.settings
    dense.steps[...] += 1
    at, decay = int(dense.steps[0]), settings.average_decay
    if settings.dense_optimiser == "sgd":
        dense.packed[...] = step_plain(dense.packed, gradient, at, rate=rate, decay=decay)
    else:
        shrink = settings.weight_decay
        dense.packed[...] = step_dense(dense.packed, gradient, at, rate=rate, shrink=shrink, decay=decay)
    dense.served[...] = dense.packed[1]

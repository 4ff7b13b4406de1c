"""What the served weights say of inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from learners.analyzer import batch, forward
from learners.encode import Features, encode
from learners.parameters import is_table, linear_of
from learners.served import Served
from learners.targets import probabilities, values
from learners.tasks import Task
from schemas.prediction import ExampleInput, Output

DIGITS = 4  # of a probability in an event
Floats = npt.NDArray[np.float32]


def predict(served: Served, inputs: Sequence[ExampleInput]) -> list[dict[str, Output]]:
    """The outputs for each input, of the tasks that apply to its speaker's role, by the task's name.

    A task of classes has a probability a class; an ordinal one a probability a level and the expected number; a
    regression a number. Rounded to four digits. Of a task never taught all classes are equally likely.
    """
    found: list[dict[str, Output]] = [{} for _ in inputs]
    logits = predict_arrays(served, encode(inputs, served.settings)) if inputs else {}
    for task in served.settings.tasks:
        who = [position for position, given in enumerate(inputs) if task.role in (None, given.role)]
        if task.name in logits:
            said = outputs(task, logits[task.name][who])
        else:
            said = outputs(task, np.zeros((1, task.logits), dtype=np.float32)) * len(who)
        for position, output in zip(who, said, strict=True):
            found[position][task.name] = output
    return found


def predict_arrays(served: Served, features: Features) -> dict[str, Floats]:
    """The logits of every task ever taught, float32 [n, logits], whatever the role; those of the others are zero."""
    given = batch(features)
    taught = [task for task in served.settings.tasks if linear_of(task) in served.arrays]
    arrays = {name: array[given.touched] if is_table(name) else array for name, array in served.arrays.items()}
    with torch.inference_mode():
        parameters = {name: torch.from_numpy(array.astype(np.float32)) for name, array in arrays.items()}
        return {name: found.numpy() for name, found in forward(parameters, given, taught).items()}


def outputs(task: Task, logits: Floats) -> list[Output]:
    """The events' form of the logits [n, logits] of ``task``."""
    numbers = values(task, logits)
    value = [None] * len(logits) if numbers is None else rounded(numbers)
    if not task.levels:
        return [Output.model_construct(value=number) for number in value]
    shares = rounded(probabilities(task, logits).astype(np.float64))
    return [
        Output.model_construct(probabilities=dict(zip(task.levels, share, strict=True)), value=number)
        for share, number in zip(shares, value, strict=True)
    ]


def rounded(numbers: npt.NDArray[np.floating[Any]]) -> list[Any]:
    """``numbers`` as lists, with so many digits as events have; what rounds to nothing is 0, not -0."""
    found: list[Any] = np.add(np.round(numbers, DIGITS), 0.0).tolist()
    return found

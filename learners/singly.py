"""What each modality makes of inputs by itself, by the served weights: where it places them, what it says of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from learners.analyzer import Batch, Parameters, batch, see
from learners.consistency import alone, embeddings
from learners.encode import encode
from learners.modalities import AUDIO, TEXT, VIDEO
from learners.parameters import is_table
from learners.predict import outputs
from learners.served import Served
from learners.settings import LearningSettings
from schemas.prediction import ExampleInput, Output

Floats = npt.NDArray[np.float32]
Answer = TypeVar("Answer")


def points(served: Served, inputs: Sequence[ExampleInput]) -> dict[str, Floats]:
    """Where each modality places ``inputs`` in the common space: float32 [n, consistency_dim] of norm one, zero where
    absent. Empty where only text is looked at."""
    found = _asked(served, inputs, embeddings)[0] if inputs else {}
    return {name: each.numpy() for name, each in found.items()}


def said_singly(served: Served, inputs: Sequence[ExampleInput]) -> list[dict[str, dict[str, Output]]]:
    """For each input, by modality that is present, its outputs of the tasks that it should know something of."""
    if not inputs:
        return []
    found, given = _asked(served, inputs, alone)
    there = {TEXT: [1.0] * len(inputs), AUDIO: given.present[:, 0].tolist(), VIDEO: given.present[:, 1].tolist()}
    tasks = {task.name: task for task in served.settings.tasks}
    spoken = {
        modality: {name: outputs(tasks[name], logits.numpy()) for name, logits in by_task.items()}
        for modality, by_task in found.items()
    }
    return [
        {
            modality: {name: each[n] for name, each in by_task.items()}
            for modality, by_task in spoken.items()
            if there[modality][n]
        }
        for n in range(len(inputs))
    ]


def _asked(
    served: Served,
    inputs: Sequence[ExampleInput],
    ask: Callable[[Parameters, Batch, Tensor, LearningSettings], dict[str, Answer]],
) -> tuple[dict[str, Answer], Batch]:
    given = batch(encode(inputs, served.settings))
    with torch.inference_mode():
        parameters = {
            name: torch.from_numpy((array[given.touched] if is_table(name) else array).astype(np.float32))
            for name, array in served.arrays.items()
        }
        return ask(parameters, given, see(parameters, given, ()).text, served.settings), given

"""What sentences read by a pretrained encoder add to the logits, by a hidden layer of their own.

    added[task] = sentence head[task] · relu(sentence weight · sentence + b)

Beside the trunk and not in it: 1,536 numbers an example would drown the hundred that are learned. On TalkMoves the same
numbers as inputs of the trunk give as high an MCC, but .01 less macro F1. No torch is imported: tensors come in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from learners.sentence_features import sentence_width
from learners.settings import LearningSettings

if TYPE_CHECKING:
    from torch import Tensor

HIDDEN = 128  # units
WEIGHT, BIAS = "sentence.weight", "sentence.bias"


def shapes(settings: LearningSettings) -> dict[str, tuple[int, ...]]:
    """The layer's dense parameters by name; none where sentences are not read."""
    if not (width := sentence_width(settings)):
        return {}
    heads = {head_of(task.name): (HIDDEN, task.logits) for task in settings.tasks}
    return {WEIGHT: (width, HIDDEN), BIAS: (HIDDEN,), **heads}


def added(parameters: Mapping[str, Tensor], sentence: Tensor, tasks: Iterable[str]) -> dict[str, Tensor]:
    """Of each of ``tasks`` what is added to its logits, [n, logits]; nothing where ``parameters`` have no such layer.

    ``sentence``: float32 [n, SENTENCE], as ``sentence_features`` makes it.
    """
    if WEIGHT not in parameters:
        return {}
    hidden = parameters[BIAS].addmm(sentence, parameters[WEIGHT]).relu()
    return {task: hidden @ parameters[head_of(task)] for task in tasks}


def head_of(task: str) -> str:
    """The name of the layer's head of ``task``: it belongs to the task, and begins at zero as all heads do."""
    return f"head.{task}.sentence"

"""The analyzer's parameters by name: *tables* have a row a bucket and are sparse, all others are *dense* and small."""

from __future__ import annotations

from learners import modalities, sentence_layer
from learners.encode import DENSE, FIELDS
from learners.settings import LearningSettings
from learners.tasks import Task

EMBED = "embed"


def table_widths(settings: LearningSettings) -> dict[str, int]:
    """The width of each table by name."""
    return {EMBED: settings.dim, **{linear_of(task): task.logits for task in settings.tasks}}


def dense_shapes(settings: LearningSettings) -> dict[str, tuple[int, ...]]:
    """The shape of each dense parameter by name."""
    shapes: dict[str, tuple[int, ...]] = {
        "trunk.weight": (trunk_inputs(settings), settings.hidden),
        "trunk.bias": (settings.hidden,),
    }
    for task in settings.tasks:
        shapes[f"head.{task.name}.weight"] = (settings.hidden, task.logits)
        shapes[f"head.{task.name}.bias"] = (task.logits,)
    return shapes | modalities.shapes(settings) | sentence_layer.shapes(settings)


def trunk_inputs(settings: LearningSettings) -> int:
    """How many numbers the trunk sees: embedded bags, dense features, and of each modality its vector and presence."""
    vectors = [width + 1 for width in (settings.audio_dim, settings.video_dim) if width]
    return FIELDS * settings.dim + DENSE + sum(vectors)


def linear_of(task: Task) -> str:
    """The name of the linear table of ``task``."""
    return f"linear.{task.name}"


def is_table(parameter: str) -> bool:
    """Whether a parameter has a row a bucket."""
    return parameter == EMBED or parameter.startswith("linear.")


def task_of(parameter: str) -> str | None:
    """The task that a parameter belongs to; None for those that all share."""
    part = parameter.split(".")
    return part[1] if part[0] in ("head", "linear") else None

"""What each modality has of its own: a matrix into the space where modalities meet, and on to the tasks it speaks of.

Of modality m, ``agree.m.weight`` is [its width, consistency_dim + logits of its tasks], ``agree.m.bias`` what is added.
One matrix, so that a step multiplies once a modality. No torch: whoever serves a model needs its shapes.
"""

from __future__ import annotations

from collections.abc import Iterator

from learners.encode import FIELDS
from learners.settings import LearningSettings
from learners.tasks import Task

TEXT, AUDIO, VIDEO = "text", "audio", "video"


def widths(settings: LearningSettings) -> dict[str, int]:
    """How many numbers each modality gives, of those that meet; empty where nothing is to agree."""
    found = {TEXT: FIELDS * settings.dim, AUDIO: settings.audio_dim, VIDEO: settings.video_dim}
    meets = settings.consistency_weight and (settings.audio_dim or settings.video_dim)
    return {name: width for name, width in found.items() if width and meets}


def tasks_of(modality: str, settings: LearningSettings) -> tuple[Task, ...]:
    """The tasks of which ``modality`` speaks by itself: text of all that another one present should agree on."""
    meeting = set(widths(settings))
    wanted = meeting - {TEXT} if modality == TEXT else meeting & {modality}
    return tuple(task for task in settings.tasks if wanted & set(task.agrees))


def columns(modality: str, settings: LearningSettings) -> Iterator[tuple[Task, slice]]:
    """Each task that ``modality`` speaks of, and where its logits stand behind the modality's matrix."""
    start = settings.consistency_dim
    for task in tasks_of(modality, settings):
        yield task, slice(start, start + task.logits)
        start += task.logits


def shapes(settings: LearningSettings) -> dict[str, tuple[int, ...]]:
    """The dense parameters that agreement needs, by name; none where no modality but text is looked at."""
    found: dict[str, tuple[int, ...]] = {}
    for name, width in widths(settings).items():
        outputs = settings.consistency_dim + sum(task.logits for task in tasks_of(name, settings))
        found |= {weight_of(name): (width, outputs), bias_of(name): (outputs,)}
    return found


def weight_of(modality: str) -> str:
    """The name of the matrix of ``modality``."""
    return f"agree.{modality}.weight"


def bias_of(modality: str) -> str:
    """The name of what is added to it."""
    return f"agree.{modality}.bias"

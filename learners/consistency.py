"""Agreement between modalities: what is said, heard and seen of one moment should tell the same of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from learners.analyzer import Batch
from learners.settings import LearningSettings
from learners.targets import Targets


def shapes(settings: LearningSettings) -> dict[str, tuple[int, ...]]:
    """The dense parameters that agreement needs, by name."""
    return {}


def consistency(
    parameters: Mapping[str, Tensor],
    given: Batch,
    text: Tensor,
    logits: Mapping[str, Tensor],
    labels: Sequence[Targets],
    new: int,
    settings: LearningSettings,
) -> dict[str, Tensor]:
    """The parts of the loss that grow where modalities disagree, by name."""
    return {}

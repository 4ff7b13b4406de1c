"""How rare a class is among the labels met so far: what is hardly ever seen is worth more than its share."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic_core import from_json, to_json

from schemas.feedback import LabelValue
from schemas.prediction import Output


class Met:
    """How many labels of each class were met, by task. Numbers that are no level of a scale have no class."""

    def __init__(self, counts: Mapping[str, Mapping[str, int]] | None = None) -> None:
        self.counts = {task: dict(by_class) for task, by_class in (counts or {}).items()}

    def meet(self, task: str, label: LabelValue, output: Output | None) -> None:
        """Count ``label``; ``output`` tells the levels of an ordinal task."""
        for name in classes_of(label, output):
            met = self.counts.setdefault(task, {})
            met[name] = met.get(name, 0) + 1

    def rarity(self, task: str, label: LabelValue, output: Output | None) -> float:
        """The rarity of ``label`` in [0, 1]: of several classes that of the rarest, of a number 0."""
        k = len(output.probabilities) if output is not None and output.probabilities else 0
        met = self.counts.get(task, {})
        return max([rarity(met, name, k) for name in classes_of(label, output)], default=0.0)

    def to_bytes(self) -> bytes:
        """All counts as JSON."""
        return to_json(self.counts)

    @classmethod
    def from_bytes(cls, value: bytes) -> Met:
        """The inverse of ``to_bytes``. Raises ValueError."""
        return cls(from_json(value))


def rarity(met: Mapping[str, int], name: str, classes: int) -> float:
    """How far the class ``name`` falls short of an equal share: 1 - min(1, k · (n + 1) / (N + k)), k classes, N labels.

    The share is Laplace's rule of succession, so that the first labels make nothing rare; a class as common as others
    has 0, one that never comes nears 1.
    """
    k = max(classes, len(met), 1)
    return 1 - min(1.0, k * (met.get(name, 0) + 1) / (sum(met.values()) + k))


def classes_of(label: LabelValue, output: Output | None) -> tuple[str, ...]:
    """The classes that ``label`` names: one, several, the level of an ordinal scale, or none."""
    if isinstance(label, str):
        return (label,)
    if isinstance(label, tuple):
        return label
    level = str(int(label)) if label == int(label) else ""
    return (level,) if output is not None and output.probabilities and level in output.probabilities else ()

"""Every number that learning depends on; it travels in the genesis record, so that a lineage can be folded again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields

from learners.tasks import Task, default_tasks, tasks_from
from schemas.errors import ConfigurationError

DEFAULT_GROUP_RATES = {"question": 1.5, "scaffolding": 1.2, "class": 1.0, "depth": 0.8, "move": 1.0, "rest": 0.5}


@dataclass(frozen=True, slots=True)
class LearningSettings:
    """The shape of the analyzer, how it is stepped and what it is asked. Raises ConfigurationError out of range."""

    tasks: tuple[Task, ...] = field(default_factory=default_tasks)
    buckets: int = 2**18  # rows of each hashed table, a power of two
    dim: int = 16  # of a row of the embedding table
    hidden: int = 128  # units
    context_turns: int = 8  # how many of the turns before an utterance are looked at
    embed_rate: float = 0.1  # learning rates: row-wise Adagrad for both tables, AdamW for the dense parameters
    linear_rate: float = 0.1
    dense_rate: float = 1e-3
    weight_decay: float = 1e-4  # of the dense parameters
    warm_up_steps: int = 20  # over which the rates rise from nothing
    clip_norm: float = 5.0  # of the gradient over all parameters
    replay_weight: float = 1.0  # of the replayed examples' mean loss beside the new ones'
    average_decay: float = 0.99  # of the served average, per step that touches a row
    group_rates: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_GROUP_RATES))

    def __post_init__(self) -> None:
        if problem := self._problem():
            raise ConfigurationError(problem)

    def _problem(self) -> str | None:
        if self.buckets < 4096 or self.buckets & (self.buckets - 1):
            return f"buckets is {self.buckets}, expected a power of two from 4,096 on"
        for name in ("dim", "hidden", "context_turns"):
            if getattr(self, name) < 1:
                return f"{name} is {getattr(self, name)}, expected at least 1"
        for name in ("embed_rate", "linear_rate", "dense_rate", "clip_norm"):
            if getattr(self, name) <= 0:
                return f"{name} is {getattr(self, name)}, expected more than 0"
        for name in ("weight_decay", "warm_up_steps", "replay_weight"):
            if getattr(self, name) < 0:
                return f"{name} is {getattr(self, name)}, expected at least 0"
        if not 0 <= self.average_decay < 1:
            return f"average_decay is {self.average_decay}, expected 0 <= it < 1"
        missing = sorted({task.group for task in self.tasks} - set(self.group_rates))
        return f"group {missing[0]!r} of a task has no rate in group_rates" if missing else None

    def task(self, name: str) -> Task | None:
        """The task called ``name``, if there is one."""
        return next((task for task in self.tasks if task.name == name), None)

    def to_dict(self) -> dict[str, object]:
        """As JSON can hold it, the same bytes for equal settings; the inverse of ``from_dict``."""
        tasks, rates = [task.to_dict() for task in self.tasks], dict(sorted(self.group_rates.items()))
        return {**asdict(self), "tasks": tasks, "group_rates": rates}

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> LearningSettings:
        """Settings from what ``to_dict`` wrote; what is absent has its default.

        Raises:
            ConfigurationError: a key is unknown or a value is out of range or of the wrong type.
        """
        known = {known.name: known for known in fields(cls)}
        if unknown := sorted(set(values) - set(known)):
            raise ConfigurationError(f"unknown learning setting {unknown[0]!r}; known: {', '.join(sorted(known))}")
        read = {name: _value(name, str(known[name].type), value) for name, value in values.items()}
        return cls(**read)  # type: ignore[arg-type]  # each value was read by the type of its field


def _value(name: str, wanted: str, value: object) -> object:
    if name == "tasks":
        return tasks_from(value)
    if name == "group_rates":
        if not isinstance(value, Mapping) or not all(isinstance(rate, int | float) for rate in value.values()):
            raise ConfigurationError(f"{name} is {value!r}, expected a rate for each group")
        return {str(group): float(rate) for group, rate in value.items()}
    if isinstance(value, bool) or not isinstance(value, int | float) or (wanted == "int" and value != int(value)):
        raise ConfigurationError(f"{name} is {value!r}, expected a{'n' if wanted == 'int' else ''} {wanted}")
    return int(value) if wanted == "int" else float(value)

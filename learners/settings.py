"""Every number that learning depends on; it travels in the genesis record, so that a lineage can be folded again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Literal, TypeGuard, get_args

from learners.tasks import Task, default_tasks, tasks_from
from schemas.errors import ConfigurationError

DEFAULT_GROUP_RATES = {"question": 1.5, "scaffolding": 1.2, "class": 1.0, "depth": 0.8, "move": 1.0, "rest": 0.5}

Encoder = Literal["ngram", "ngram+sentence"]
Replay = Literal["none", "er", "er-ace", "der++", "der++ace", "a-gem"]
DenseOptimiser = Literal["adamw", "sgd"]
Schedule = Literal["constant", "plateau", "cosine"]
AT_LEAST_ONE = ("dim", "hidden", "context_turns", "consistency_dim", "schedule_steps", "probe_steps")
POSITIVE = ("embed_rate", "linear_rate", "dense_rate", "consistency_rate", "clip_norm", "wait_low_s")
NOT_NEGATIVE = (
    "weight_decay", "warm_up_steps", "replay_weight", "der_alpha", "der_beta", "audio_dim", "video_dim",
    "consistency_weight", "guidance_rate", "guidance_limit", "ewc_weight", "ewc_steps",
)  # fmt: skip
SHARES = ("average_decay", "modality_dropout", "ewc_decay")
CHOICES = {
    "encoder": get_args(Encoder),
    "dense_optimiser": get_args(DenseOptimiser),
    "replay": get_args(Replay),
    "schedule": get_args(Schedule),
}


@dataclass(frozen=True, slots=True)
class LearningSettings:
    """The shape of the analyzer, how it is stepped and what it is asked. Raises ConfigurationError out of range."""

    tasks: tuple[Task, ...] = field(default_factory=default_tasks)
    buckets: int = 2**18  # rows of each hashed table, a power of two
    dim: int = 16  # of a row of the embedding table
    hidden: int = 128  # units
    context_turns: int = 8  # how many of the turns before an utterance are looked at
    embed_rate: float = 0.1  # learning rates: row-wise Adagrad for both tables, AdamW for the dense parameters
    linear_rate: float = 0.02
    dense_rate: float = 1e-3
    dense_optimiser: DenseOptimiser = "adamw"  # sgd: plain, without moments or decay
    weight_decay: float = 1e-4  # of the dense parameters
    warm_up_steps: int = 20  # over which the rates rise from nothing
    clip_norm: float = 5.0  # of the gradient over all parameters
    schedule: Schedule = "constant"  # how the rates go on after that; see learners.rates
    schedule_steps: int = 5_000  # length of a cosine; steps without improvement before a plateau lowers a rate: a tenth
    replay: Replay = "der++"  # how replayed examples are learned from; see learners.rehearsal
    replay_weight: float = 1.0  # of the replayed examples' mean loss beside the new ones'
    der_alpha: float = 0.5  # der++: weight of the distance to the logits remembered
    der_beta: float = 1.0  # der++: weight of the label's loss on replayed examples
    average_decay: float = 0.99  # of the served average, per step that touches a row
    encoder: Encoder = "ngram"  # of text; ngram+sentence needs the extra `pretrained`
    audio_dim: int = 0  # length of the feature vectors that apps supply; 0: not looked at
    video_dim: int = 0
    modality_dropout: float = 0.15  # share of examples whose audio, and apart from it video, a step does not see
    consistency_weight: float = 0.5  # of the agreement between modalities; see learners.consistency
    consistency_rate: float = 1e-2  # learning rate of what only the agreement needs (AdamW)
    consistency_dim: int = 32  # of the space in which modalities meet
    guidance_rate: float = 0.05  # how fast the multipliers of constraints grow; 0: none; see learners.guidance
    guidance_limit: float = 2.0  # what a multiplier is at most
    wait_low_s: float = 3.0  # seconds to wait after a complex question (Rowe 1986), at least ...
    wait_high_s: float = 7.0  # ... and at most (Tobin 1987)
    ewc_weight: float = 0.0  # of the penalty on leaving what mattered; 0: none; see learners.ewc
    ewc_decay: float = 0.9  # of the old Fisher information when new is added (Schwarz et al. 2018)
    ewc_steps: int = 500  # between two consolidations; 0: only when a request asks for it
    probe_steps: int = 50  # between two evaluations on the probe
    group_rates: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_GROUP_RATES))

    def __post_init__(self) -> None:
        if problem := self._problem():
            raise ConfigurationError(problem)

    def _problem(self) -> str | None:
        if self.buckets < 4096 or self.buckets & (self.buckets - 1):
            return f"buckets is {self.buckets}, expected a power of two from 4,096 on"
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                return f"{name} is {getattr(self, name)!r}, expected one of {', '.join(choices)}"
        for name in AT_LEAST_ONE:
            if getattr(self, name) < 1:
                return f"{name} is {getattr(self, name)}, expected at least 1"
        for name in POSITIVE:
            if getattr(self, name) <= 0:
                return f"{name} is {getattr(self, name)}, expected more than 0"
        for name in NOT_NEGATIVE:
            if getattr(self, name) < 0:
                return f"{name} is {getattr(self, name)}, expected at least 0"
        for name in SHARES:
            if not 0 <= getattr(self, name) < 1:
                return f"{name} is {getattr(self, name)}, expected 0 <= it < 1"
        if not self.wait_low_s < self.wait_high_s:
            return f"wait_low_s is {self.wait_low_s}, expected less than wait_high_s, {self.wait_high_s}"
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
        if not isinstance(value, Mapping) or not all(_is_finite(rate) and rate >= 0 for rate in value.values()):
            raise ConfigurationError(f"{name} is {value!r}, expected a rate for each group, 0 or more")
        return {str(group): float(rate) for group, rate in value.items()}
    if name in CHOICES:
        return value
    if not _is_finite(value) or (wanted == "int" and value != int(value)):
        raise ConfigurationError(f"{name} is {value!r}, expected a{'n' if wanted == 'int' else ''} {wanted}")
    return int(value) if wanted == "int" else float(value)


def _is_finite(value: object) -> TypeGuard[int | float]:
    """Whether it is a number at all: TOML has nan and inf, which pass for one that is not below its least."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

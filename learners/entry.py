"""One remembered example as the replay memory's index knows it, and the settings that decide its rank."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from math import inf, log
from typing import Any, NamedTuple

from schemas.errors import ConfigurationError

MS_PER_DAY = 86_400_000
MOST_POWER = 10  # an example weighs at most as many times the mean as a request has, to this power: float32 holds it
PRESETS: dict[str, dict[str, Any]] = {"default": {}, "mission": {"capacity": 1_000, "threshold": 0.8, "replay": 8}}


@dataclass(frozen=True, slots=True)
class MemorySettings:
    """What the memory holds and how it is replayed. Raises ConfigurationError out of range.

    ``capacity`` in entries; ``threshold`` is the least importance admitted; shares are of capacity, 1 or more means
    uncapped. ``classes`` is how many classes are expected: a learner's cap is spread evenly over them.
    ``decay_per_day`` halves an entry's chances every ``ln 2 / decay_per_day`` days.
    ``alpha`` sharpens priorities, ``beta`` is the strength of their correction (Schaul 2016, section 3.4).
    The shares are also of the places and of the gradient of a request (``learners.caps``). ``trust_floor`` is the least
    that a rater's label counts in it, 1 turns trust off; ``importance_power`` is how strongly the importance of a new
    example, relative to the request's mean, weighs it. ``replay`` is how many a request replays, None: as configured.
    """

    capacity: int = 2_000
    threshold: float = 0.0
    learner_share: float = 0.1
    rater_share: float = 0.5
    classes: int = 8
    decay_per_day: float = 0.0
    least_weight: float = 0.05
    alpha: float = 0.6
    beta: float = 0.4
    trust_floor: float = 0.1
    importance_power: float = 0.0
    replay: int | None = None

    @classmethod
    def preset(cls, name: str, **more: Any) -> MemorySettings:
        """The settings that ``name`` stands for, with ``more`` over them. Raises ConfigurationError.

        ``mission``: few, important, rehearsed sparingly; an example of less than .8 is not kept.
        """
        if name not in PRESETS:
            raise ConfigurationError(f"no preset of the memory is named {name!r}; there are {', '.join(PRESETS)}")
        return cls(**{**PRESETS[name], **more})

    def __post_init__(self) -> None:
        for name in ("capacity", "classes"):
            if not isinstance(value := getattr(self, name), int) or value < 1:
                raise ConfigurationError(f"{name} is {value!r}, expected a whole number from 1 on")
        for name in ("threshold", "learner_share", "rater_share", "decay_per_day", "alpha", "beta",
                     "trust_floor", "importance_power"):  # fmt: skip
            if not isinstance(value := getattr(self, name), int | float) or not 0 <= value < inf:
                raise ConfigurationError(f"{name} is {value!r}, expected a number from 0 on")
        if self.importance_power > MOST_POWER:
            raise ConfigurationError(f"importance_power is {self.importance_power!r}, expected at most {MOST_POWER}")
        if self.replay is not None and (not isinstance(self.replay, int) or self.replay < 0):
            raise ConfigurationError(f"replay is {self.replay!r}, expected a whole number from 0 on")
        if not isinstance(self.least_weight, int | float) or not 0 < self.least_weight <= 1:
            raise ConfigurationError(f"least_weight is {self.least_weight!r}, expected a number above 0 and at most 1")

    def cap(self, share: float) -> int:
        """The entries that one learner or rater may hold, at least one."""
        return self.capacity if share >= 1 else max(int(share * self.capacity), 1)

    def cap_in_class(self, share: float) -> int:
        """The entries that one learner or rater may hold of one class, at least one."""
        return self.capacity if share >= 1 else max(int(share * self.capacity / self.classes), 1)


class Entry(NamedTuple):
    """One remembered example; its payload lies elsewhere under ``id``. Smaller keys are kept.

    ``unmarked`` is its importance without what experts marked its ``interaction`` with: marks may come later.
    """

    id: str
    key: float
    weight: float
    label: str
    learner: str | None
    rater: str | None
    added_ms: int
    replayed: int = 0
    interaction: str = ""
    unmarked: float = 0.0


def entry(
    settings: MemorySettings,
    id: str,
    importance: float,
    label: str,
    learner: str | None,
    rater: str | None,
    added_ms: int,
    interaction: str = "",
    unmarked: float = 0.0,
) -> Entry:
    """The entry of an example of class ``label`` that the log received at ``added_ms`` (epoch milliseconds)."""
    weight, key = _weight_and_key(settings, id, importance, added_ms)
    return Entry(id, key, weight, label, learner, rater, added_ms, 0, interaction, unmarked)


def weighed(settings: MemorySettings, entry: Entry, importance: float) -> Entry:
    """``entry`` with another importance."""
    weight, key = _weight_and_key(settings, entry.id, importance, entry.added_ms)
    return entry._replace(weight=weight, key=key)


def _weight_and_key(settings: MemorySettings, id: str, importance: float, added_ms: int) -> tuple[float, float]:
    weight = max(importance, settings.least_weight)
    return weight, rank(id, weight, settings.decay_per_day * added_ms / MS_PER_DAY)


def rank(id: str, weight: float, forward: float = 0.0) -> float:
    """``ln(-ln u) - ln weight - forward`` with u in (0, 1) a hash of ``id``: the log of an exponential of rate weight.

    Efraimidis & Spirakis (2006), algorithm A-Res, in logarithms; ``forward`` is Cormode et al.'s (2009) forward decay.
    """
    uniform = ((int.from_bytes(sha256(id.encode()).digest()[:8], "big") >> 12) + 0.5) / 2**52
    return log(-log(uniform)) - log(weight) - forward

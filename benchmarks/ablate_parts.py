"""The parts of the learning core that can be switched on and off, as data.

A part is on or off by default, whatever the settings say now; switching it turns it the other way. Names are those of
the settings: ``learning.NAME``, ``memory.NAME``, and ``delay_weights``, which is the benchmark's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from learners.entry import MemorySettings
from learners.settings import LearningSettings
from streams.compare import changed

Changes = Mapping[str, object]
REAL, SIMULATED = "real", "simulated"
BOTH = (REAL, SIMULATED)
NO_LIMIT = 1e9


@dataclass(frozen=True)
class Recipe:
    """All that a run depends on but its data and seed."""

    learning: LearningSettings = field(default_factory=LearningSettings)
    memory: MemorySettings = field(default_factory=MemorySettings)
    delay_weights: bool = True

    def value(self, name: str) -> object:
        """What the setting called ``name`` is."""
        part, _, rest = name.partition(".")
        return getattr(getattr(self, part), rest) if rest else getattr(self, part)

    def with_(self, changes: Changes) -> Recipe:
        """The recipe after ``changes``. Raises ConfigurationError."""
        learning = {name[9:]: value for name, value in changes.items() if name.startswith("learning.")}
        memory = {name[7:]: value for name, value in changes.items() if name.startswith("memory.")}
        return Recipe(
            LearningSettings.from_dict(changed(self.learning.to_dict(), learning)),
            replace(self.memory, **memory),  # type: ignore[arg-type]  # the values of PARTS
            bool(changes.get("delay_weights", self.delay_weights)),
        )


@dataclass(frozen=True)
class Part:
    """A part, and the settings that are it and that are without it. ``data``: where it can have an effect.

    ``exact``: other settings than either are without it; else they have it.
    """

    name: str
    what: str
    without: Changes
    with_it: Changes
    data: tuple[str, ...] = BOTH
    exact: bool = False

    def is_on(self, recipe: Recipe) -> bool:
        """Whether ``recipe`` has it."""
        if self.exact:
            return all(recipe.value(name) == value for name, value in self.with_it.items())
        return any(recipe.value(name) != value for name, value in self.without.items())

    def switched(self, recipe: Recipe) -> Recipe:
        """``recipe`` with the part turned the other way."""
        return recipe.with_(self.without if self.is_on(recipe) else self.with_it)


EVEN = dict.fromkeys(LearningSettings().group_rates, 1.0)
RATES = dict(LearningSettings().group_rates)
EWC = {"learning.ewc_weight": 1e-2, "learning.ewc_steps": 50}

PARTS = (
    Part("replay", "replaying what is remembered", {"learning.replay": "none"}, {"learning.replay": "er"}),
    Part("der++", "replay keeps the logits met", {"learning.replay": "er"}, {"learning.replay": "der++"},
         exact=True),
    Part("er-ace", "new examples compete among their classes", {"learning.replay": "er"},
         {"learning.replay": "er-ace"}, exact=True),
    Part("priority", "half of each replay by importance", {"memory.alpha": 0.0}, {"memory.alpha": 0.6}),
    Part("importance", "the memory prefers what is important", {"memory.least_weight": 1.0},
         {"memory.least_weight": 0.05}),
    Part("weighting", "new examples weigh by importance", {"memory.importance_power": 0.0},
         {"memory.importance_power": 0.5}),
    Part("caps", "nobody has more than a share", {"memory.learner_share": 1.0, "memory.rater_share": 1.0},
         {"memory.learner_share": 0.1, "memory.rater_share": 0.5}),
    Part("average", "an average of the weights serves", {"learning.average_decay": 0.0},
         {"learning.average_decay": 0.99}),
    Part("ewc", "weights that mattered are held", {"learning.ewc_weight": 0.0}, EWC),
    Part("plateau", "rates fall and rise with the loss", {"learning.schedule": "constant"},
         {"learning.schedule": "plateau", "learning.schedule_steps": 200}),
    Part("group rates", "a rate for each group of tasks", {"learning.group_rates": EVEN},
         {"learning.group_rates": RATES}, (SIMULATED,)),
    Part("warm-up", "rates rise from nothing", {"learning.warm_up_steps": 0}, {"learning.warm_up_steps": 20}),
    Part("clipping", "no gradient is longer than a limit", {"learning.clip_norm": NO_LIMIT},
         {"learning.clip_norm": 5.0}),
    Part("guidance", "constraints by research", {"learning.guidance_rate": 0.0}, {"learning.guidance_rate": 0.05},
         (SIMULATED,)),
    Part("consistency", "modalities agree", {"learning.consistency_weight": 0.0},
         {"learning.consistency_weight": 0.5}, (SIMULATED,)),
    Part("dropout", "modalities are hidden now and then", {"learning.modality_dropout": 0.0},
         {"learning.modality_dropout": 0.15}, (SIMULATED,)),
    Part("trust", "raters weigh by agreement", {"memory.trust_floor": 1.0}, {"memory.trust_floor": 0.1},
         (SIMULATED,)),
    Part("delay weights", "classes that come late weigh more", {"delay_weights": False}, {"delay_weights": True},
         (SIMULATED,)),
)  # fmt: skip


def chosen(names: Iterable[str] | None) -> tuple[Part, ...]:
    """The parts called ``names``, or all. Raises KeyError for a name that is none."""
    by_name = {part.name: part for part in PARTS}
    return PARTS if names is None else tuple(by_name[name] for name in names)

"""What research asks of the model's outputs: constraints with multipliers, not constants added to gradients.

Adding a constant c to every entry of a gradient is the gradient of c·Σθ, which says nothing of classrooms and has no
bound. Here a step solves  min L  subject to  g_k ≤ ε_k  by gradient steps on the Lagrangian (Bertsekas 1982, ch. 4):

    λ_k ← [λ_k + η · w_k · mean(g_k − ε_k)]₊          g ← g + Σ λ_k ∇g_k

and where the whole still goes against an active constraint, ⟨g, ∇g_k⟩ < 0, that part is taken out of it (Yu et al.
2020, PCGrad; Chaudhry et al. 2019, eq. 11). A constraint that is kept has λ = 0 and does not touch the gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from learners.settings import LearningSettings
from learners.targets import Targets
from learners.tasks import Constraint, Task
from schemas.training import TrainExample

Floats = npt.NDArray[np.float32]
Gradients = Mapping[str, Floats]

NAMES: tuple[Constraint, ...] = get_args(Constraint)
SLACK: Mapping[Constraint, float] = {
    "question_quality": 0.1, "wait_time": 0.05, "scaffolding": 0.02, "responsiveness": 0.1,
}  # fmt: skip
SMOOTHING = 0.9  # of the mean violation, a step
UNSTATED = 0.3  # of an open question's weight where no expert said that open questions are wanted
PRECISION = 0.5  # of what is called open, at least so much is
BAND = (0.6, 0.9)  # chance of the next right answer in the zone of proximal development
TINY = 1e-30  # of a sum of probabilities, which may all be zero in 32 bits
CONTINGENT = 0.7  # probability of a contingent reply where an expert saw one


class Moment(NamedTuple):
    """The examples of a batch that are labelled with a task: its logits [k, logits] there, labels and examples."""

    task: Task
    logits: Tensor
    labels: Floats
    examples: Sequence[TrainExample]
    settings: LearningSettings


def question_quality(moment: Moment) -> Tensor | None:
    """What confirmed open questions lack of being called open, 1 − soft recall (Hart & Risley 1995 on why they matter).

    Calling everything open is no way out: the soft precision has to stay above ``PRECISION``. A question counts in
    full where an expert prefers open ones, else ``UNSTATED``.
    """
    said = moment.logits.softmax(dim=1)[:, moment.task.classes.index("open")]
    confirmed = torch.from_numpy(moment.labels[:, moment.task.classes.index("open")])
    if not confirmed.any():
        return None
    stated = ["prefers_open_questions" in example.flags for example in moment.examples]
    counts = confirmed * torch.where(torch.tensor(stated), 1.0, UNSTATED)
    shortfall = (counts * (1 - said)).sum() / confirmed.sum()
    return shortfall + torch.relu(PRECISION - (confirmed * said).sum() / said.sum().clamp(min=TINY))


def wait_time(moment: Moment) -> Tensor | None:
    """By what share of it the wait said for complex questions leaves [wait_low_s, wait_high_s] seconds.

    Rowe (1986) supports three seconds and more; the upper end follows Tobin (1987). A question is complex if it is
    labelled open; simple ones may be answered at once.
    """
    is_complex = [example.labels.get("question_type") == "open" for example in moment.examples]
    if not any(is_complex):
        return None
    lowest, highest = moment.task.range or (0.0, 1.0)
    seconds = lowest + (highest - lowest) * moment.logits[torch.tensor(is_complex), 0].sigmoid()
    low, high = moment.settings.wait_low_s, moment.settings.wait_high_s
    return (torch.relu(low - seconds) / low + torch.relu(seconds - high) / high).mean()


def scaffolding(moment: Moment) -> Tensor | None:
    """By how much support rises with mastery, over pairs of different zones: it should fall (Wood, Bruner & Ross 1976).

    Support is the mean probability of the techniques; the zones lie below, in and above ``BAND``, the zone of proximal
    development (Vygotsky 1978). Age is no measure of mastery: it is only a feature.
    """
    known = [example.input.mastery is not None for example in moment.examples]
    zones = torch.tensor([np.digitize(example.input.mastery or 0.0, BAND) for example in moment.examples])
    higher = (zones[:, None] > zones[None, :]) & torch.tensor(known)[:, None] & torch.tensor(known)[None, :]
    if not higher.any():
        return None
    support = moment.logits.sigmoid().mean(dim=1)
    return torch.relu(support[:, None] - support[None, :])[higher].mean()


def responsiveness(moment: Moment) -> Tensor | None:
    """What the probability of a contingent reply lacks of ``CONTINGENT`` where an expert marked one."""
    marked = torch.from_numpy(moment.labels[:, 0] >= 0.5)
    return torch.relu(CONTINGENT - moment.logits[marked, 0].sigmoid()).mean() if marked.any() else None


MEASURES: Mapping[Constraint, Callable[[Moment], Tensor | None]] = {
    "question_quality": question_quality,
    "wait_time": wait_time,
    "scaffolding": scaffolding,
    "responsiveness": responsiveness,
}


def violations(
    logits: Mapping[str, Tensor],
    labels: Sequence[Targets],
    examples: Sequence[TrainExample],
    settings: LearningSettings,
) -> dict[Constraint, Tensor]:
    """The violation g_k of each constraint that this batch says something about."""
    found = {}
    for given in labels if settings.guidance_rate else ():
        task = given.task
        if task.constraint is not None and task.research_weight:
            mine = [examples[at] for at in given.examples]
            moment = Moment(task, logits[task.name][torch.from_numpy(given.examples)], given.values, mine, settings)
            if (violation := MEASURES[task.constraint](moment)) is not None:
                found[task.constraint] = violation
    return found


def guided(
    gradients: Gradients,
    found: Mapping[Constraint, Tensor],
    multipliers: Floats,
    gradients_of: Callable[[Tensor], Gradients],
) -> Gradients:
    """``gradients`` with the pull of each active constraint, without what still goes against it.

    ``multipliers``: float32 [4, 2] as ``updated`` returns them. With no active constraint these are the very gradients.
    """
    for name, violation in found.items():
        if (strength := multipliers[NAMES.index(name), 0]) > 0 and violation.item() > 0:
            pull = gradients_of(violation)
            gradients = projected({key: g + strength * pull[key] for key, g in gradients.items()}, pull)
    return gradients


def projected(gradients: Gradients, against: Gradients) -> Gradients:
    """``gradients`` without what goes against ``against``: g − ⟨g, a⟩ a / ‖a‖² if ⟨g, a⟩ < 0."""
    along, square = dot(gradients, against), dot(against, against)
    if along >= 0 or square == 0:
        return gradients
    return {name: g - np.float32(along / square) * against[name] for name, g in gradients.items()}


def dot(one: Gradients, other: Gradients) -> float:
    """⟨one, other⟩ over all parameters."""
    return sum(float(np.vdot(gradient, other[name])) for name, gradient in one.items())


def updated(multipliers: Floats, found: Mapping[Constraint, Tensor], settings: LearningSettings) -> Floats:
    """The multipliers after a step: float32 [4, 2], λ and the running mean of g − ε, of each of ``NAMES``."""
    after = multipliers.copy()
    weights = {task.constraint: task.research_weight for task in settings.tasks}
    for name, violation in found.items():
        strength, mean = multipliers[NAMES.index(name)]
        mean = SMOOTHING * mean + (1 - SMOOTHING) * (violation.item() - SLACK[name])
        strength = min(max(strength + settings.guidance_rate * weights[name] * mean, 0.0), settings.guidance_limit)
        after[NAMES.index(name)] = strength, mean
    return after


def told(multipliers: Floats, found: Mapping[Constraint, Tensor]) -> dict[str, float]:
    """What a step's record says of each constraint met: its violation and its multiplier."""
    said: dict[str, float] = {}
    for name, violation in found.items():
        said |= {f"{name}.violation": violation.item(), f"{name}.multiplier": float(multipliers[NAMES.index(name), 0])}
    return said


def no_multipliers() -> Floats:
    """Those of a model that was never guided."""
    return np.zeros((len(NAMES), 2), dtype=np.float32)

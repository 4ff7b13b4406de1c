"""What a gradient step says of itself, as metrics."""

from __future__ import annotations

from learners.probe import SKILLS
from schemas.training import TrainStep
from streams.metrics import Metrics

SCALE = "group."


def observe_step(metrics: Metrics, said: TrainStep) -> None:
    """Show what guided the step, the pace of each task group, and what the probe answered, if it was asked."""
    for name, value in said.guidance.items():
        constraint, _, what = name.rpartition(".")
        if what == "violation":
            metrics.gauge("constraint_violation", value, constraint=constraint)
        else:
            metrics.gauge("constraint_multiplier", value, constraint=constraint)
    for name, value in said.rates.items():
        if name.startswith(SCALE):
            metrics.gauge("rate_scale", value, group=name.removeprefix(SCALE))
    for task, skill in skills(said.probe).items():
        metrics.gauge("probe_skill", skill, task=task)
    for alert in said.alerts:
        metrics.count("learning_alerts", alert=alert)


def skills(probe: dict[str, float]) -> dict[str, float]:
    """Of each task the one figure that stands for it, from a step's ``probe``."""
    found: dict[str, float] = {}
    for task in dict.fromkeys(name.rpartition(".")[0] for name in probe):
        found[task] = next(probe[f"{task}.{skill}"] for skill in SKILLS if f"{task}.{skill}" in probe)
    return found

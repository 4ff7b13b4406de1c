from __future__ import annotations

from schemas.training import TrainStep
from streams.metrics import Metrics
from streams.steps import observe_step, skills

SAID = TrainStep(
    model="main", lineage="l", version="l:7", request="r", offset=6, applied=True, losses={}, norms={}, new=(),
    replayed=(), rates={"dense": 0.001, "group.move": 0.5}, alerts=("converged",),
    guidance={"wait_time.violation": 0.25, "wait_time.multiplier": 0.125},
    probe={"move.mcc": 0.75, "move.accuracy": 0.875, "depth.correlation": 0.5, "depth.mae": 0.1},
)  # fmt: skip


def sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"currere_{name}", labels)


def test_an_operator_sees_what_guided_the_step():
    metrics = Metrics()
    observe_step(metrics, SAID)
    assert sample(metrics, "constraint_violation", constraint="wait_time") == 0.25
    assert sample(metrics, "constraint_multiplier", constraint="wait_time") == 0.125
    assert sample(metrics, "rate_scale", group="move") == 0.5


def test_an_operator_sees_one_skill_a_task_and_every_alert():
    metrics = Metrics()
    observe_step(metrics, SAID)
    assert sample(metrics, "probe_skill", task="move") == 0.75
    assert sample(metrics, "probe_skill", task="depth") == 0.5
    assert sample(metrics, "learning_alerts_total", alert="converged") == 1


def test_a_step_without_a_probe_leaves_the_last_skill_as_it_was():
    metrics = Metrics()
    observe_step(metrics, SAID)
    observe_step(metrics, SAID.model_copy(update={"probe": {}}))
    assert sample(metrics, "probe_skill", task="move") == 0.75
    assert skills({}) == {}

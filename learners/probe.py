"""A frozen probe inside the fold: examples that the model never learns from and is asked every so many steps.

The same log gives the same scores, so that a lineage's retention can be checked like its weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from learners.metrics import Prequential
from learners.model import Model, served_view
from learners.predict import predict
from learners.stopping import alerts, remembered
from schemas.training import TrainExample

PROBE = "probe"  # in the state: the examples as JSON; probe.skill/TASK and probe.history beside it
SKILLS = ("mcc", "correlation")  # of a task of classes, of a number
EXAMPLES = TypeAdapter(tuple[TrainExample, ...])


def set_probe(state: dict[str, npt.NDArray[Any]], examples: Sequence[TrainExample]) -> None:
    """Ask ``examples``, too, from now on; what the smaller probe scored is forgotten.

    A probe may come in several requests: an event holds 900,000 bytes, and its examples are not kept waiting.
    """
    before = _examples(state[PROBE].tobytes()) if PROBE in state else ()
    whole = tuple({example.id: example for example in (*before, *examples)}.values())
    for name in [name for name in state if name.startswith(PROBE)]:
        del state[name]
    state[PROBE] = np.frombuffer(EXAMPLES.dump_json(whole, exclude_defaults=True), dtype=np.uint8).copy()


def probe_now(model: Model) -> tuple[dict[str, float], tuple[str, ...]]:
    """What the served average scores on the probe, by ``TASK.METRIC``, and what its history says.

    Both are empty between evaluations, and without a probe. The history is of the mean over tasks of a task's skill:
    MCC, of several classes their mean, or the correlation of a number; see ``learners.stopping`` for what it says.
    """
    if PROBE not in model.state or model.steps % model.settings.probe_steps:
        return {}, ()
    found = scores(model, _examples(model.state[PROBE].tobytes()))
    if not found:  # no example's label is of a task that its speaker's role is asked
        return {}, ()
    skills = {task: next(metrics[name] for name in SKILLS if name in metrics) for task, metrics in found.items()}
    for task, skill in skills.items():
        model.state[f"{PROBE}.skill/{task}"] = np.array([skill], dtype=np.float32)
    before = model.state.get(f"{PROBE}.history", np.zeros(0, dtype=np.float32)).tolist()
    history = remembered(before, float(np.mean([*skills.values()])))
    model.state[f"{PROBE}.history"] = np.array(history, dtype=np.float32)
    said = {f"{task}.{name}": value for task, metrics in found.items() for name, value in metrics.items()}
    return said, alerts(history)


def probe_skills(model: Model) -> dict[str, float]:
    """The last skill of each task on the probe, by ``probe.TASK``."""
    skill = f"{PROBE}.skill/"
    found = {name.removeprefix(skill): a for name, a in model.state.items() if name.startswith(skill)}
    return {f"{PROBE}.{task}": float(array[0]) for task, array in found.items()}


def scores(model: Model, examples: Sequence[TrainExample]) -> Mapping[str, Mapping[str, float]]:
    """By task the metrics of what the served average says of ``examples`` (``learners.tally``)."""
    tally = Prequential()
    outputs = predict(served_view(model), [example.input for example in examples])
    for example, said in zip(examples, outputs, strict=True):
        for task, label in example.labels.items():
            tally.update(task, label, said.get(task), example.delay_s)
    return {task: summary["all"] for task, summary in tally.summary().items() if summary["all"].get("n")}


@lru_cache(maxsize=4)
def _examples(written: bytes) -> tuple[TrainExample, ...]:
    return EXAMPLES.validate_json(written)

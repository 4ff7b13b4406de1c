"""A frozen probe inside the fold: examples that the model never learns from and is asked every so many steps.

The same log gives the same scores, so that a lineage's retention can be checked like its weights. The model holds what
it sees of the examples and their labels, not what was said: its snapshots go to whoever follows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic_core import from_json, to_json

from learners.encode import ROLES, Features, encode
from learners.metrics import Prequential
from learners.model import Model, id_hash, served_view
from learners.predict import outputs, predict_arrays
from learners.settings import LearningSettings
from learners.stopping import alerts, remembered
from schemas.feedback import LabelValue
from schemas.training import TrainExample

PROBE = "probe"  # in the state: probe.ids, probe.labels, probe.seen/FEATURE; and probe.skill/TASK, probe.history
IDS, LABELS, SEEN = f"{PROBE}.ids", f"{PROBE}.labels", f"{PROBE}.seen/"
SKILLS = ("mcc", "correlation")  # of a task of classes, of a number
State = dict[str, npt.NDArray[Any]]


def set_probe(state: State, examples: Sequence[TrainExample], settings: LearningSettings) -> None:
    """Ask ``examples``, too, from now on; what the smaller probe scored is forgotten.

    A probe may come in several requests: an event holds 900,000 bytes, and its examples are not kept waiting.
    """
    before, labels = _ids(state), _labels(state)
    added = {id_hash(example.id): example for example in examples if id_hash(example.id) not in before}
    seen = encode([example.input for example in added.values()], settings)
    whole = _joined(_seen(state), seen) if before else seen
    for name in [name for name in state if name.startswith(PROBE)]:
        del state[name]
    state[IDS] = np.frombuffer(b"".join((*before, *added)), dtype=np.uint8).reshape(-1, 16).copy()
    state[LABELS] = np.frombuffer(to_json([*labels, *(one.labels for one in added.values())]), dtype=np.uint8).copy()
    for part in fields(Features):
        state[f"{SEEN}{part.name}"] = getattr(whole, part.name)


def never_asked(model: Model, examples: Iterable[TrainExample]) -> list[bool]:
    """Of each example whether it is not in the probe."""
    asked = _ids(model.state)
    return [not asked or id_hash(example.id) not in asked for example in examples]


def probe_now(model: Model) -> tuple[dict[str, float], tuple[str, ...]]:
    """What the served average scores on the probe, by ``TASK.METRIC``, and what its history says.

    Both are empty between evaluations, and without a probe. The history is of the mean over tasks of a task's skill:
    MCC, of several classes their mean, or the correlation of a number; see ``learners.stopping`` for what it says.
    """
    if IDS not in model.state or model.steps % model.settings.probe_steps:
        return {}, ()
    found = scores(model)
    if not found:  # no example's label is of a task that was taught and that its speaker's role is asked
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


def scores(model: Model) -> Mapping[str, Mapping[str, float]]:
    """By task the metrics of what the served average says of the probe (``learners.tally``), of tasks ever taught."""
    seen, labels, tally = _seen(model.state), _labels(model.state), Prequential()
    logits = predict_arrays(served_view(model), seen)
    roles = [ROLES[role] for role in seen.roles]
    for task in model.settings.tasks:
        applies = [task.role in (None, role) and task.name in given for role, given in zip(roles, labels, strict=True)]
        if task.name in logits and any(applies):
            mine = np.flatnonzero(applies)
            for at, said in zip(mine, outputs(task, logits[task.name][mine]), strict=True):
                tally.update(task.name, _label(labels[at][task.name]), said, 0.0)
    return {task: summary["all"] for task, summary in tally.summary().items() if summary["all"].get("n")}


def _ids(state: Mapping[str, npt.NDArray[Any]]) -> dict[bytes, None]:
    return {row.tobytes(): None for row in state.get(IDS, np.zeros((0, 16), dtype=np.uint8))}


def _labels(state: Mapping[str, npt.NDArray[Any]]) -> list[dict[str, Any]]:
    return list(from_json(state[LABELS].tobytes())) if LABELS in state else []


def _label(value: Any) -> LabelValue:
    return tuple(value) if isinstance(value, list) else value


def _seen(state: Mapping[str, npt.NDArray[Any]]) -> Features:
    return Features(**{part.name: state[f"{SEEN}{part.name}"] for part in fields(Features)})


def _joined(one: Features, other: Features) -> Features:
    """The examples of both, in order."""
    whole = {p.name: np.concatenate((getattr(one, p.name), getattr(other, p.name))) for p in fields(Features)}
    return Features(**{**whole, "starts": np.concatenate((one.starts, other.starts[1:] + one.starts[-1]))})

"""What the runs over task sets come to: means over cuts, what learning together costs, what is forgotten in turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.output import table
from benchmarks.tasks_data import tasks_of
from benchmarks.tasks_floor import KEPT_BACK
from benchmarks.tasks_run import Run, Scores
from learners.retention import Retention
from streams.charts import Interval, bars

KINDS = ("alone", "alone_error", "together", "loss_together", "in_turn")

Summary = dict[str, Scores]  # by kind, and the figures of ``Retention`` as ``forgetting``


def summary(runs: Sequence[Run], sets: Sequence[str], encoder: str) -> Summary:
    """Means over cuts, of one encoder: each set learned alone, all mixed, all in turn; and what was forgotten in turn.

    ``loss_together`` is alone less together; ``alone_error`` the standard error of the mean over cuts.
    """
    by_name: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.fold):
        by_name.setdefault(run.name, []).append(run)
    each = [[run.scores[-1] for run in by_name[f"{encoder}/alone/{name}"]] for name in sets]
    alone = [{task: value for one in cut for task, value in one.items()} for cut in zip(*each, strict=True)]
    mixed = mean([run.scores[-1] for run in by_name[f"{encoder}/together"]])
    turn = by_name[f"{encoder}/in-turn"]
    return {
        "alone": mean(alone),
        "alone_error": error(alone),
        "together": mixed,
        "loss_together": {task: value - mixed[task] for task, value in mean(alone).items()},
        "in_turn": mean([run.scores[-1] for run in turn]),
        "forgetting": Retention(matrix(turn, sets)).summary(),
    }


def matrix(turn: Sequence[Run], sets: Sequence[str]) -> list[list[float]]:
    """R: after each set the score of each, the mean over its tasks and over cuts."""
    after = [mean([run.scores[at] for run in turn]) for at in range(len(sets))]
    return [[float(np.mean([scores[task.name] for task in tasks_of((name,))])) for name in sets] for scores in after]


def mean(scores: Sequence[Scores]) -> Scores:
    """The mean of each task's scores."""
    return {task: float(np.mean([one[task] for one in scores])) for task in scores[0]}


def error(scores: Sequence[Scores]) -> Scores:
    """The standard error of each task's mean; 0 of a single score."""
    if len(scores) < 2:
        return dict.fromkeys(scores[0], 0.0)
    return {task: float(np.std([one[task] for one in scores], ddof=1) / len(scores) ** 0.5) for task in scores[0]}


def show(found: Mapping[str, Summary], words: Sequence[Scores], sets: Sequence[str]) -> None:
    """Print a table an encoder, and what was forgotten."""
    columns = ("set", "task", "alone", "± se", "together", "lost", "in turn", "words offline", "floor")
    offline = mean(words)
    for encoder, of in found.items():
        rows = [
            (name, task, *(of[kind][task] for kind in KINDS), offline.get(task), KEPT_BACK.get(task))
            for name in sets
            for task in _names(name)
        ]
        table(columns, rows, f"One online pass, {encoder} encoder: scores on what was kept back")
        table(("figure", "value"), list(of["forgetting"].items()), "Learned in turn: the sets as tasks of a learner")


def as_object(found: Mapping[str, Summary], words: Sequence[Scores], sets: Sequence[str]) -> dict[str, object]:
    """By kind, encoder, set and task; the only task of a set goes by its score: ``spearman`` or ``macro_f1``."""
    return {
        **{kind: {encoder: by_set(of[kind], sets) for encoder, of in found.items()} for kind in KINDS},
        "most_lost_together": {encoder: max(of["loss_together"].values()) for encoder, of in found.items()},
        "forgetting": {encoder: of["forgetting"] for encoder, of in found.items()},
        "floors": {"kept_back": by_set(KEPT_BACK, sets), "words_offline": by_set(mean(words), sets)},
    }


def by_set(scores: Scores, sets: Sequence[str]) -> dict[str, dict[str, float]]:
    """``scores`` by set and task."""
    return {
        name: {_key(name, task): round(scores[task], 4) for task in _names(name) if task in scores} for name in sets
    }


def _names(of: str) -> tuple[str, ...]:
    return tuple(task.name for task in tasks_of((of,)))


def _key(name: str, task: str) -> str:
    tasks = tasks_of((name,))
    if len(tasks) > 1:
        return task
    return "spearman" if tasks[0].range else "macro_f1"


def chart(found: Mapping[str, Summary], sets: Sequence[str]) -> str:
    """A bar for each task, encoder and way of learning, with two standard errors where each cut was learned alone."""
    rows = []
    for task in (task for name in sets for task in _names(name)):
        for encoder, of in found.items():
            value, spread = of["alone"][task], 2 * of["alone_error"][task]
            rows.append(Interval(f"{task}, {encoder}", value, value - spread, value + spread))
            rows.append(Interval("  together", of["together"][task]))
    return bars("Task sets, on what was kept back", "Spearman or macro F1", rows)

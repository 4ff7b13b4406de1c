"""What runs over recorded lessons say together: means over cuts, intervals over teachers, the price of one pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import numpy as np

from benchmarks.talkmoves_data import MOVES, TEACHER
from benchmarks.talkmoves_run import Run, Tables
from learners.bootstrap import bootstrap_sums
from learners.paired import Figure, macro_f1, matthews
from learners.tasks import default_tasks

CLASSES = {task.name: task.classes for task in default_tasks() if task.name in MOVES.values()}
FIGURES: dict[str, Figure] = {"mcc": matthews, "macro_f1": partial(macro_f1, besides=0)}


def summary(runs: Sequence[Run]) -> dict[str, object]:
    """What the runs of one encoder say."""
    online = _named(runs, "online")
    beside = {(run.job.salt, run.job.seed) for run in _named(runs, "offline") + _named(runs, "teachers")}
    same = [run for run in online if (run.job.salt, run.job.seed) in beside]
    return {
        **{
            speaker: figures([run.unseen[-1][task] for run in online], CLASSES[task]) for speaker, task in MOVES.items()
        },
        "prequential_last_quarter": {
            speaker: {
                name: _mean(float(figure(run.before[task])) for run in online) for name, figure in FIGURES.items()
            }
            for speaker, task in MOVES.items()
        },
        "cuts": [_cut(run) for run in online],
        "teachers_alone": _alone(same, _named(runs, "teachers")),
        "offline": _offline(same, _named(runs, "offline")),
        "costs": {name: _mean(run.costs[name] for run in online) for name in online[0].costs},
    }


def _named(runs: Sequence[Run], kind: str) -> list[Run]:
    return [run for run in runs if run.job.name.split("/")[1] == kind]


def figures(cuts: Sequence[Mapping[str, Tables]], classes: Sequence[str]) -> dict[str, object]:
    """Means over cuts of the figures of their groups' tables, with intervals over groups, and the F1 of each class."""
    groups = sorted({group for tables in cuts for group in tables})
    empty = np.zeros_like(next(iter(cuts[0].values())))
    sums = np.array([[tables.get(group, empty) for tables in cuts] for group in groups])
    found: dict[str, object] = {}
    for name, figure in FIGURES.items():
        interval = bootstrap_sums(partial(_mean_over_cuts, figure), sums, seed=0)
        found |= {name: round(interval.value, 4), f"{name}_interval": [round(interval.low, 4), round(interval.high, 4)]}
    by_class = f1s(sums.sum(axis=0)).mean(axis=0).round(4).tolist()
    return {**found, "f1_by_class": dict(zip(classes, by_class, strict=True))}


def _mean_over_cuts(figure: Figure, tables: Tables) -> float:
    return float(np.mean(figure(tables)))


def f1s(tables: Tables) -> Tables:
    """The F1 of each class of confusion tables [..., true, said]; 0 of a class that never came."""
    both = tables.sum(axis=-1) + tables.sum(axis=-2)
    return np.asarray(2 * np.diagonal(tables, axis1=-2, axis2=-1) / np.maximum(both, 1))


def _value(tables: Mapping[str, Tables], figure: str) -> float:
    return float(FIGURES[figure](np.sum([*tables.values()], axis=0)))


def _cut(run: Run) -> dict[str, object]:
    values = {
        f"{speaker}_{name}": round(_value(run.unseen[-1][task], name), 4)
        for speaker, task in MOVES.items()
        for name in FIGURES
    }
    return {"salt": run.job.salt, "seed": run.job.seed, **values}


def _alone(together: Sequence[Run], alone: Sequence[Run]) -> dict[str, float]:
    """Teachers' moves learned without the students', and what learning both gains the teachers on the same cuts."""
    if not alone:
        return {}
    mcc = [_mean(_value(run.unseen[-1][TEACHER], "mcc") for run in runs) for runs in (alone, together)]
    f1 = [_mean(_value(run.unseen[-1][TEACHER], "macro_f1") for run in runs) for runs in (alone, together)]
    return {
        "mcc": mcc[0],
        "macro_f1": f1[0],
        "gain_mcc_of_both": round(mcc[1] - mcc[0], 4),
        "gain_macro_f1_of_both": round(f1[1] - f1[0], 4),
    }


def _offline(online: Sequence[Run], offline: Sequence[Run]) -> dict[str, object]:
    """The same net after each shuffled pass; the price of one pass online is to the best of them."""
    if not offline:
        return {}
    epochs = [
        {
            speaker: {name: _mean(_value(run.unseen[epoch][task], name) for run in offline) for name in FIGURES}
            for speaker, task in MOVES.items()
        }
        for epoch in range(offline[0].job.epochs)
    ]
    best = max(epoch["teacher"]["mcc"] for epoch in epochs)
    once = _mean(_value(run.unseen[-1][TEACHER], "mcc") for run in online)
    return {"epochs": epochs, "online_mcc_same_cuts": once, "price_mcc": round(best - once, 4)}


def _mean(values: Iterable[float]) -> float:
    return round(float(np.mean([*values])), 4)

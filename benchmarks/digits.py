"""Split-Digits, one pass: how much of five tasks in turn each method still knows at the end, beside its reference.

scikit-learn's digits, two classes a task, ten new and ten replayed a step, a memory of 100, one hidden layer of 128.
Every method but ``slda`` is a setting of the one guided step, folded over train requests; see digits_methods.py.
ACC is the mean over tasks of the accuracy at the end; forgetting the mean fall from each task's best before the end
(Chaudhry et al. 2018); sd that of ACC over runs, which differ in split, order, memory and first weights.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass

import numpy as np

from benchmarks.digits_methods import REFERENCES, Figure
from benchmarks.digits_run import matrix
from benchmarks.digits_stream import SCENARIOS, TASKS, Scenario
from benchmarks.output import arguments, count, finish, program, progress, table
from learners.fingerprint import fix_threads
from learners.retention import Retention
from streams.charts import Interval, bars, curves

NAMES = ("finetune", "ewc", "a-gem", "er", "er-ace", "der++", "slda", "iid", "default")
COLUMNS = ("method", "ACC", "sd", "forgetting", "ACC then", "difference", "forgetting then", "difference ")
Run = tuple[Scenario, str, int]


@dataclass(frozen=True, slots=True)
class Score:
    """Over runs, in percent points: means of ACC and forgetting, and the deviation of ACC between runs."""

    acc: float
    forgetting: float
    sd: float

    @classmethod
    def of(cls, runs: Sequence[Retention]) -> Score:
        """What ``runs`` say; the deviation is the sample's, 0 of one run."""
        accs = [100 * run.acc for run in runs]
        sd = float(np.std(accs, ddof=1)) if len(accs) > 1 else 0.0
        return cls(float(np.mean(accs)), float(np.mean([100 * run.forgetting for run in runs])), sd)

    def rounded(self) -> dict[str, float]:
        """As the JSON says it."""
        return {"acc": round(self.acc, 2), "forgetting": round(self.forgetting, 2), "sd": round(self.sd, 2)}


def measure(names: Sequence[str], seeds: int, processes: int) -> dict[Scenario, dict[str, list[Retention]]]:
    """The matrices of every method in both settings of the stream, run after run."""
    asked = [(scenario, name, seed) for scenario in SCENARIOS for name in names for seed in range(seeds)]
    found: dict[Run, Retention] = {}
    with progress("runs", len(asked)) as advance:
        for one, accuracies in _done(asked, processes):
            found[one] = Retention(accuracies)
            advance()
    return {s: {name: [found[s, name, seed] for seed in range(seeds)] for name in names} for s in SCENARIOS}


def _done(asked: Sequence[Run], processes: int) -> Iterator[tuple[Run, list[list[float]]]]:
    """Each run with its matrix, as they are done."""
    if processes == 1:
        fix_threads()
        yield from ((one, matrix(*one)) for one in asked)
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=spawn, initializer=fix_threads) as pool:
        running = {pool.submit(matrix, *one): one for one in asked}
        yield from ((running[done], done.result()) for done in as_completed(running))


def row(name: str, found: Score, then: Figure | None) -> list[str | None]:
    """A line of the table: what was found beside what it was ``then``."""
    mine: list[str | None] = [name, f"{found.acc:.1f}", f"{found.sd:.1f}", f"{found.forgetting:.1f}"]
    if then is None:
        return [*mine, None, None, None, None]
    forgotten: list[str | None] = [None, None]
    if then.forgetting is not None:
        forgotten = [f"{then.forgetting:.1f}", f"{found.forgetting - then.forgetting:+.1f}"]
    return [*mine, f"{then.acc:.1f}", f"{found.acc - then.acc:+.1f}", *forgotten]


def drawn(scenario: Scenario, found: Mapping[str, Sequence[Retention]]) -> dict[str, str]:
    """Two plots: the accuracy over the tasks met so far as they come, and that over all of them at the end."""
    title = f"Split-Digits, {scenario.replace('_', '-')}"
    ways = {name: [(t + 1.0, _so_far(runs, t)) for t in range(len(TASKS))] for name, runs in found.items()}
    ends = [Interval(name, s.acc, s.acc - s.sd, s.acc + s.sd) for name, runs in found.items() if (s := Score.of(runs))]
    return {
        f"digits-{scenario}-tasks": curves(title, "tasks met", "accuracy on them, %", ways),
        f"digits-{scenario}-acc": bars(title, "ACC, %, and its deviation between runs", ends),
    }


def _so_far(runs: Sequence[Retention], part: int) -> float:
    return 100 * float(np.mean([run.matrix[part, : part + 1].mean() for run in runs]))


def _arguments() -> argparse.ArgumentParser:
    parser = arguments(__doc__, "currere bench digits --seeds 8 --json")
    parser.add_argument("--seeds", type=count, default=8, help="runs of each method (default: 8)")
    parser.add_argument("--methods", nargs="+", choices=NAMES, default=NAMES, metavar="METHOD", help=", ".join(NAMES))
    cores = min(os.cpu_count() or 1, 2)
    parser.add_argument("--processes", type=int, default=cores, help="at once, of one thread each (default: up to 2)")
    return parser


def main() -> None:
    """Measure, and show what was found."""
    given = _arguments().parse_args()
    measured = measure(given.methods, given.seeds, given.processes)
    plots: dict[str, str] = {}
    for scenario, found in measured.items():
        lines = [row(name, Score.of(runs), REFERENCES[scenario].get(name)) for name, runs in found.items()]
        table(COLUMNS, lines, f"{scenario.replace('_', '-')}, {given.seeds} runs, percent points")
        plots |= drawn(scenario, found)
    scores = {str(s): {name: Score.of(runs).rounded() for name, runs in found.items()} for s, found in measured.items()}
    finish(scores, given, plots)


if __name__ == "__main__":
    program(main)

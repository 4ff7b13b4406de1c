"""Which parts of the learning core help: each is switched the other way by itself, on real and on simulated data.

    currere bench ablate --seeds 5 --plots plots --json

A part that is on by default is switched off, one that is off is switched on; the figure is what the part adds: with it
less without it. Runs are paired: the same seed means the same lessons in the same order, the same first weights, the
same questions at the end. The interval is a percentile bootstrap (Efron 1979) over seeds and, within each, blocks of
teachers or sessions, at the level that --level says for each figure by itself; of some hundred figures five may seem to
differ by chance alone. What shows no difference here may still matter elsewhere: a stream with one teacher, with an
adversary, with tasks that come and go. And a pass of some hundred steps is short: what pays late, the average above
all, which lags behind while weights still move fast, may seem to hurt; ``--examples 60000`` makes it long.

Real: TalkMoves (``--data``), one pass over some thousand sentences, asked of teachers that were never met. Simulated:
utterances with audio and video, late and wrong labels, a drift halfway (``--simulator``), asked for the true question
type: now, of the world before the drift, with the sound cut off, from the sound alone; and how many of the waits that
it says for open questions lie in the band that research asks for, which is what guidance is for. Figures are MCC, but
for the waits, whose figure is a share.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.ablate_data import SIMULATOR, TALKMOVES, WAITS, Stream, simulated, talkmoves
from benchmarks.ablate_parts import PARTS, REAL, SIMULATED, Part, Recipe, chosen
from benchmarks.ablate_run import Floats, run
from benchmarks.output import arguments, count, finish, program, progress, table
from learners.bootstrap import Interval, between
from learners.fingerprint import fix_threads
from learners.paired import Figure, in_words, matthews
from streams import charts

DRAWS = 1_000
WORDS = {"better": "helps", "worse": "hurts", "no difference shown": "no difference shown"}


class Job(NamedTuple):
    """A run to be made: on which data, with which part switched (None: none), under which seed."""

    data: str
    part: str | None
    seed: int


class Sizes(NamedTuple):
    """Where the data is and how much of it is used."""

    talkmoves: Path
    simulator: Path
    examples: int
    lines: int


def jobs(parts: Sequence[Part], data: Sequence[str], seeds: int) -> list[Job]:
    """All runs, seed by seed, so that what is done when one stops is whole."""
    return [
        Job(where, name, seed)
        for seed in range(seeds)
        for where in data
        for name in (None, *(part.name for part in parts if where in part.data))
    ]


def done(job: Job, sizes: Sizes) -> dict[str, Floats]:
    """The counts of one run. Runs in a process of its own."""
    fix_threads()
    recipe = Recipe()
    if job.part is not None:
        recipe = chosen([job.part])[0].switched(recipe)
    return run(_stream(job, sizes), recipe, job.seed)


def _stream(job: Job, sizes: Sizes) -> Stream:
    if job.data == REAL:
        return talkmoves(sizes.talkmoves, sizes.examples, job.seed)
    return simulated(sizes.simulator, sizes.lines, job.seed)


def difference(one: Floats, other: Floats, seed: int, level: float, figure: Figure = matthews) -> Interval:
    """By how much ``one`` is above ``other`` on average over seeds; both are counts [seeds, blocks, true, said].

    Seeds are drawn with replacement, then within each drawn seed blocks; both ways of a draw see the same.
    """
    draw = np.random.default_rng(seed)
    both = np.stack((one, other), axis=2)  # [seeds, blocks, 2, true, said]
    met = both.any(axis=(0, 2, 3, 4))
    both = both[:, met]
    seeds, blocks = both.shape[:2]
    found = []
    for _ in range(DRAWS if blocks > 1 else 0):
        times = draw.multinomial(blocks, np.full(blocks, 1 / blocks), size=seeds)
        again = both[draw.integers(seeds, size=seeds)]
        found.append(_apart(np.einsum("sb,sbwij->wsij", times.astype(np.float64), again), figure))
    return between(_apart(both.sum(axis=1).swapaxes(0, 1), figure), np.array(found), level)


def figure_of(probe: str) -> Figure:
    """The figure of a probe: a share of waits, else MCC."""
    return share if probe == WAITS else matthews


def share(tables: Floats) -> Floats:
    """The share of answers that are right, of each table [..., true, said]; 0 of none."""
    right, n = np.trace(tables, axis1=-2, axis2=-1), tables.sum(axis=(-2, -1))
    return np.asarray(right / np.maximum(n, 1))


def _apart(totals: Floats, figure: Figure) -> float:
    """The mean over seeds of the difference between both ways of [2, seeds, true, said]."""
    values = figure(totals)
    return float((values[0] - values[1]).mean())


def effects(
    found: Mapping[Job, Mapping[str, Floats]], parts: Sequence[Part], level: float
) -> dict[str, dict[str, dict[str, Interval]]]:
    """By data and part, of each probe, what the part adds."""
    recipe, told = Recipe(), dict[str, dict[str, dict[str, Interval]]]()
    seeds = sorted({job.seed for job in found})
    for where in dict.fromkeys(job.data for job in found):
        plain = _stacked(found, where, None, seeds)
        for part in (part for part in parts if where in part.data):
            switched = _stacked(found, where, part.name, seeds)
            order = (plain, switched) if part.is_on(recipe) else (switched, plain)
            told.setdefault(where, {})[part.name] = {
                probe: difference(order[0][probe], order[1][probe], 0, level, figure_of(probe)) for probe in plain
            }
    return told


def _stacked(
    found: Mapping[Job, Mapping[str, Floats]], where: str, part: str | None, seeds: Sequence[int]
) -> dict[str, Floats]:
    runs = [found[Job(where, part, seed)] for seed in seeds]
    return {probe: np.stack([one[probe] for one in runs]) for probe in runs[0]}


def levels(found: Mapping[Job, Mapping[str, Floats]]) -> dict[str, dict[str, float]]:
    """The figure of the default recipe itself, by data and probe, mean over seeds."""
    values: dict[str, dict[str, list[float]]] = {}
    for job, probes in found.items():
        if job.part is None:
            for probe, counts in probes.items():
                value = float(figure_of(probe)(counts.sum(axis=0)))
                values.setdefault(job.data, {}).setdefault(probe, []).append(value)
    return {where: {probe: float(np.mean(all_)) for probe, all_ in by.items()} for where, by in values.items()}


def measured(todo: Sequence[Job], sizes: Sizes, processes: int) -> dict[Job, dict[str, Floats]]:
    """All runs, in so many processes."""
    found: dict[Job, dict[str, Floats]] = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context) as pool, progress("runs", len(todo)) as advance:
        waiting: dict[Future[dict[str, Floats]], Job] = {pool.submit(done, job, sizes): job for job in todo}
        for future in as_completed(waiting):
            found[waiting[future]] = future.result()
            advance()
    return found


def show(
    told: Mapping[str, Mapping[str, Mapping[str, Interval]]], by_default: Mapping[str, Mapping[str, float]]
) -> None:
    """Tables for people, and in words what each part does."""
    recipe = Recipe()
    for where, parts in told.items():
        heads = [f"{probe} {value:.3f}" for probe, value in by_default[where].items()]
        rows = [
            (part.name, "on" if part.is_on(recipe) else "off", *map(_cell, parts[part.name].values()))
            for part in PARTS
            if part.name in parts
        ]
        table(("part", "default", *heads), rows, f"{where} data: the default recipe's figures, and what each part adds")
        for name, by_probe in parts.items():
            print(f"{where}, {name} ({chosen([name])[0].what}): {in_short(by_probe)}")


def _cell(at: Interval) -> str:
    return f"{at.value:+.3f} ({at.low:+.3f}, {at.high:+.3f})"


def in_short(by_probe: Mapping[str, Interval]) -> str:
    """In words, where a part helps, where it hurts, and where nothing is shown."""
    where: dict[str, list[str]] = {}
    for probe, at in by_probe.items():
        where.setdefault(_said(at), []).append(probe)
    return "; ".join(f"{verdict}: {', '.join(where[verdict])}" for verdict in WORDS.values() if verdict in where)


def _said(at: Interval) -> str:
    return WORDS[in_words(at)]


def result(
    told: Mapping[str, Mapping[str, Mapping[str, Interval]]], by_default: Mapping[str, Mapping[str, float]],
    given: argparse.Namespace, seconds: float,
) -> dict[str, object]:  # fmt: skip
    """All that was found, as JSON can hold it."""
    recipe = Recipe()
    data: dict[str, object] = {}
    for where, parts in told.items():
        data[where] = {
            "default": {probe: round(value, 4) for probe, value in by_default[where].items()},
            "parts": {
                name: {"default": "on" if chosen([name])[0].is_on(recipe) else "off", "adds": _as_json(probes)}
                for name, probes in parts.items()
            },
        }
    setup = {"seeds": given.seeds, "examples": given.examples, "lines": given.lines, "level": given.level}
    return {"data": data, "setup": setup, "seconds": round(seconds, 1)}


def _as_json(probes: Mapping[str, Interval]) -> dict[str, dict[str, object]]:
    return {
        probe: {**{name: round(value, 4) for name, value in at._asdict().items()}, "verdict": _said(at)}
        for probe, at in probes.items()
    }


def drawn(told: Mapping[str, Mapping[str, Mapping[str, Interval]]]) -> dict[str, str]:
    """A forest plot for each probe."""
    plots = {}
    for where, parts in told.items():
        for probe in next(iter(parts.values())):
            rows = [charts.Interval(name, *by[probe]) for name, by in parts.items()]
            title = f"What each part adds: {where} data, {probe}"
            unit = "difference of the share" if probe == WAITS else "difference of MCC"
            plots[f"ablate-{where}-{probe.replace(' ', '-')}"] = charts.intervals(title, unit, rows)
    return plots


def parser() -> argparse.ArgumentParser:
    """What can be asked for."""
    found = arguments(__doc__, "currere bench ablate --seeds 5 --plots plots --json")
    found.add_argument("--seeds", type=count, default=5, help="runs of everything (default: 5)")
    found.add_argument("--parts", nargs="+", choices=[part.name for part in PARTS], help="only these (default: all)")
    found.add_argument("--data", type=Path, default=TALKMOVES, help="TalkMoves, .jsonl.gz")
    found.add_argument("--simulator", type=Path, default=SIMULATOR, help="program that prints the simulated stream")
    found.add_argument("--examples", type=int, default=12_000, help="real sentences learned (default: 12,000)")
    found.add_argument("--lines", type=int, default=6_000, help="simulated utterances (default: 6,000)")
    found.add_argument("--level", type=float, default=0.95, help="of an interval (default: .95)")
    found.add_argument("--processes", type=int, default=2, help="at once (default: 2)")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is asked, print what each part adds."""
    given = parser().parse_args(argv)
    sizes = Sizes(given.data, given.simulator, given.examples, given.lines)
    data = [where for where, path in ((REAL, given.data), (SIMULATED, given.simulator)) if path.exists()]
    if not data:
        print(f"there is neither {given.data} nor {given.simulator}", file=sys.stderr)
        return 2
    parts, begun = chosen(given.parts), time.perf_counter()
    found = measured(jobs(parts, data, given.seeds), sizes, given.processes)
    told, by_default = effects(found, parts, given.level), levels(found)
    show(told, by_default)
    finish(result(told, by_default, given, time.perf_counter() - begun), given, drawn(told))
    return 0


if __name__ == "__main__":
    program(main)

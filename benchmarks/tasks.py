"""Further task sets, learned online in one pass each, then all in one stream, then one after the other.

Uptake, MRBench's four judgements, MathDial's moves and CIMA's actions: configuration and a reader each, one analyzer.
Each set is cut by lesson, problem or picture into five parts, of which each is kept back once. Scores are of what was
kept back: Spearman's correlation with the raters' mean for uptake, macro F1 for the others. Beside them stand what
words alone come to, learned offline on the same cuts, and on other dialogues with a whole set (the floor).

--held FILE learns from all of each set and asks about DATA/SET/FILE instead, less what shares a problem with it.
"""

from __future__ import annotations

import json
import os
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from benchmarks.output import arguments, finish, program, progress
from benchmarks.tasks_data import SETS, Part, apart, cases, part
from benchmarks.tasks_floor import bag_of_words
from benchmarks.tasks_run import SMALL, Job, Pace, Run, measured
from benchmarks.tasks_summary import as_object, chart, show, summary
from learners.fingerprint import fingerprint

DATA = Path(__file__).resolve().parents[2] / "shared/data"
ENCODERS = {"default": "ngram", "pretrained": "ngram+sentence"}


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments, measure, print and draw."""
    given = _arguments(argv)
    sets = tuple(given.sets.split(","))
    cuts = _cuts(given, sets)
    changed = {name: json.loads(value) for name, _, value in (pair.partition("=") for pair in given.set)}
    pace = Pace(given.new, given.replayed, given.more, given.balance)
    runs = _done([job for at, cut in enumerate(cuts) for job in _jobs(given, sets, at, cut, changed, pace)], given.jobs)
    words = [bag_of_words(cut, sets) for cut in cuts]
    found = {name: summary(runs, sets, name) for name in given.encoders.split(",")}
    show(found, words, sets)
    rest = {"cuts": len(cuts), "settings": {**SMALL, **changed}, "fingerprint": fingerprint()}
    finish({**as_object(found, words, sets), **rest}, given, {"tasks": chart(found, sets)})


def _arguments(argv: Sequence[str] | None) -> Namespace:
    parser = arguments(__doc__, "currere bench tasks --encoders default --json")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with a folder a set")
    parser.add_argument("--sets", default=",".join(SETS), help="with commas; talkmoves adds a slice of it")
    parser.add_argument("--encoders", default="default", help="default, pretrained or both with a comma")
    parser.add_argument("--folds", type=int, default=5, help="parts that a set is cut into")
    parser.add_argument("--parts", type=int, default=None, help="how many of them to keep back in turn; default: all")
    parser.add_argument("--held", metavar="FILE", help="ask about this file of each set")
    parser.add_argument("--new", type=int, default=Pace().new, help="new examples of a step")
    parser.add_argument("--replayed", type=int, default=Pace().replayed, help="replayed examples of a step")
    parser.add_argument("--more", type=int, default=Pace().more, help="steps after each that replay alone")
    parser.add_argument("--balance", type=float, default=Pace().balance, help="0: classes weigh as often as they come")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a learning setting")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    return parser.parse_args(argv)


def _cuts(given: Namespace, sets: Sequence[str]) -> list[Part]:
    found = {name: cases(given.data, name) for name in sets}
    if given.held:
        return [apart(found, {name: cases(given.data, name, given.held) for name in sets}, seed=0)]
    return [part(found, fold, given.folds) for fold in range(min(given.parts or given.folds, given.folds))]


def _jobs(
    given: Namespace, sets: tuple[str, ...], fold: int, cut: Part, changed: Mapping[str, object], pace: Pace
) -> Iterator[Job]:
    for encoder in given.encoders.split(","):
        settings = {"encoder": ENCODERS[encoder], **changed}
        for name in sets:
            yield Job(f"{encoder}/alone/{name}", fold, cut, (name,), settings, pace)
        yield Job(f"{encoder}/together", fold, cut, sets, settings, pace)
        yield Job(f"{encoder}/in-turn", fold, cut, sets, settings, pace, in_turn=True)


def _done(planned: Sequence[Job], processes: int) -> list[Run]:
    longest_first = sorted(planned, key=lambda job: -len(job.sets))
    with (
        progress("runs", total=len(planned)) as advance,
        ProcessPoolExecutor(min(processes, len(planned)), get_context("spawn")) as pool,
    ):
        runs = []
        for run in pool.map(measured, longest_first):
            runs.append(run)
            advance()
    return runs


if __name__ == "__main__":
    program(main)

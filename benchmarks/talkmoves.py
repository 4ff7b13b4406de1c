"""Talk moves of real lessons, learned online in one pass and told apart on teachers never met.

Over several cuts of the recording by teacher, each with a seed of its own: teacher and student moves in one pass;
beside it the teachers' alone, the same net trained offline in shuffled passes, words without dialogue, and what others
published. Intervals are percentile bootstraps over teachers.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

from benchmarks.output import arguments, finish, program, progress, table
from benchmarks.talkmoves_data import DATA, MOVES, cut, lessons
from benchmarks.talkmoves_floor import PUBLISHED, bag_of_words
from benchmarks.talkmoves_run import Job, Run, measured
from benchmarks.talkmoves_sentences import read_all
from benchmarks.talkmoves_summary import FIGURES, summary
from learners.fingerprint import fingerprint
from learners.settings import LearningSettings
from streams.charts import Interval, bars, curves

ENCODERS = {"default": "ngram", "pretrained": "ngram+sentence"}
BARS = {
    "default": {"teacher_mcc": 0.77, "teacher_macro_f1": 0.72, "student_mcc": 0.62},
    "pretrained": {"teacher_mcc": 0.79, "teacher_macro_f1": 0.745, "student_mcc": 0.62},
}
PRICE = 0.005  # of learning online, in MCC, at most
NO_LOSS = 0.003  # MCC: what two passes over the same cut differ by anyway
EXAMPLE = "currere bench talkmoves --salts 6 --encoder both --json"


def main(argv: Sequence[str] | None = None) -> int:
    """Read the arguments, measure, show."""
    given = _arguments(argv)
    changed = {name: json.loads(value) for name, _, value in (pair.partition("=") for pair in given.set)}
    encoders = [*ENCODERS] if given.encoder == "both" else [given.encoder]
    planned = [job for encoder in encoders for job in jobs(given, encoder, changed)]
    with TemporaryDirectory() as folder:
        if "pretrained" in encoders:
            context_turns = LearningSettings.from_dict(changed).context_turns
            sentences = read_all(given.data, context_turns, given.jobs, Path(folder))
            planned = [replace(job, sentences=sentences) if _needs_sentences(job) else job for job in planned]
        runs = _done(planned, given.jobs)
    found: dict[str, object] = {encoder: summary([r for r in runs if _is_of(r, encoder)]) for encoder in encoders}
    settings = LearningSettings.from_dict(changed)
    recording = cut(lessons(given.data, settings.context_turns), _salt(0), given.seed)
    found |= {"bag_of_words": bag_of_words(recording, given.seed), "published": PUBLISHED}
    found |= {"bars": _judged(found, encoders), "settings": changed, "fingerprint": fingerprint()}
    _show(found, encoders)
    finish(found, given, _plots(found, runs, encoders))
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = arguments(__doc__, EXAMPLE)
    parser.add_argument("--data", type=Path, default=DATA, help="the recording (default: %(default)s)")
    parser.add_argument("--salts", type=int, default=3, help="cuts by teacher, each a pass (default: %(default)s)")
    parser.add_argument(
        "--beside", type=int, default=1, help="cuts with teachers alone and offline beside (default: 1)"
    )
    parser.add_argument("--epochs", type=int, default=3, help="shuffled passes offline (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the first cut; the next ones count up (default: 0)")
    parser.add_argument("--encoder", choices=[*ENCODERS, "both"], default="both", help="of the text (default: both)")
    parser.add_argument("--memory", type=int, default=20_000, help="capacity of the replay reservoir (default: 20000)")
    parser.add_argument("--replayed", type=int, default=32, help="replayed examples a step (default: 32)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=JSON", help="a learning setting")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    return parser.parse_args(argv)


def jobs(given: argparse.Namespace, encoder: str, changed: Mapping[str, object]) -> Iterator[Job]:
    """What is run for an encoder: the longest first, so that no process waits long for another."""
    settings = {**changed, "encoder": ENCODERS[encoder]}
    online = [
        Job(
            f"{encoder}/online",
            given.data,
            settings,
            _salt(at),
            given.seed + at,
            0,
            False,
            given.memory,
            given.replayed,
        )
        for at in range(given.salts)
    ]
    beside = online[: given.beside]
    yield from (replace(job, name=f"{encoder}/offline", epochs=given.epochs) for job in beside if given.epochs)
    yield from online
    yield from (replace(job, name=f"{encoder}/teachers", teachers_only=True) for job in beside)


def _salt(at: int) -> str:
    return f"cut-{at}"


def _done(planned: Sequence[Job], processes: int) -> list[Run]:
    with progress("runs", total=len(planned)) as advance, ExitStack() as stack:
        each: Callable[..., Iterator[Run]] = map
        if processes > 1:
            each = stack.enter_context(ProcessPoolExecutor(min(processes, len(planned)), get_context("spawn"))).map
        runs = []
        for run in each(measured, planned):
            runs.append(run)
            advance()
    return runs


def _needs_sentences(job: Job) -> bool:
    return job.settings["encoder"] == ENCODERS["pretrained"]


def _is_of(run: Run, encoder: str) -> bool:
    return run.job.name.split("/")[0] == encoder


def _judged(found: Mapping[str, Any], encoders: Sequence[str]) -> list[dict[str, object]]:
    """Each bar with what was found and whether it is met."""
    rows = []
    for encoder in encoders:
        mine = found[encoder]
        for name, least in BARS[encoder].items():
            speaker, figure = name.split("_", 1)
            value = mine[speaker][figure]
            rows.append(_bar(f"{encoder} {name}", value, f"at least {least}", value >= least))
        if mine["offline"]:
            price = mine["offline"]["price_mcc"]
            rows.append(_bar(f"{encoder} price of one pass online", price, f"at most {PRICE}", price <= PRICE))
        if mine["teachers_alone"]:
            gain = mine["teachers_alone"]["gain_mcc_of_both"]
            rows.append(_bar(f"{encoder} gain of learning both", gain, f"at least -{NO_LOSS}", gain >= -NO_LOSS))
    return rows


def _bar(name: str, found: float, wanted: str, met: bool) -> dict[str, object]:
    return {"bar": name, "found": found, "wanted": wanted, "met": met}


def _show(found: Mapping[str, Any], encoders: Sequence[str]) -> None:
    rows = []
    for encoder in encoders:
        mine = found[encoder]
        rows.append(_row(f"{encoder}, one pass online", mine["teacher"], mine["student"]))
        if alone := mine["teachers_alone"]:
            rows.append(_row(f"{encoder}, teachers alone *", alone))
        for number, epoch in enumerate(mine["offline"].get("epochs", ()), start=1):
            rows.append(_row(f"{encoder}, offline, pass {number} *", epoch["teacher"], epoch["student"]))
    words, published = found["bag_of_words"], found["published"]
    rows.append(_row("words alone, offline *", words["teacher"], words["student"]))
    rows.append(_row("RoBERTa-base offline, authors' split", published["teacher"]))
    columns = ("teachers never met", "MCC", "95 %", "macro F1", "95 %", "students' MCC", "macro F1")
    table(columns, rows, "Talk moves; * on the first cuts only")
    judged = [(bar["bar"], bar["found"], bar["wanted"], "yes" if bar["met"] else "no") for bar in found["bars"]]
    table(("bar", "found", "wanted", "met"), judged)


def _row(
    name: str, teacher: Mapping[str, Any], student: Mapping[str, Any] = MappingProxyType({})
) -> tuple[object, ...]:
    spans = [
        f"{low:.3f} to {high:.3f}" for low, high in (teacher.get(f"{f}_interval", (0, 0)) for f in FIGURES) if high
    ]
    mcc_span, f1_span = spans or (None, None)
    return name, teacher["mcc"], mcc_span, teacher["macro_f1"], f1_span, student.get("mcc"), student.get("macro_f1")


def _plots(found: Mapping[str, Any], runs: Sequence[Run], encoders: Sequence[str]) -> dict[str, str]:
    curve = {
        f"{run.job.name.split('/')[0]}, {run.job.salt}": run.curve
        for run in runs
        if run.curve and not run.job.teachers_only
    }
    drawn = {"talkmoves_curve": curves("Teachers never met, along the pass", "sentences learned", "MCC", curve)}
    for encoder in encoders:
        for speaker in MOVES:
            values = found[encoder][speaker]["f1_by_class"]
            rows = [Interval(name, value) for name, value in values.items()]
            drawn[f"talkmoves_f1_{speaker}_{encoder}"] = bars(f"Moves of {speaker}s, {encoder} encoder", "F1", rows)
    return drawn


if __name__ == "__main__":
    program(main)

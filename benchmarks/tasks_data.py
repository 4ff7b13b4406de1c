"""The further task sets as examples: read as they would be played, cut into parts to learn from and parts to ask about.

An example's *unit* is never cut in two: a lesson of uptake, the problem of a dialogue (MRBench has dialogues of
MathDial: one problem is in the same part of both), a picture of CIMA, a teacher of TalkMoves.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from learners.tasks import Task, load_tasks
from schemas.feedback import LabelValue
from schemas.prediction import ExampleInput
from schemas.training import TrainExample
from streams.evaluate import labelled
from streams.readers.form import slug
from streams.recorded import read

SETS = ("uptake", "mathdial", "mrbench", "cima")  # in the order in which they are learned one after the other
SLICE = 3_000  # labelled sentences of TalkMoves, where it is asked for
CONTEXT = 8  # turns
IN_FLIGHT = 20  # sessions that run at once

_PROBLEM = re.compile(r"the question is:(.*)", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Case:
    """An example of a data set, and the unit that it is of."""

    example: TrainExample
    unit: str


@dataclass(frozen=True, slots=True)
class Part:
    """What is learned, in the order of the stream, and what is asked about at the end, by data set."""

    learn: Mapping[str, Sequence[TrainExample]]
    probe: Mapping[str, Sequence[TrainExample]]


def tasks_of(sets: Sequence[str]) -> tuple[Task, ...]:
    """The tasks of data ``sets``."""
    return load_tasks(Path(",".join(sets)))


def cases(folder: Path, name: str, file: str = "stream.jsonl.gz") -> list[Case]:
    """The labelled examples of data set ``name`` under ``folder``. Raises ConfigurationError."""
    problems = _problems(folder / name / f"conversations_{file}")
    pairs = labelled(read(folder / name / file), CONTEXT)
    return list(_cases(name, islice(pairs, SLICE if name == "talkmoves" else None), problems))


def _cases(
    name: str, pairs: Iterator[tuple[ExampleInput, tuple[tuple[str, LabelValue], ...]]], problems: Mapping[str, str]
) -> Iterator[Case]:
    for number, (given, labels) in enumerate(pairs):
        id_ = f"{name}/{given.session}/{number}"
        example = TrainExample(id=id_, interaction=id_, feedback=id_, rater=name, input=given, labels=dict(labels))
        yield Case(example, _unit(name, given, problems))


def _unit(name: str, given: ExampleInput, problems: Mapping[str, str]) -> str:
    if name == "mathdial":
        return _plain(problems.get(given.session, given.session))
    if name == "mrbench":
        told = given.payload.context[0].text if given.payload.context else given.session
        found = _PROBLEM.search(told)
        return _plain(found[1] if found else " ".join(turn.text for turn in given.payload.context or ()))
    return f"{name}/{given.group or given.session}"


def _plain(problem: str) -> str:
    """A problem's first letters and digits: dialogues on it differ in spaces and marks."""
    return re.sub(r"[^a-z0-9]", "", problem.lower())[:100]


def _problems(path: Path) -> dict[str, str]:
    """The problem of each dialogue by session, where a set says them apart."""
    if not path.exists():
        return {}
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return {slug(row["conv"]): row["question"] for row in map(json.loads, lines)}


def fold_of(unit: str, folds: int) -> int:
    """The part that a unit is kept back in."""
    return int(hashlib.sha256(unit.encode()).hexdigest()[:8], 16) % folds


def part(found: Mapping[str, Sequence[Case]], fold: int, folds: int) -> Part:
    """The cut that keeps back part ``fold`` of ``folds``."""
    learn = {name: [one for one in of if fold_of(one.unit, folds) != fold] for name, of in found.items()}
    probe = {name: [one.example for one in of if fold_of(one.unit, folds) == fold] for name, of in found.items()}
    return Part({name: stream(of, fold) for name, of in learn.items()}, probe)


def apart(found: Mapping[str, Sequence[Case]], held: Mapping[str, Sequence[Case]], seed: int) -> Part:
    """The cut that keeps back ``held``, and learns from what of ``found`` shares no unit with any of it."""
    units = {one.unit for of in held.values() for one in of}
    learn = {name: [one for one in of if one.unit not in units] for name, of in found.items()}
    return Part(
        {name: stream(of, seed) for name, of in learn.items()},
        {name: [one.example for one in of] for name, of in held.items()},
    )


def stream(found: Sequence[Case], seed: int) -> list[TrainExample]:
    """Sessions in an order drawn by ``seed``, some at once; within one in its own order."""
    sessions: dict[str, list[TrainExample]] = {}
    for one in found:
        sessions.setdefault(one.example.input.session, []).append(one.example)
    draw, waiting = random.Random(seed), list(sessions.values())
    draw.shuffle(waiting)
    running, said = [waiting.pop() for _ in range(min(IN_FLIGHT, len(waiting)))], []
    running = [list(reversed(session)) for session in running]
    while running:
        at = draw.randrange(len(running))
        said.append(running[at].pop())
        if not running[at]:
            running[at : at + 1] = [list(reversed(waiting.pop()))] if waiting else []
    return said


def together(streams: Sequence[Sequence[TrainExample]], seed: int) -> list[TrainExample]:
    """One stream of several, each in its order, mixed evenly from beginning to end by ``seed``."""
    draw = random.Random(seed)
    places = [(at, example) for one in streams for at, example in zip(_places(len(one), draw), one, strict=True)]
    return [example for _, example in sorted(places, key=lambda place: place[0])]


def _places(count: int, draw: random.Random) -> list[float]:
    return sorted(draw.random() for _ in range(count))

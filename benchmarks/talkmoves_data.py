"""Recorded lessons as labelled examples, dealt by teacher into a part to learn from and a part to be asked about.

A group is a teacher, or a series of clips whose teachers are unnamed; it is on one side as a whole. Lessons of the
learning part come interleaved sentence by sentence, some dozens in flight, as they do in a school.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from schemas.interaction import Payload, SpeakerRole, Turn
from schemas.prediction import ExampleInput
from schemas.training import TrainExample

DATA = Path(__file__).resolve().parents[2] / "shared/data/talkmoves/stream.jsonl.gz"
SPEAKERS: dict[str | None, SpeakerRole] = {"T": "teacher", "S": "student", None: "unknown"}
TEACHER, STUDENT = "teacher_move", "student_move"
MOVES: dict[SpeakerRole, str] = {"teacher": TEACHER, "student": STUDENT}
PROBE = 0.2  # of the groups
IN_FLIGHT = 40  # lessons that run at once

Lesson = tuple[TrainExample, ...]


@dataclass(frozen=True, slots=True)
class Recording:
    """The labelled sentences of the learning part in the order in which they are met, and those of the probe."""

    learn: Sequence[TrainExample]
    probe: Sequence[TrainExample]

    def of_teachers(self) -> Recording:
        """The same without the students' sentences, which stay in the contexts of the teachers'."""
        return Recording(*([one for one in part if TEACHER in one.labels] for part in (self.learn, self.probe)))


@cache
def lessons(path: Path, context_turns: int) -> tuple[Lesson, ...]:
    """The lessons recorded at ``path``; of each the labelled sentences, with the turns before them."""
    records: dict[str, list[dict[str, str]]] = {}
    with gzip.open(path, "rt") as lines:
        for line in lines:
            record = json.loads(line)
            records.setdefault(record["conv"], []).append(record)
    return tuple(tuple(_examples(lesson, context_turns)) for lesson in records.values())


def _examples(records: Sequence[dict[str, str]], context_turns: int) -> Iterator[TrainExample]:
    turns = tuple(Turn(role=SPEAKERS[record["role"]], text=record["text"] or "") for record in records)
    for at, record in enumerate(records):
        role = turns[at].role
        if role not in MOVES or record["label"] is None:
            continue
        payload = Payload(text=turns[at].text, context=turns[max(0, at - context_turns) : at])
        name = f"{record['conv']}/{record['seq']}"
        given = ExampleInput(session=record["conv"], role=role, group=record["group"], payload=payload)
        yield TrainExample(
            id=name,
            interaction=name,
            feedback=name,
            rater="talkmoves",
            input=given,
            labels={MOVES[role]: record["move"]},
        )


def cut(given: Sequence[Lesson], salt: str, seed: int) -> Recording:
    """Lessons dealt by ``salt``, a fifth of their groups into the probe; the others interleaved by ``seed``."""
    taught = [lesson for lesson in given if lesson]
    asked = [_share(salt, group_of(lesson[0])) < PROBE for lesson in taught]
    learn = [lesson for lesson, is_asked in zip(taught, asked, strict=True) if not is_asked]
    probe = [one for lesson, is_asked in zip(taught, asked, strict=True) if is_asked for one in lesson]
    return Recording(list(interleaved(learn, random.Random(seed))), probe)


def group_of(example: TrainExample) -> str:
    """Whose lesson it is of."""
    return example.input.group or example.input.session


def _share(salt: str, group: str) -> float:
    return int(hashlib.sha1(f"{salt}{group}".encode()).hexdigest()[:8], 16) / 2**32


def interleaved(given: Sequence[Sequence[TrainExample]], draw: random.Random) -> Iterator[TrainExample]:
    """Sentence by sentence from a random one of the lessons in flight; when a lesson ends the next begins."""
    waiting = [iter(lesson) for lesson in given]
    running, waiting = waiting[:IN_FLIGHT], waiting[IN_FLIGHT:]
    while running:
        at = draw.randrange(len(running))
        example = next(running[at], None)
        if example is not None:
            yield example
        elif waiting:
            running[at] = waiting.pop(0)
        else:
            running.pop(at)


class Reservoir:
    """A uniform sample of what was met (algorithm R, Vitter 1985)."""

    def __init__(self, capacity: int, draw: random.Random) -> None:
        self.capacity, self.draw, self.met = capacity, draw, 0
        self.kept: list[TrainExample] = []

    def meet(self, example: TrainExample) -> None:
        """Keep ``example``, perhaps, in the place of another."""
        self.met += 1
        if len(self.kept) < self.capacity:
            self.kept.append(example)
        elif (place := self.draw.randrange(self.met)) < self.capacity:
            self.kept[place] = example

    def sample(self, count: int) -> tuple[TrainExample, ...]:
        """``count`` different ones."""
        return tuple(self.draw.sample(self.kept, min(count, len(self.kept))))

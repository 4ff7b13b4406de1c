"""What the parts of the learning core are tried on: real lessons with teachers kept apart, and a simulated stream."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.talkmoves_data import interleaved
from learners.settings import LearningSettings
from schemas.feedback import LabelValue
from schemas.interaction import Payload
from schemas.prediction import ExampleInput
from schemas.training import TrainExample
from streams.evaluate import labelled
from streams.recorded import read

SHARED = Path(__file__).resolve().parents[2] / "shared"
TALKMOVES, SIMULATOR = SHARED / "data/talkmoves/stream.jsonl.gz", SHARED / "tools/multimodal_stream"
RATERS = 12  # pseudonyms that lessons are dealt to
KEPT_APART, PER_GROUP = 0.4, 200  # share of the teacher groups that are only asked, and sentences of each
WAITS, FITS = "waits that fit", ("no", "yes")  # of the waits said after open questions, which lie in the settings' band
AUDIO, VIDEO = 24, 16  # numbers in the simulated vectors


@dataclass(frozen=True)
class Item:
    """Something to ask, of a unit that is independent of others, and the true class of a task."""

    unit: str
    input: ExampleInput
    task: str
    truth: str


@dataclass(frozen=True)
class Stream:
    """Examples in the order in which their labels came, when their items were (seconds), and what is asked at the end,
    by the name of what it shows. ``drift_s`` is when the world changed."""

    learn: Sequence[TrainExample]
    at_s: Sequence[float]
    probes: Mapping[str, Sequence[Item]]
    learning: Mapping[str, object] = field(default_factory=dict)
    drift_s: float | None = None


def talkmoves(path: Path, examples: int, seed: int) -> Stream:
    """About so many labelled sentences of lessons that ``seed`` draws, interleaved; asked of teachers kept apart."""
    lessons, probe = _lessons(path)
    draw = random.Random(seed)
    mixed = draw.sample(lessons, len(lessons))
    learn: list[TrainExample] = []
    for example in interleaved(mixed, draw):
        if len(learn) == examples:
            break
        learn.append(example)
    probes = {
        f"{role} moves": [item for item in probe if item.task == f"{role}_move"] for role in ("teacher", "student")
    }
    return Stream(learn, [0.0] * len(learn), probes)


@cache
def _lessons(path: Path) -> tuple[list[list[TrainExample]], list[Item]]:
    """The lessons of the teachers to learn from, and some sentences of each of the others."""
    lessons: dict[str, list[TrainExample]] = {}
    asked: dict[str, list[Item]] = {}
    for number, (seen, labels) in enumerate(labelled(read(path), LearningSettings().context_turns)):
        group = seen.group or seen.session
        if _share(group) >= KEPT_APART:
            lessons.setdefault(seen.session, []).append(_example(f"{seen.session}/{number}", seen, dict(labels)))
        else:
            asked.setdefault(group, []).extend(Item(group, seen, task, str(label)) for task, label in labels)
    draw = random.Random(0)
    probe = [item for items in asked.values() for item in draw.sample(items, min(PER_GROUP, len(items)))]
    return list(lessons.values()), probe


def _example(name: str, seen: ExampleInput, labels: dict[str, LabelValue], **more: Any) -> TrainExample:
    rater = f"r{int(_share(seen.session) * RATERS)}"
    given = {"id": name, "interaction": name, "feedback": name, "rater": rater, "input": seen, "labels": labels}
    return TrainExample.model_validate({**given, **more})


def _share(name: str) -> float:
    """A number in [0, 1) that is the name's own."""
    return int(hashlib.sha1(name.encode()).hexdigest()[:8], 16) / 2**32


def simulated(tool: Path, lines: int, seed: int) -> Stream:
    """A simulated stream of so many lines: labels come late and are wrong, the world turns halfway; a fifth of the
    sessions are kept apart and asked for the true question type."""
    rows = _rows(tool, lines, seed)
    learn: list[tuple[float, float, TrainExample]] = []
    probes: dict[str, list[Item]] = {name: [] for name in ("now", "before the drift", "no audio", "audio alone", WAITS)}
    for row in rows:
        seen = _seen(row)
        if _share(f"{seed}/{seen.session}") < 0.2:
            _ask(probes, row, seen)
        elif row["label_delay_s"] is not None:
            labels = row["labels"]
            given: dict[str, LabelValue] = {
                "question_type": labels["question"], "conversation_depth": labels["depth"],
                "wait_time": min(labels["wait_s"], 30.0), "responsiveness": float(labels["responsive"]),
            }  # fmt: skip
            delay = row["label_delay_s"]
            example = _example(f"i{row['seq']}", seen, given, rater=row["rater"], delay_s=delay)
            learn.append((row["t"] + delay, row["t"], example))
    learn.sort(key=lambda one: one[0])
    return Stream(
        [example for _, _, example in learn], [at for _, at, _ in learn], probes,
        {"audio_dim": AUDIO, "video_dim": VIDEO}, next(row["t"] for row in rows if row["drifted"]),
    )  # fmt: skip


def _ask(probes: Mapping[str, list[Item]], row: Mapping[str, Any], seen: ExampleInput) -> None:
    """Ask for the true question type, of all there is and of a part, and whether the wait after an open one fits."""
    truth, payload = row["true_question"], seen.payload
    if not row["drifted"]:
        probes["before the drift"].append(Item(seen.session, seen, "question_type", truth))
        return
    parts = {
        "now": payload,
        "no audio": payload.model_copy(update={"audio": None}),
        "audio alone": payload.model_copy(update={"text": "", "video": None}),
    }
    for name, part in parts.items():
        given = seen.model_copy(update={"payload": part})
        probes[name].append(Item(seen.session, given, "question_type", truth))
    if truth == "open":
        probes[WAITS].append(Item(seen.session, seen, "wait_time", FITS[1]))


def _seen(row: Mapping[str, Any]) -> ExampleInput:
    audio, video = (row[name] and tuple(row[name]) for name in ("audio", "video"))
    payload = Payload(text=row["text"], audio=audio, video=video, clarity=row["clarity"])
    return ExampleInput(session=row["session"], role="teacher", learner=row["learner"], payload=payload)


def _rows(tool: Path, lines: int, seed: int) -> list[dict[str, Any]]:
    with tempfile.NamedTemporaryFile("r") as file:
        command = [sys.executable, str(tool), "--n", str(lines), "--seed", str(seed), "--out", file.name]
        subprocess.run(command, check=True)
        return [json.loads(line) for line in file]

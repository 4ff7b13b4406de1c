"""The simulated multimodal stream: what is said, heard and seen of each moment, late labels, and the truth beside them.

A line more or less at the end changes no line before it, so the moments after the pass are drawn with it and held back.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learners.settings import LearningSettings
from learners.tasks import default_tasks
from schemas.feedback import LabelValue
from schemas.interaction import Payload
from schemas.prediction import ExampleInput
from schemas.training import TrainExample

TOOL = Path(__file__).resolve().parents[2] / "shared/tools/multimodal_stream"
AUDIO, VIDEO = 24, 16
QUESTION, OPEN = "question_type", "open"
LABELLED = (QUESTION, "conversation_depth", "wait_time", "responsiveness")
TASKS = tuple(task for task in default_tasks() if task.name in LABELLED)
SETTINGS = LearningSettings(tasks=TASKS, audio_dim=AUDIO, video_dim=VIDEO)
LONGEST_WAIT_S = 30.0  # of the task's range


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of the stream. ``due_s`` is when its label comes, None for never; ``truth`` is the true question type,
    which no label need tell."""

    at_s: float
    due_s: float | None
    truth: str
    drifted: bool
    example: TrainExample

    @property
    def is_whole(self) -> bool:
        """Whether it is heard and seen."""
        payload = self.example.input.payload
        return payload.audio is not None and payload.video is not None


def moments(tool: Path, lines: int, after: int, seed: int) -> list[Moment]:
    """The ``lines`` of the stream, in whose middle the world turns, and ``after`` more that follow them."""
    turn = (lines / 2 - 0.5) / (lines + after)  # a share of all lines; half a line less, lest it be rounded up
    with tempfile.NamedTemporaryFile("r") as file:
        sizes = ["--n", str(lines + after), "--drift-at", repr(turn), "--seed", str(seed)]
        subprocess.run([sys.executable, str(tool), *sizes, "--out", file.name], check=True)
        return [_moment(json.loads(line)) for line in file]


def _moment(row: Mapping[str, Any]) -> Moment:
    delay_s, labels, name = row["label_delay_s"], row["labels"], f"moment-{row['seq']}"
    audio, video = (row[kind] and tuple(row[kind]) for kind in ("audio", "video"))
    payload = Payload(text=row["text"], audio=audio, video=video, clarity=row["clarity"])
    given: dict[str, LabelValue] = {
        QUESTION: labels["question"],
        "conversation_depth": labels["depth"],
        "wait_time": min(labels["wait_s"], LONGEST_WAIT_S),
        "responsiveness": float(labels["responsive"]),
    }
    example = TrainExample(
        id=name,
        interaction=name,
        feedback=name,
        rater=row["rater"],
        input=ExampleInput(session=row["session"], role="teacher", learner=row["learner"], payload=payload),
        labels=given,
        delay_s=delay_s or 0.0,
    )
    due_s = None if delay_s is None else row["t"] + delay_s
    return Moment(row["t"], due_s, row["true_question"], row["drifted"], example)

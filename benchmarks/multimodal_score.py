"""What a model makes of moments that it never learned from: which belong together, and what is asked."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import numpy as np
import numpy.typing as npt

from benchmarks.multimodal_stream import QUESTION, Moment
from learners.accord import CrossModal
from learners.judged import Judged, likeliest
from learners.modalities import AUDIO, TEXT, VIDEO
from learners.predict import predict
from learners.retrieval import retrieval_at_1
from learners.served import Served
from learners.singly import points, said_singly
from schemas.prediction import ExampleInput

POOL = 50
WAYS = {"video_to_audio": (VIDEO, AUDIO), "text_to_audio": (TEXT, AUDIO)}
Scores = dict[str, float]


def retrieved(served: Served, found: Sequence[Moment], seed: int) -> Scores:
    """Retrieval@1 in pools of 50, each way, among the moments of ``found`` that are heard and seen."""
    placed = points(served, inputs_of(found))
    if not placed:
        return dict.fromkeys(WAYS, 1 / POOL)
    return {way: retrieval_at_1(placed[one], placed[other], POOL, seed) for way, (one, other) in WAYS.items()}


def accuracy(served: Served, found: Sequence[Moment]) -> Scores:
    """On the true question type of the moments that are heard and seen: with all present, with the audio taken away."""
    truth = [moment.truth for moment in found if moment.is_whole]
    whole = inputs_of(found)
    silent = [one.model_copy(update={"payload": one.payload.model_copy(update={"audio": None})}) for one in whole]
    asked = {"all_present": predict(served, whole), "audio_missing": predict(served, silent)}
    said = {name: [likeliest(one[QUESTION]) for one in outputs] for name, outputs in asked.items()}
    return {name: fmean(a == b for a, b in zip(truth, each, strict=True)) for name, each in said.items()}


def cross_modal(served: Served, found: Sequence[Moment]) -> float:
    """How alike what is said and what is heard, each by itself, speak of the moments that are heard and seen."""
    goal = CrossModal({task.name: task.range[1] - task.range[0] for task in served.settings.tasks if task.range})
    alike = [goal.row(Judged("", "", "", {}, {}, by)) for by in said_singly(served, inputs_of(found))]
    return goal.figure(np.array([row for row in alike if row is not None]))


def inputs_of(found: Sequence[Moment]) -> list[ExampleInput]:
    """The inputs of the moments that are heard and seen."""
    return [moment.example.input for moment in found if moment.is_whole]


def least_squares(learn: Sequence[Moment], ask: Sequence[Moment], seed: int) -> Scores:
    """Retrieval@1 by what is usual offline: audio predicted by least squares from video, and from counts of the words'
    stems, the nearest by cosine. The reference, told everything about ``learn`` at once, stems included."""
    found = {}
    for way, columns in {"video_to_audio": _seen, "text_to_audio": _stems}.items():
        inputs, audio = (of([m for m in learn if m.is_whole]) for of in (columns, _heard))
        weights, *_ = np.linalg.lstsq(inputs, audio, rcond=None)
        asked = [m for m in ask if m.is_whole]
        guess, truth = columns(asked) @ weights, _heard(asked)
        found[way] = retrieval_at_1(_unit(guess), _unit(truth), POOL, seed)
    return found


Columns = npt.NDArray[np.float64]
STEMS = ("shape", "count", "story", "plant", "river", "sound", "light", "trade")


def _heard(found: Sequence[Moment]) -> Columns:
    return np.array([moment.example.input.payload.audio for moment in found])


def _seen(found: Sequence[Moment]) -> Columns:
    return np.array([(*(moment.example.input.payload.video or ()), 1.0) for moment in found])


def _stems(found: Sequence[Moment]) -> Columns:
    texts = [moment.example.input.payload.text for moment in found]
    return np.array([[*(text.count(stem) for stem in STEMS), 1.0] for text in texts], dtype=np.float64)


def _unit(rows: Columns) -> Columns:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))

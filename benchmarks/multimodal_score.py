"""What a model makes of moments that it never learned from: which belong together, and what is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.multimodal_stream import QUESTION, Moment
from learners.analyzer import batch, forward, masked, see
from learners.consistency import embeddings
from learners.encode import encode
from learners.modalities import AUDIO, TEXT, VIDEO
from learners.parameters import is_table
from learners.retrieval import retrieval_at_1
from learners.served import Served

POOL = 50
WAYS = {"video_to_audio": (VIDEO, AUDIO), "text_to_audio": (TEXT, AUDIO)}
PRESENT = {"all_present": (1.0, 1.0), "audio_missing": (0.0, 1.0)}  # audio, video
Scores = dict[str, float]


def scored(served: Served, found: Sequence[Moment], seed: int) -> tuple[Scores, Scores]:
    """Of the moments of ``found`` that are heard and seen: retrieval@1 in pools of 50, each way; accuracy on the true
    question type with all present, and with the audio taken away."""
    whole = [moment for moment in found if moment.is_whole]
    given = batch(encode([moment.example.input for moment in whole], served.settings))
    with torch.inference_mode():
        parameters = {
            name: torch.from_numpy((array[given.touched] if is_table(name) else array).astype(np.float32))
            for name, array in served.arrays.items()
        }
        points = embeddings(parameters, given, see(parameters, given, ()).text, served.settings)
        task = [one for one in served.settings.tasks if one.name == QUESTION]
        said = {
            name: forward(parameters, masked(given, torch.tensor(kept).expand(len(given), 2)), task)[QUESTION].numpy()
            for name, kept in PRESENT.items()
        }
    truth = np.array([task[0].classes.index(moment.truth) for moment in whole])
    return _found(points, seed), {name: float((each.argmax(axis=1) == truth).mean()) for name, each in said.items()}


def _found(points: Mapping[str, torch.Tensor], seed: int) -> Scores:
    if not points:
        return dict.fromkeys(WAYS, 1 / POOL)
    return {
        way: retrieval_at_1(points[one].numpy(), points[other].numpy(), POOL, seed)
        for way, (one, other) in WAYS.items()
    }


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

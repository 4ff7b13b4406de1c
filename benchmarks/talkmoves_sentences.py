"""The recording's sentences, read by the pretrained encoder once and for all runs: they are the same in every cut."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.output import progress
from benchmarks.talkmoves_data import lessons
from learners.fingerprint import fix_threads
from learners.sentence import embed, remember

TEXTS, VECTORS = "texts.json", "vectors.npy"
PIECE = 2_000  # sentences that a process reads at a time


def read_all(data: Path, context_turns: int, processes: int, into: Path) -> Path:
    """Write every text of the recording at ``data`` and its vector into the folder ``into``."""
    texts = _texts(data, context_turns)
    pieces = [texts[at : at + PIECE] for at in range(0, len(texts), PIECE)]
    with (
        progress("pieces", len(pieces), "reading sentences") as advance,
        ProcessPoolExecutor(max(processes, 1), get_context("spawn")) as pool,
    ):
        vectors = []
        for found in pool.map(_read, pieces):
            vectors.append(found)
            advance()
    np.save(into / VECTORS, np.concatenate(vectors))
    (into / TEXTS).write_text(json.dumps(texts))
    return into


def preload(folder: Path) -> None:
    """Let this process know the sentences that ``read_all`` wrote into ``folder``, without reading them."""
    remember(json.loads((folder / TEXTS).read_text()), np.load(folder / VECTORS))


def _texts(data: Path, context_turns: int) -> list[str]:
    """Each text once, the short ones first, so that a piece's sentences are of a length."""
    found: dict[str, None] = {}
    for lesson in lessons(data, context_turns):
        for one in lesson:
            found[one.input.payload.text] = None
            found.update((turn.text, None) for turn in one.input.payload.context or ())
    return sorted(found, key=lambda text: (len(text), text))


def _read(texts: Sequence[str]) -> npt.NDArray[np.float32]:
    fix_threads()
    return embed(texts)

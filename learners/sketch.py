"""An input as one small vector that no model makes, so that it moves only when the world does, not when a model learns.

Its parts are columns: the hashed ``words``, some ``numbers``, the ``audio`` and ``video`` vectors that the app gave.
"""

from __future__ import annotations

from functools import lru_cache
from math import log1p, nan
from zlib import crc32

import numpy as np
import numpy.typing as npt

from schemas.interaction import MOST_FEATURE
from schemas.prediction import ExampleInput

WORDS, FEATURES = 32, 24  # columns of a text, and of a feature vector, whose last ones may be empty
NUMBERS = ("words", "gap_s", "duration_s", "clarity", "age", "mastery", "audio", "video")
PARTS = {
    "words": slice(0, WORDS),
    "audio": slice(WORDS, WORDS + FEATURES),
    "video": slice(WORDS + FEATURES, WORDS + 2 * FEATURES),
    "numbers": slice(WORDS + 2 * FEATURES, WORDS + 2 * FEATURES + len(NUMBERS)),
}
WIDTH = PARTS["numbers"].stop
Row = npt.NDArray[np.float32]
NOTHING = np.full(WIDTH, nan, np.float32)


def sketch(given: ExampleInput) -> Row:
    """``given`` as float32 [WIDTH]; what is missing is nan.

    The number ``words`` is ln(1 + count), as are seconds; ``audio`` and ``video`` are how long the app's vectors are.
    """
    payload, timing = given.payload, given.timing
    words = payload.text.lower().split()
    row = NOTHING.copy()
    row[PARTS["words"]] = hashed(words)
    for name, values in (("audio", payload.audio), ("video", payload.video)):
        if values:
            vector = reduced(values)
            row[PARTS[name].start : PARTS[name].start + len(vector)] = vector
    row[PARTS["numbers"]] = (
        log1p(len(words)),
        nan if timing.gap_s is None else log1p(timing.gap_s),
        nan if timing.duration_s is None else log1p(timing.duration_s),
        nan if payload.clarity is None else payload.clarity,
        nan if given.age is None else given.age,
        nan if given.mastery is None else given.mastery,
        len(payload.audio or ()),
        len(payload.video or ()),
    )
    return row


def hashed(words: list[str]) -> list[float]:
    """The sum of one signed unit vector a word (Weinberger et al. 2009), over the root of their number."""
    row, one = [0.0] * WORDS, 1 / max(len(words), 1) ** 0.5
    for word in words:
        place = _place(word)
        row[place % WORDS] += one if place & 0x10000 else -one
    return row


@lru_cache(maxsize=2**15)
def _place(word: str) -> int:
    return crc32(word.encode())


def reduced(values: tuple[float, ...]) -> tuple[float, ...]:
    """``values`` within ±MOST_FEATURE; of more than ``FEATURES`` a fixed random projection (Johnson & Lindenstrauss
    1984)."""
    within = np.clip(values, -MOST_FEATURE, MOST_FEATURE)
    return tuple((within if len(values) <= FEATURES else within @ _projection(len(values))).tolist())


@lru_cache(maxsize=8)
def _projection(size: int) -> npt.NDArray[np.float64]:
    return np.asarray(np.random.default_rng(size).normal(size=(size, FEATURES)) / FEATURES**0.5)

"""What a pretrained sentence encoder adds to an example: what is said, what the student said last, what came last.

No torch until the first of them is asked for: whoever only curates encodes too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from learners.settings import LearningSettings

WIDTH = 384  # of a sentence's vector
SENTENCE = 4 * WIDTH  # features of an example
SCALE = 4.0  # a vector of length one becomes one whose numbers are about .2, as those of the bags: tuned on TalkMoves

Floats = npt.NDArray[np.float32]


class Heard(NamedTuple):
    """An utterance and those it may answer; None where nobody said one."""

    now: str
    student: str | None  # the last utterance of a student before it
    last: str | None  # the last of anybody


def sentence_width(settings: LearningSettings) -> int:
    """How many numbers the sentence encoder gives of an example: SENTENCE, or none where it is not asked for."""
    return SENTENCE if settings.encoder == "ngram+sentence" else 0


def sentence_features(heard: Sequence[Heard]) -> Floats:
    """Float32 [n, SENTENCE]: the vectors of the three sentences, and the first two multiplied number by number.

    Restating is a relation: the product, as in InferSent (Conneau et al. 2017, section 3.2), is what a layer of sums
    cannot make. What nobody said is zero, and so is its product. The same bytes for an example whatever it comes with.

    Raises:
        ConfigurationError: the extra ``pretrained`` is not installed.
    """
    from learners.sentence import embed  # loads torch and, once, the weights

    texts = [text for one in heard for text in one]
    said = np.array([text is not None for text in texts], dtype=np.float32)
    vectors = embed([text or "" for text in texts]) * said[:, None]
    now, student, last = vectors.reshape(len(heard), len(Heard._fields), WIDTH).transpose(1, 0, 2)
    product = now * student * np.float32(WIDTH**0.5)  # on the scale of its factors
    return np.concatenate((now, student, last, product), axis=1) * np.float32(SCALE)

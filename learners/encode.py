"""An utterance and the ones before it as numbers: hashed features in bags, and dense ones that relate the two.

Restating and revoicing are relations between two utterances; an encoder that sees one sentence cannot see them.
No torch: whoever only curates encodes too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, auto

import numpy as np
import numpy.typing as npt

from learners.bags import Hashes, Integers, bagged, firsts, lasts, lists, ngrams, openings, table_of
from learners.dense import DENSE, Table, bins, dense
from learners.moment import ROLES, Moment, moment
from learners.sentence_features import Heard, sentence_features, sentence_width
from learners.settings import LearningSettings
from learners.utterance import hashed
from schemas.interaction import MOST_FEATURE
from schemas.prediction import ExampleInput

__all__ = ["DENSE", "FIELDS", "ROLES", "Features", "encode"]

FIELDS = 3  # bags of an example: the utterance itself, the two before it, what it takes up of the student's
Floats = npt.NDArray[np.float32]


class Space(IntEnum):
    """A namespace makes the same word another feature: as spoken now, one turn ago, shared with the student, ..."""

    WORD = auto()
    PAIR = auto()
    TRIPLE = auto()
    FIRST = auto()
    FIRST_TWO = auto()
    LAST = auto()
    STEM = auto()
    BEFORE = auto()
    SHARED = auto()
    FRESH = auto()
    KIND_PAIR = auto()
    KIND_TRIPLE = auto()
    KINDS_FIRST = auto()
    KINDS_FIRST_SIX = auto()
    KINDS_LAST = auto()
    BIN = auto()
    SETTING = auto()
    CLOSING = auto()
    CLOSING_PAIR = auto()
    CLOSING_FIRST_TWO = auto()


@dataclass(frozen=True, slots=True)
class Features:
    """Encoded examples. ``rows`` are those of bag after bag; bag ``FIELDS·i + f`` of example i begins at ``starts``.

    rows: int64 [entries] in [0, buckets); starts: int64 [FIELDS·n + 1], the last is ``len(rows)``; dense: float32
    [n, DENSE], about within [-1, 1], zero where masked; roles: int8 [n], index into ``ROLES``. audio, video: float32
    [n, the settings' width], within ±MOST_FEATURE, zero where absent, which ``present``, float32 [n, 2], says with
    zeros; clarity: float32 [n] in [0, 1], of the audio, 1 where nobody says; sentence: float32 [n, SENTENCE], or
    [n, 0] without its encoder.
    """

    rows: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    dense: npt.NDArray[np.float32]
    roles: npt.NDArray[np.int8]
    audio: npt.NDArray[np.float32]
    video: npt.NDArray[np.float32]
    present: npt.NDArray[np.float32]
    clarity: npt.NDArray[np.float32]
    sentence: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.roles)


def encode(inputs: Sequence[ExampleInput], settings: LearningSettings) -> Features:
    """The features of ``inputs``: a function of text, role and context alone, the same in every process."""
    moments = [moment(given, settings.context_turns) for given in inputs]
    table = Table.of(moments)
    features, starts = _bags(moments, inputs, table)
    audio, video, present, clarity = _modalities(inputs, settings)
    return Features(
        rows=(features & np.uint64(settings.buckets - 1)).view(np.int64),
        starts=starts,
        dense=dense(table, inputs),
        roles=table.own[:, 0].astype(np.int8),
        audio=audio,
        video=video,
        present=present,
        clarity=clarity,
        sentence=_sentence(inputs, settings),
    )


def _sentence(inputs: Sequence[ExampleInput], settings: LearningSettings) -> Floats:
    """What the sentence encoder says of ``inputs``, if it is asked for."""
    if not sentence_width(settings):
        return np.zeros((len(inputs), 0), dtype=np.float32)
    return sentence_features([_heard(given, settings.context_turns) for given in inputs])


def _heard(given: ExampleInput, context_turns: int) -> Heard:
    turns = (given.payload.context or ())[-context_turns:]
    student = next((turn.text for turn in reversed(turns) if turn.role == "student"), None)
    return Heard(given.payload.text, student, turns[-1].text if turns else None)


def _bags(moments: Sequence[Moment], inputs: Sequence[ExampleInput], table: Table) -> tuple[Hashes, Integers]:
    """The hashed features of each moment and where its bags begin."""
    now, kinds = lists([one.now.words for one in moments]), lists([one.skeleton for one in moments])
    closing = lists([one.now.closing for one in moments])
    pairs, kind_pairs, closing_pairs = ngrams(now, 2), ngrams(kinds, 2), ngrams(closing, 2)
    own = [
        (Space.WORD, now),
        (Space.PAIR, pairs),
        (Space.TRIPLE, ngrams(now, 3)),
        (Space.FIRST, firsts(now)),
        (Space.FIRST_TWO, firsts(pairs)),
        (Space.LAST, lasts(now)),
        (Space.STEM, lists([one.now.stems for one in moments])),
        (Space.CLOSING, closing),
        (Space.CLOSING_PAIR, closing_pairs),
        (Space.CLOSING_FIRST_TWO, firsts(closing_pairs)),
    ]
    before = [
        (Space.BEFORE, lists([one.last.words for one in moments])),
    ]
    related = [
        (Space.SHARED, lists([one.shared for one in moments])),
        (Space.FRESH, lists([one.fresh for one in moments])),
        (Space.KIND_PAIR, kind_pairs),
        (Space.KIND_TRIPLE, ngrams(kinds, 3)),
        (Space.KINDS_FIRST, openings(kinds, 3)),
        (Space.KINDS_FIRST_SIX, openings(kinds, 6)),
        (Space.KINDS_LAST, lasts(kind_pairs)),
        (Space.BIN, table_of(bins(table))),
        (Space.SETTING, lists([_setting(given) for given in inputs])),
    ]
    return bagged(len(moments), (own, before, related))


def _setting(given: ExampleInput) -> tuple[int, ...]:
    """Grade, subject and language, each a feature of its own."""
    if given.grade is given.subject is given.language is None:
        return ()
    said = (("grade", given.grade), ("subject", given.subject), ("language", given.language))
    return tuple(hashed(f"{name}={value.casefold()}") for name, value in said if value)


def _modalities(inputs: Sequence[ExampleInput], settings: LearningSettings) -> tuple[Floats, Floats, Floats, Floats]:
    """Audio, video, which of them are present, and clarity; looked for only if the settings know of any."""
    count = len(inputs)
    if not (settings.audio_dim or settings.video_dim):
        none = np.zeros((count, 0), dtype=np.float32)
        return none, none, np.zeros((count, 2), dtype=np.float32), np.ones(count, dtype=np.float32)
    payloads = [given.payload for given in inputs]
    audio, heard = _vectors([payload.audio for payload in payloads], settings.audio_dim)
    video, watched = _vectors([payload.video for payload in payloads], settings.video_dim)
    clarity = np.array([1.0 if payload.clarity is None else payload.clarity for payload in payloads], dtype=np.float32)
    return audio, video, np.stack((heard, watched), axis=1), clarity


def _vectors(given: Sequence[Sequence[float] | None], width: int) -> tuple[Floats, Floats]:
    """Feature vectors as float32 [n, width], and who has one [n]; one of another length counts as absent."""
    found, present = np.zeros((len(given), width), dtype=np.float32), np.zeros(len(given), dtype=np.float32)
    for at, vector in enumerate(given) if width else ():
        if vector is not None and len(vector) == width:
            found[at], present[at] = np.clip(vector, -MOST_FEATURE, MOST_FEATURE), 1.0
    return found, present

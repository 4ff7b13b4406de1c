"""An utterance and the ones before it as numbers: hashed features in bags, and dense ones that relate the two.

Restating and revoicing are relations between two utterances; an encoder that sees one sentence cannot see them.
No torch: whoever only curates encodes too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from learners.settings import LearningSettings
from learners.utterance import BIN, SETTING, SHARED, Hashes, Utterance, in_namespace, mixed, read_utterance, word_hash
from schemas.interaction import SpeakerRole, Turn
from schemas.prediction import ExampleInput

FIELDS = 3  # bags of an example: the utterance itself, the two before it, what it shares with the student's
Floats = npt.NDArray[np.float32]
ROLES: tuple[SpeakerRole, ...] = ("teacher", "student", "unknown")
OVERLAPS = 9  # dense features of a relation between two utterances
DENSE = len(ROLES) + 12 + 3 * OVERLAPS + 6
NOBODY = read_utterance("")
NO_OVERLAP = (0.0,) * OVERLAPS


@dataclass(frozen=True, slots=True)
class Features:
    """Encoded examples. ``rows`` are those of bag after bag; bag ``FIELDS·i + f`` of example i begins at ``starts``.

    rows: int64 [entries] in [0, buckets); starts: int64 [FIELDS·n + 1], the last is ``len(rows)``; dense: float32
    [n, DENSE], about within [-1, 1], zero where masked; roles: int8 [n], index into ``ROLES``. audio, video: float32
    [n, the settings' width], zero where absent, which ``present``, float32 [n, 2], says with zeros; clarity: float32
    [n] in [0, 1], of the audio, 1 where nobody says.
    """

    rows: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    dense: npt.NDArray[np.float32]
    roles: npt.NDArray[np.int8]
    audio: npt.NDArray[np.float32]
    video: npt.NDArray[np.float32]
    present: npt.NDArray[np.float32]
    clarity: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.roles)


def encode(inputs: Sequence[ExampleInput], settings: LearningSettings) -> Features:
    """The features of ``inputs``: a function of text, role and context alone, the same in every process."""
    bags: list[Hashes] = []
    dense: list[list[float]] = []
    for given in inputs:
        numbers, own, before, shared = _read(given, settings.context_turns)
        bags += (own, before, shared)
        dense.append(numbers)
    starts = np.zeros(len(bags) + 1, dtype=np.int64)
    np.cumsum([len(bag) for bag in bags], out=starts[1:])
    hashes = mixed(np.concatenate(bags)) if bags else NOBODY.own
    audio, heard = _vectors([given.payload.audio for given in inputs], settings.audio_dim)
    video, watched = _vectors([given.payload.video for given in inputs], settings.video_dim)
    clarity = [1.0 if given.payload.clarity is None else given.payload.clarity for given in inputs]
    return Features(
        rows=(hashes & np.uint64(settings.buckets - 1)).astype(np.int64),
        starts=starts,
        dense=np.array(dense, dtype=np.float32).reshape(len(inputs), DENSE),
        roles=np.array([ROLES.index(given.role) for given in inputs], dtype=np.int8),
        audio=audio,
        video=video,
        present=np.stack((heard, watched), axis=1),
        clarity=np.array(clarity, dtype=np.float32),
    )


def _vectors(given: Sequence[Sequence[float] | None], width: int) -> tuple[Floats, Floats]:
    """Feature vectors as float32 [n, width], and who has one [n]; one of another length counts as absent."""
    found, present = np.zeros((len(given), width), dtype=np.float32), np.zeros(len(given), dtype=np.float32)
    for at, vector in enumerate(given) if width else ():
        if vector is not None and len(vector) == width:
            found[at], present[at] = vector, 1.0
    return found, present


def _read(given: ExampleInput, context_turns: int) -> tuple[list[float], Hashes, Hashes, Hashes]:
    """Dense features and the three bags of one input."""
    now = read_utterance(given.payload.text)
    turns = (given.payload.context or ())[-context_turns:]
    last = read_utterance(turns[-1].text) if turns else NOBODY
    earlier = read_utterance(turns[-2].text) if len(turns) > 1 else NOBODY
    student, since_student = _last_of("student", turns)
    teacher, since_teacher = _last_of("teacher", turns)
    to_student, shared = _overlap(now, student)
    numbers = [
        *(1.0 if given.role == role else 0.0 for role in ROLES),
        *_alone(now, given),
        *to_student,
        *_overlap(now, teacher)[0],
        *_overlap(now, last)[0],
        *_distance(since_student, len(turns)),
        *_distance(since_teacher, len(turns)),
    ]
    before = np.concatenate((last.before, earlier.earlier)) if turns else NOBODY.own
    related = _relations(now, shared, to_student, since_student, given.role)
    return numbers, now.own, before, np.concatenate((related, _setting(given))) if _has_setting(given) else related


def _has_setting(given: ExampleInput) -> bool:
    return bool(given.grade or given.subject or given.language)


def _setting(given: ExampleInput) -> Hashes:
    """Grade, subject and language, each a feature of its own."""
    said = (("grade", given.grade), ("subject", given.subject), ("language", given.language))
    words = [word_hash(f"{name}={value.casefold()}") for name, value in said if value]
    return in_namespace(np.array(words, dtype=np.uint64), SETTING)


def _last_of(role: SpeakerRole, turns: Sequence[Turn]) -> tuple[Utterance, int]:
    """The last utterance of ``role`` and how many turns followed it; ``len(turns)`` and nobody's if there is none."""
    for since, turn in enumerate(reversed(turns)):
        if turn.role == role:
            return read_utterance(turn.text), since
    return NOBODY, len(turns)


def _alone(now: Utterance, given: ExampleInput) -> tuple[float, ...]:
    gap, duration = given.timing.gap_s, given.timing.duration_s
    return (
        math.log1p(len(now.words)) / 4,
        1.0 if now.asks else 0.0,
        1.0 if len(now.words) <= 2 else 0.0,
        len(now.content) / (1 + len(now.vocabulary)),
        0.0 if gap is None else 1.0,
        0.0 if gap is None else math.log1p(min(gap, 60.0)) / 4,
        0.0 if duration is None else 1.0,
        0.0 if duration is None else math.log1p(min(duration, 60.0)) / 4,
        *(_masked(given.mastery)),
        *(_masked(given.age, 1 / 20)),
    )


def _masked(value: float | None, scale: float = 1.0) -> tuple[float, float]:
    return (0.0, 0.0) if value is None else (1.0, scale * value)


def _distance(since: int, turns: int) -> tuple[float, float, float]:
    return (0.0, 0.0, 0.0) if since == turns else (1.0, 1 / (1 + since), since / 8)


def _overlap(now: Utterance, other: Utterance) -> tuple[tuple[float, ...], list[int]]:
    """Shares of overlap both ways, of words, content words and pairs; and which words are shared, in order."""
    if not other.words or not now.words:
        return NO_OVERLAP, []
    common = now.vocabulary & other.vocabulary
    content = len(now.content & other.content)
    pairs = len(now.pairs & other.pairs)
    return (
        1.0,
        len(common) / len(now.vocabulary),
        len(common) / len(other.vocabulary),
        content / (1 + len(now.content)),
        content / (1 + len(other.content)),
        pairs / (1 + len(now.pairs)),
        pairs / (1 + len(other.pairs)),
        1.0 if now.words == other.words else 0.0,
        math.log1p(len(other.words)) / 4,
    ), [word for word in dict.fromkeys(now.words) if word in common]


def _relations(
    now: Utterance, shared: list[int], to_student: tuple[float, ...], since_student: int, role: SpeakerRole
) -> Hashes:
    """What is shared with the last student utterance, word by word, and how much of it, in crossed bins."""
    ours, theirs = int(4 * to_student[3] + 0.999), int(4 * to_student[4] + 0.999)
    bins = ours + 8 * theirs + 64 * min(since_student, 7) + 512 * now.asks + 1024 * ROLES.index(role)
    return np.concatenate(
        (
            in_namespace(np.array(shared, dtype=np.uint64), SHARED),
            in_namespace(np.array([bins, bins & 63, bins >> 6], dtype=np.uint64), BIN),
        )
    )

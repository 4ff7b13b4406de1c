"""An utterance among the turns before it: who spoke last, what it takes up of a student's words, what is new in it.

Restating and revoicing are relations between two utterances; an encoder that sees one sentence cannot see them.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import sub
from typing import NamedTuple

from learners.utterance import SHARED, Utterance, read_utterance
from schemas.interaction import SpeakerRole, Turn
from schemas.prediction import ExampleInput

ROLES: tuple[SpeakerRole, ...] = ("teacher", "student", "unknown")
NUMBER_OF: dict[SpeakerRole, int] = {role: number for number, role in enumerate(ROLES)}
NO_TURN = len(ROLES)
NOBODY = read_utterance("")
NO_OVERLAP = (0, 0, 0, 0, *NOBODY.sizes)


class Moment(NamedTuple):
    """What the features of one input are made of."""

    role: int  # index into ROLES
    now: Utterance
    last: Utterance  # the turn before, whoever spoke
    shared: Sequence[int]  # words that the last student utterance has, rising
    fresh: Sequence[int]  # words that the students' last run of turns has not
    skeleton: Sequence[int]  # kinds of words, with SHARED where a student's word of content is taken up
    place: tuple[int, ...]  # see ``moment``
    to_student: tuple[int, ...]  # see ``overlap``


def moment(given: ExampleInput, context_turns: int) -> Moment:
    """The moment of one input.

    Its ``place``: turns since the last student and teacher (as many as there are if nobody), all turns, the role of the
    last, turns of the own role right before; whether the last turn, the last student and the last teacher asked; words
    of the last turn; words and roots of the students' last run, how many of these roots come again, in how many words;
    words of the last student and the last teacher.
    """
    turns = (given.payload.context or ())[-context_turns:]
    count, now, role = len(turns), read_utterance(given.payload.text), given.role
    roles = [turn.role for turn in turns]
    roles.reverse()
    since_student = roles.index("student") if "student" in roles else count
    since_teacher = roles.index("teacher") if "teacher" in roles else count
    last = read_utterance(turns[-1].text) if count else NOBODY
    student = read_utterance(turns[-1 - since_student].text) if since_student < count else NOBODY
    teacher = read_utterance(turns[-1 - since_teacher].text) if since_teacher < count else NOBODY
    run_words, vocabulary, roots = _run(turns, roles, since_student, student)
    own_run = 0
    while own_run < count and roles[own_run] == role:
        own_run += 1
    shared, again = now.vocabulary & student.vocabulary, now.roots & roots
    fresh: Sequence[int] = ()
    skeleton: Sequence[int] = ()
    if since_student < count:
        fresh = sorted(now.vocabulary - vocabulary)
        skeleton = now.kinds
        if again:
            skeleton = [SHARED if stem in again else kind for kind, stem in zip(now.kinds, now.stems, strict=True)]
    place = (
        since_student, since_teacher, count, NUMBER_OF[roles[0]] if count else NO_TURN, own_run, last.asks,
        student.asks, teacher.asks, len(last.words), run_words, len(roots), len(again),
        skeleton.count(SHARED) if again else 0, len(student.words), len(teacher.words),
    )  # fmt: skip
    return Moment(NUMBER_OF[role], now, last, sorted(shared), fresh, skeleton, place, overlap(now, student, shared))


def overlap(now: Utterance, other: Utterance, shared: frozenset[int]) -> tuple[int, ...]:
    """0 if either has no words, 2 if both are the same, else 1; how many words, pairs and roots they share; the other's
    sizes. ``shared`` are the words that both have."""
    if not (now.words and other.words):
        return NO_OVERLAP
    roots = len(now.roots & other.roots)
    if not shared:
        return 1, 0, 0, roots, *other.sizes
    pairs = len(_pairs(now) & _pairs(other)) if len(shared) > 1 else 0
    return 1 + (now.words == other.words), len(shared), pairs, roots, *other.sizes


def _pairs(one: Utterance) -> set[int]:
    """Differences of neighbours' hashes: as good as the words side by side, and quickly made."""
    return set(map(sub, one.words, one.words[1:]))


def _run(
    turns: Sequence[Turn], roles: Sequence[SpeakerRole], since: int, last: Utterance
) -> tuple[int, frozenset[int], frozenset[int]]:
    """Of the last turns that students spoke one after the other: how many words, which, and their roots."""
    words, vocabulary, roots = len(last.words), last.vocabulary, last.roots
    while (since := since + 1) < len(roles) and roles[since] == "student":
        before = read_utterance(turns[-1 - since].text)
        words, vocabulary, roots = words + len(before.words), vocabulary | before.vocabulary, roots | before.roots
    return words, vocabulary, roots

"""One utterance as the encoder sees it: its words, and its hashed features that depend on no other utterance."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from zlib import crc32

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]

# A namespace makes the same word another feature: as spoken now, one turn ago, shared with the student, ...
WORD, PAIR, TRIPLE, FIRST, FIRST_TWO, LAST, BEFORE, BEFORE_PAIR, EARLIER, SHARED, BIN, SETTING = range(1, 13)

_WORDS = re.compile(r"[a-z]+(?:'[a-z]+)?|[0-9]+(?:[./][0-9]+)?|[?!]|\.\.\.")
_ODD_MARKS = str.maketrans({"\u2018": "'", "\u2019": "'", "\u2026": "..."})
_PAIR, _TRIPLE = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
_MIX, _REMIX = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
_SHIFT = np.uint64(33)
_OFFSETS = np.arange(SETTING + 1, dtype=np.uint64) * np.uint64(0xD6E8FEB86659FD93)  # of the namespaces
_CLOSED_CLASSES = """
a an and are as at be but by can did do does for from had has have he her his how i if in is it it's its like me my no
not of oh okay on or our out she so that that's the their them then there they this to um up us was we well were what
when where which who why will with would yeah yes you your ? ! ...
"""
CLOSED = frozenset(map(crc32, map(str.encode, _CLOSED_CLASSES.split())))


@dataclass(frozen=True, slots=True)
class Utterance:
    """What one text holds, hashed. ``words`` are in order; the sets hold what may be shared with another utterance."""

    words: tuple[int, ...]
    vocabulary: frozenset[int]
    content: frozenset[int]  # words that carry content: all but the closed classes
    pairs: frozenset[int]
    asks: bool
    own: Hashes  # features as the utterance in question
    before: Hashes  # as the one before it
    earlier: Hashes  # as the one before that


def in_namespace(values: Hashes, namespace: int) -> Hashes:
    """The features that ``values`` are in a namespace, not mixed yet: ``mixed`` is cheap only for many at once."""
    shifted: Hashes = values + _OFFSETS[namespace]
    return shifted


def mixed(features: Hashes) -> Hashes:
    """``features`` made uniform in 64 bits (finaliser of MurmurHash3, Appleby 2011)."""
    found = np.multiply(features ^ (features >> _SHIFT), _MIX)
    found ^= found >> _SHIFT
    found *= _REMIX
    found ^= found >> _SHIFT
    return found


@lru_cache(maxsize=1 << 16)
def word_hash(word: str) -> int:
    """CRC-32 of a word: the same in every process, unlike ``hash``."""
    return crc32(word.encode())


@lru_cache(maxsize=1 << 15)  # an utterance is met once as itself and then in the contexts of those that follow
def read_utterance(text: str) -> Utterance:
    """The words of ``text`` and their features."""
    words = _WORDS.findall(text.translate(_ODD_MARKS).lower())
    ids = tuple(map(word_hash, words))
    singles = np.array(ids, dtype=np.uint64)
    pairs = singles[:-1] * _PAIR + singles[1:]
    triples = pairs[:-1] * _TRIPLE + singles[2:]
    own = np.concatenate(
        (
            in_namespace(singles, WORD),
            in_namespace(pairs, PAIR),
            in_namespace(triples, TRIPLE),
            in_namespace(singles[:1], FIRST),
            in_namespace(pairs[:1], FIRST_TWO),
            in_namespace(singles[-1:], LAST),
        )
    )
    vocabulary = frozenset(ids)
    return Utterance(
        words=ids,
        vocabulary=vocabulary,
        content=vocabulary - CLOSED,
        pairs=frozenset(pairs.tolist()),
        asks="?" in words,
        own=own,
        before=np.concatenate((in_namespace(singles, BEFORE), in_namespace(pairs, BEFORE_PAIR))),
        earlier=in_namespace(singles, EARLIER),
    )

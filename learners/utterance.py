"""One utterance as the encoder sees it: its words and what can be said of them without any other utterance."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple
from zlib import crc32

_WORDS = re.compile(r"[A-Za-z]+(?:'[A-Za-z]+)?|[0-9]+(?:[./][0-9]+)?|[?!]|\.\.\.")
_ODD_MARKS = str.maketrans({"\u2018": "'", "\u2019": "'", "\u2026": "..."})
_CLOSED_CLASSES = """
a an and are as at be but by can did do does for from had has have he her him his how i if in is it it's its like me my
no not of oh okay on or our out she so that that's the their them then there they this to um up us was we well were what
when where which who why will with would yeah yes you your ? ! ...
"""
# Beside the closed classes: what is said in any lesson, whatever it is about.
_ROUTINE = """
ok alright right good great because cuz think know say said tell just about all any some more many much could should
let's let i'm you're they're we're don't didn't doesn't isn't what's where's who's how's here now got get go going want
see look anybody anyone everybody everyone somebody someone else same different agree disagree mean explain show why's
else's these those one's i'll we'll you'll i've we've you've can't won't make sure only other another again thank thanks
mhm hmm mm uh huh
"""
_SMALL_NUMBERS = """
zero one two three four five six seven eight nine ten eleven twelve
"""
_NUMBERS = """
thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety
hundred thousand half halves third thirds fourth fourths fifth fifths sixth sixths seventh eighth eighths ninth tenth
tenths quarter
"""
_CLOSED = frozenset(_CLOSED_CLASSES.split())
_KNOWN = _CLOSED | frozenset(_ROUTINE.split())
_DIGITS = {word: str(value) for value, word in enumerate(_SMALL_NUMBERS.split())}
_NUMERALS = frozenset(_DIGITS) | frozenset(_NUMBERS.split())
_ENDINGS = ("ing", "ed", "es", "'s", "s", "e")
_NOTHING: tuple[tuple[int, ...], ...] = ((), (), (), ())


class Word(NamedTuple):
    """A word, hashed: ``id``, and ``stem``, alike for "divided" and "dividing", "three" and "3".

    ``kind`` is the word itself where it is said in any lesson, else what sort of word it is; ``first`` is the same of
    a sentence's first word, whose capital says nothing.
    """

    id: int
    stem: int
    kind: int
    first: int


class Utterance(NamedTuple):
    """What one text holds, hashed. ``words``, ``stems`` and ``kinds`` are in order; sets may be shared with another.

    ``closing`` are the words of the last sentence, where there are several: it is the one that asks to be answered.
    """

    words: tuple[int, ...]
    stems: tuple[int, ...]
    kinds: tuple[int, ...]
    vocabulary: frozenset[int]
    roots: frozenset[int]  # stems of the words that carry content: all but the closed classes
    sizes: tuple[int, int, int]  # of words, vocabulary, roots
    asks: bool
    closing: tuple[int, ...]


def hashed(text: str) -> int:
    """CRC-32: the same in every process, unlike ``hash``."""
    return crc32(text.encode())


SHARED, NAME, NUMBER, OTHER = map(hashed, ("<shared>", "<name>", "<number>", "<other>"))  # kinds of words
_QUESTION_MARK = hashed("?")
_CLOSED_IDS = frozenset(map(hashed, _CLOSED))


class _Words(dict[str, Word]):
    """Words by how they are written; forgets all when it holds too many. A third of the time of ``lru_cache``."""

    def __missing__(self, written: str) -> Word:
        if len(self) >= 1 << 14:
            self.clear()
        return self.setdefault(written, read_word(written))


def read_word(written: str) -> Word:
    """The word that is ``written`` so."""
    word = written.lower()
    kind = NUMBER if word in _NUMERALS or word[0].isdigit() else hashed(word) if word in _KNOWN else OTHER
    is_name = kind == OTHER and written[0].isupper() and len(word) > 1
    stem = hashed(word if word in _CLOSED else _stem(_DIGITS.get(word, word)))
    return Word(hashed(word), stem, NAME if is_name else kind, kind)


def _stem(word: str) -> str:
    ending = next((each for each in _ENDINGS if word.endswith(each) and len(word) - len(each) >= 3), "")
    return word[: len(word) - len(ending)][:6]


_KNOWN_WORDS = _Words()


@lru_cache(maxsize=1 << 13)  # an utterance is met once as itself and then in the contexts of those that follow
def read_utterance(text: str) -> Utterance:
    """The words of ``text`` and what they hold."""
    text = text if text.isascii() else text.translate(_ODD_MARKS)
    found = _WORDS.findall(text)
    words, stems, kinds, firsts = zip(*map(_KNOWN_WORDS.__getitem__, found)) if found else _NOTHING  # noqa: B905  # of one length
    if len(words) > 2 and kinds[0] == NAME:  # a sentence begins with a capital; a call by name is as short as "Laura?"
        kinds = firsts[:1] + kinds[1:]
    vocabulary, roots = frozenset(words), frozenset(stems) - _CLOSED_IDS
    sizes = len(words), len(vocabulary), len(roots)
    asks = _QUESTION_MARK in vocabulary
    return Utterance(words, stems, kinds, vocabulary, roots, sizes, asks, _closing(text, words))


def _closing(text: str, words: tuple[int, ...]) -> tuple[int, ...]:
    """The ``words`` of the last sentence of ``text``, none where it is the only one."""
    text = text.rstrip() if text.endswith(" ") else text
    end = max(text.rfind(". "), text.rfind("? "), text.rfind("! "))
    if end < 0:
        return ()
    count = len(_WORDS.findall(text, end + 1))
    return words[-count:] if 0 < count < len(words) else ()

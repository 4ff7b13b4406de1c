"""How fast utterances become features: learners.encode beside the least code that hashes the same kinds of features.

The bare loop knows the features that tell talk moves apart (words, pairs, triples, first and last words, the two
sentences before, what is shared with the last student's and how much) and nothing else: no events, no masks, no audio,
no settings, no other relation than to the student. Both meet the same sentences in their order, in turns.
Bar: at least .8 of the bare loop's sentences a second. Seconds are of the processor, not of the clock on the wall.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from statistics import median
from zlib import crc32

import numpy as np
import numpy.typing as npt

from benchmarks.output import arguments, finish, program, progress, table
from benchmarks.talkmoves_data import DATA, lessons
from learners.encode import encode
from learners.fingerprint import fingerprint, fix_threads
from learners.settings import LearningSettings
from learners.utterance import read_utterance
from schemas.prediction import ExampleInput

BAR = 0.8
TOGETHER = 256  # sentences of a batch
WORDS = re.compile(r"[a-z]+(?:'[a-z]+)?|[0-9]+(?:[./][0-9]+)?|[?!]|\.\.\.")
MASK = 2**18 - 1

Sentence = tuple[list[str], frozenset[str], frozenset[tuple[str, str]], list[int]]
Encoded = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]


def main(argv: Sequence[str] | None = None) -> int:
    """Read the arguments, measure, show."""
    given = _arguments(argv)
    fix_threads()
    settings = LearningSettings()
    inputs = [one.input for lesson in lessons(given.data, settings.context_turns) for one in lesson][: given.sentences]
    arms: dict[str, Callable[[Sequence[ExampleInput]], object]] = {
        "encode": lambda some: encode(some, settings),
        "bare": lambda some: bare(some),
    }
    spent: dict[str, list[float]] = {name: [] for name in arms}
    with progress("rounds", total=given.rounds) as advance:
        for _ in range(given.rounds):
            for name, arm in arms.items():
                spent[name].append(_seconds(arm, inputs))
            advance()
    found = result(len(inputs), spent["encode"], spent["bare"])
    table(("arm", "sentences/s"), [("learners.encode", found["encode_per_s"]), ("bare loop", found["bare_per_s"])])
    print(f"ratio {found['ratio']} (at least {BAR}: {'yes' if found['met'] else 'no'})")
    finish({**found, "fingerprint": fingerprint()}, given)
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = arguments(__doc__, "currere bench encode --json")
    parser.add_argument("--data", type=Path, default=DATA, help="the recording (default: %(default)s)")
    parser.add_argument("--sentences", type=int, default=20_000, help="how many a round (default: 20000)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, both arms in each (default: 5)")
    return parser.parse_args(argv)


def result(sentences: int, encode_s: Sequence[float], bare_s: Sequence[float]) -> dict[str, object]:
    """Rates of the median rounds, and the median of the rounds' ratios of rates."""
    ratios = [theirs / ours for ours, theirs in zip(encode_s, bare_s, strict=True)]
    return {
        "encode_per_s": round(sentences / median(encode_s)),
        "bare_per_s": round(sentences / median(bare_s)),
        "ratio": round(median(ratios), 3),
        "ratio_min": round(min(ratios), 3),
        "ratio_max": round(max(ratios), 3),
        "met": median(ratios) >= BAR,
    }


def _seconds(arm: Callable[[Sequence[ExampleInput]], object], inputs: Sequence[ExampleInput]) -> float:
    """Of the processor, to encode ``inputs`` from nothing remembered, a batch at a time."""
    read_utterance.cache_clear()
    sentence.cache_clear()
    begun = time.process_time()
    for first in range(0, len(inputs), TOGETHER):
        arm(inputs[first : first + TOGETHER])
    return time.process_time() - begun


def bare(inputs: Sequence[ExampleInput]) -> Encoded:
    """Buckets, where each input's begin, and numbers of the relation to the student."""
    buckets: list[int] = []
    starts, numbers = [0], []
    for given in inputs:
        turns = given.payload.context or ()
        words, kinds, pairs, own = sentence(given.payload.text)
        buckets += own
        for back, turn in enumerate(turns[:-3:-1]):
            buckets += [crc32(word.encode(), back) & MASK for word in sentence(turn.text)[0]]
        since, student = next(
            ((n, turn.text) for n, turn in enumerate(reversed(turns)) if turn.role == "student"), (9, "")
        )
        said, theirs, their_pairs, _ = sentence(student)
        common = kinds & theirs
        buckets += [crc32(word.encode(), 5) & MASK for word in words if word in common]
        numbers.append(
            (
                len(common) / (1 + len(kinds)),
                len(common) / (1 + len(theirs)),
                len(pairs & their_pairs) / (1 + len(pairs)),
                float(words == said),
                float("?" in kinds),
                len(words) / 20,
                since / 8,
                float(given.role == "teacher"),
            )
        )
        starts.append(len(buckets))
    return np.array(buckets, np.int64), np.array(starts, np.int64), np.array(numbers, np.float32)


@lru_cache(maxsize=1 << 15)
def sentence(text: str) -> Sentence:
    """Words, kinds of words, pairs and own buckets of a text."""
    words = WORDS.findall(text.lower())
    pairs = list(pairwise(words))
    triples = zip(words, words[1:], words[2:], strict=False)
    own = [crc32(word.encode()) & MASK for word in words]
    own += [crc32(f"{a} {b}".encode()) & MASK for a, b in pairs]
    own += [crc32(f"{a} {b} {c}".encode()) & MASK for a, b, c in triples]
    own += [crc32(word.encode(), 7) & MASK for word in words[:1]] + [
        crc32(word.encode(), 8) & MASK for word in words[-1:]
    ]
    return words, frozenset(words), frozenset(pairs), own


if __name__ == "__main__":
    program(main)

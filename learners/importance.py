"""How much a moment is worth remembering, as a sum whose every addend has a name.

A bonus for a confident model is deliberately absent: it would fill the memory with what the model knows already.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import log

from schemas.feedback import FlagName, LabelValue
from schemas.prediction import Output

FLAGS: dict[FlagName, float] = {
    "exemplary": 0.4,
    "breakthrough": 0.3,
    "perfect_scaffolding": 0.3,
    "perfect_wait_time": 0.3,
    "prefers_open_questions": 0.1,
}
DISAGREEMENT = 0.6  # with rarity or one cue it passes .8, so no expert needs to flag a confident mistake
UNCERTAINTY = 0.3
CONTENT = 0.3
RARITY = 0.2
RATED = 0.3  # of what an expert rated as bad as can be
MARKS = ("flag:", "rated")  # the addends that experts' marks give, which may come after the label


@dataclass(frozen=True, slots=True)
class Cue:
    """An invitation to think aloud: ``pattern``, followed somewhere by ``then`` if there is one.

    ``needles`` are substrings of the lower-case text without at least one of which the pattern cannot match; looking
    for them costs a tenth of a scan.
    """

    name: str
    weight: float
    needles: tuple[str, ...]
    pattern: re.Pattern[str]
    then: re.Pattern[str] | None = None

    def found(self, lower: str) -> bool:
        """Whether the lower-case text has this cue; linear in its length."""
        for needle in self.needles:
            if needle in lower:
                match = self.pattern.search(lower)
                return match is not None and (self.then is None or self.then.search(lower, match.end()) is not None)
        return False


def _words(pattern: str, letters: str = r"\w") -> re.Pattern[str]:
    # Vowel signs and viramas are no \w in Python's re, so \b splits Hindi and Tamil words: name the script's letters.
    return re.compile(rf"(?<![{letters}])(?:{pattern})(?![{letters}])")


_HINDI = "\u0900-\u0963\u0966-\u097f"  # without danda and double danda, which end sentences
_TAMIL = "\u0b80-\u0bff"
_WHY_HI = _words("क्यों|क्यूँ|क्यूं", _HINDI)
_WHY_TA = _words("ஏன்", _TAMIL)

CUES: dict[str, tuple[Cue, ...]] = {
    "en": (
        Cue("why_how", 0.3, ("why", "how"), _words("why|how")),
        Cue("what_do_you_think", 0.2, ("think",), _words(r"what\s+do\s+(?:you|we|y'all)(?:\s+all)?\s+think")),
        Cue("tell_me_more", 0.2, ("more",), _words(r"tell\s+(?:me|us)\s+(?:some\s+)?more")),
        Cue("interesting_why", 0.3, ("interesting",), _words(r"that(?:['’]s|\s+is)\s+interesting"), _words("why")),
    ),
    "hi": (
        Cue("why_how", 0.3, ("क्य", "कैसे"), _words("क्यों|क्यूँ|क्यूं|कैसे", _HINDI)),
        Cue(
            "what_do_you_think",
            0.2,
            ("क्या",),
            _words(r"क्या\s+(?:सोच(?:ते|ती)|लगता|ख़याल|ख्याल|विचार)", _HINDI),
        ),
        Cue(
            "tell_me_more", 0.2, ("और",), _words(r"और\s+(?:कुछ\s+)?(?:बताओ|बताइए|बताइये|बताएँ|बताएं|समझाओ|समझाइए)", _HINDI)
        ),
        Cue("interesting_why", 0.3, ("दिलचस्प", "रोचक"), _words("दिलचस्प|रोचक", _HINDI), _WHY_HI),
    ),
    "ta": (
        Cue("why_how", 0.3, ("ஏன்", "எப்படி"), _words("ஏன்|எப்படி", _TAMIL)),
        Cue(
            "what_do_you_think",
            0.2,
            ("என்ன",),
            _words(r"என்ன\s+நினைக்கிற(?:ீர்கள்|ாய்|ோம்)|கருத்து\s+என்ன", _TAMIL),
        ),
        Cue(
            "tell_me_more",
            0.2,
            ("சொல்", "விளக்க"),
            _words(r"(?:மேலும்|இன்னும்)\s+(?:கொஞ்சம்\s+)?(?:சொல்|சொல்லு|சொல்லுங்கள்|விளக்கு|விளக்குங்கள்)", _TAMIL),
        ),
        Cue("interesting_why", 0.3, ("சுவார",), _words(r"சுவார(?:ஸ்ய|சிய)[\u0b80-\u0bff]*", _TAMIL), _WHY_TA),
    ),
}
_EVERY = tuple(cue for cues in CUES.values() for cue in cues)


def importance(
    text: str,
    language: str | None,
    outputs: Mapping[str, Output],
    *,
    disagreement: float | None,
    flags: Collection[str],
    rarity: float,
    rated: float = 0.0,
) -> tuple[float, dict[str, float]]:
    """The worth of a moment in [0, 1], and its addends by name, which sum to it; zero addends are left out.

    ``language`` is a BCP 47 tag; without one the cues of every language are looked for, of a language that has none
    no cue counts. ``disagreement``, ``rarity`` and ``rated``, how badly experts rated the output, are in [0, 1];
    disagreement is None while no label is known. What exceeds one is taken back by the addend ``clipped``.
    """
    reasons: dict[str, float] = {}
    for flag in sorted(flags):
        if flag in FLAGS:
            reasons[f"flag:{flag}"] = FLAGS[flag]
    if disagreement:
        reasons["disagreement"] = DISAGREEMENT * disagreement
    if doubt := uncertainty(outputs):
        reasons["uncertainty"] = UNCERTAINTY * doubt
    if rated:
        reasons["rated"] = RATED * rated
    lower = text.lower()
    for cue in _EVERY if language is None else CUES.get(language.partition("-")[0].lower(), ()):
        if cue.found(lower):
            reasons[f"cue:{cue.name}"] = CONTENT * cue.weight
    if rarity:
        reasons["rarity"] = RARITY * rarity
    total = sum(reasons.values())
    if total > 1:
        reasons["clipped"] = 1 - total
    return min(total, 1.0), reasons


def marked(reasons: Mapping[str, float]) -> float:
    """What experts' marks add to an importance, by its ``reasons``."""
    return parted(reasons)[1]


def parted(reasons: Mapping[str, float]) -> tuple[float, float]:
    """An importance without experts' marks, not clipped, and what the marks add: clipped at one they make the whole."""
    bare = marks = 0.0
    for name, worth in reasons.items():
        if name.startswith(MARKS):
            marks += worth
        elif name != "clipped":
            bare += worth
    return bare, marks


def badness(value: float, middle: float, worst: float) -> float:
    """How bad a score or rating of the output is, in [0, 1]: 0 from the ``middle`` of its scale up, 1 at the worst.

    Praise is no reason to rehearse: it says that the model knows.
    """
    return min(max((middle - value) / (middle - worst), 0.0), 1.0)


def uncertainty(outputs: Mapping[str, Output]) -> float:
    """The mean normalised entropy of the outputs that have probabilities, in [0, 1]; 0 where none has.

    Of a distribution over k classes the entropy over ln k (Shannon 1948); of probabilities that do not sum to one, as
    those of a multilabel task, the mean binary entropy over ln 2.
    """
    total, tasks = 0.0, 0
    for output in outputs.values():
        if output.probabilities and (len(output.probabilities) > 1 or not _sums_to_one(output.probabilities.values())):
            total += _entropy(output.probabilities.values())
            tasks += 1
    return min(total / tasks, 1.0) if tasks else 0.0


def _sums_to_one(probabilities: Collection[float]) -> bool:
    return abs(sum(probabilities) - 1) < 1e-3


def _entropy(probabilities: Collection[float]) -> float:
    if _sums_to_one(probabilities):
        return -sum([p * log(p) for p in probabilities if p > 0]) / log(len(probabilities))
    bits = [p * log(p) + (1 - p) * log(1 - p) for p in probabilities if 0 < p < 1]
    return -sum(bits) / (log(2) * len(probabilities))


def disagreement(output: Output, label: LabelValue, scale: float = 1.0) -> float:
    """How far the output is from the label, in [0, 1]; 0 where it says nothing about it.

    One minus the probability of a class; of several classes the mean over classes of |truth - probability|; of a
    number the absolute error over ``scale``, the width of the task's range, at most 1.
    """
    if isinstance(label, float | int):
        return 0.0 if output.value is None else min(abs(output.value - label) / scale, 1.0)
    if not output.probabilities:
        return 0.0
    if isinstance(label, str):
        return min(max(1 - output.probabilities.get(label, 0.0), 0.0), 1.0)
    classes = output.probabilities.keys() | set(label)
    return sum(abs((name in label) - output.probabilities.get(name, 0.0)) for name in classes) / len(classes)

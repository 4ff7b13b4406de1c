"""How right the model probably is on what nobody has labelled yet: an estimate, and how far off it has been.

Each prediction has a confidence, the probability of its likeliest class. Labels tell how often each confidence was
right, and that is applied to all that was asked, labelled or not. Two estimates:

- *calibrated*: the mean of the share that was right in the bin of each confidence (Zadrozny & Elkan 2001);
- *thresholded*: the share of confidences above the threshold that as many labelled ones were above as were right
  (average thresholded confidence, Garg et al. 2022, equation 3).

Both hold if confidence means among the unlabelled what it means among the labelled. Whether it does is not seen here:
``error`` holds them against labels that come later, not against those that never do.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from schemas.feedback import LabelValue
from schemas.prediction import Output

BINS = 20
WINDOW = 4_000  # past twice as many, what was counted is halved: the older, the less it counts
FEWEST = 50  # labels before there is an estimate


def _none() -> list[float]:
    return [0.0] * BINS


@dataclass(slots=True)
class Guess:
    """What was counted of one task. ``asked``, ``labelled`` and ``right`` are by bin of confidence.

    ``judged`` labels came after there was an estimate; ``expected`` is what it gave them by either method, and ``true``
    how many were right.
    """

    predictions: float = 0.0
    labels: float = 0.0
    asked: list[float] = field(default_factory=_none)
    labelled: list[float] = field(default_factory=_none)
    right: list[float] = field(default_factory=_none)
    judged: float = 0.0
    expected: list[float] = field(default_factory=lambda: [0.0, 0.0])
    true: float = 0.0

    def calibrated(self, place: int) -> float:
        """The share that was right in a bin; one label's worth is its middle."""
        return (self.right[place] + (place + 0.5) / BINS) / (self.labelled[place] + 1)

    def above(self) -> list[float]:
        """Of each bin the share of it above the threshold: 1 beyond it, 0 below, a part of the bin it lies in."""
        left, shares = sum(self.right), _none()
        for place in range(BINS - 1, -1, -1):
            held = self.labelled[place]
            shares[place] = 1.0 if held <= left and left > 0 else left / held if held else 0.0
            left = max(left - held, 0.0)
        return shares

    def label(self, place: int, hit: bool) -> None:
        """Count a label on a prediction of that bin; first hold the estimates against it."""
        if sum(self.labelled) >= FEWEST:
            self.judged += 1
            self.expected[0] += self.calibrated(place)
            self.expected[1] += self.above()[place]
            self.true += hit
        self.labelled[place] += 1
        self.right[place] += hit

    def fade(self) -> None:
        """Halve what is past twice the window."""
        if self.predictions > 2 * WINDOW:
            self.predictions, self.labels = self.predictions / 2, self.labels / 2
            self.asked = [count / 2 for count in self.asked]
        if sum(self.labelled) > 2 * WINDOW:
            self.labelled, self.right = [c / 2 for c in self.labelled], [c / 2 for c in self.right]
        if self.judged > 2 * WINDOW:
            self.judged, self.true, self.expected = self.judged / 2, self.true / 2, [e / 2 for e in self.expected]

    def summary(self) -> dict[str, float]:
        """``coverage``, labels a prediction; ``calibrated`` and ``thresholded`` accuracy of all that was asked, and
        ``calibrated_error`` and ``thresholded_error``, estimate less truth on labels that came later."""
        found = {"coverage": min(self.labels / self.predictions, 1.0)} if self.predictions else {}
        asked = sum(self.asked)
        if asked and sum(self.labelled) >= FEWEST:
            above = self.above()
            found["calibrated"] = sum(n * self.calibrated(place) for place, n in enumerate(self.asked)) / asked
            found["thresholded"] = sum(n * above[place] for place, n in enumerate(self.asked)) / asked
        if self.judged >= FEWEST:
            for name, expected in zip(("calibrated", "thresholded"), self.expected, strict=True):
                found[f"{name}_error"] = (expected - self.true) / self.judged
        return found


class Estimate:
    """The guesses of every task, bounded; predictions and labels may come in any order."""

    def __init__(self) -> None:
        self.tasks: dict[str, Guess] = {}

    def asked(self, task: str, output: Output) -> None:
        """Count a prediction."""
        guess = self.tasks.get(task) or self.tasks.setdefault(task, Guess())
        guess.predictions += 1
        if (found := _confidence(output)) is not None:
            guess.asked[found] += 1
        if guess.predictions > 2 * WINDOW:
            guess.fade()

    def labelled(self, task: str, label: LabelValue, output: Output) -> None:
        """Count the first label on a prediction, whose output was ``output``."""
        guess = self.tasks.get(task) or self.tasks.setdefault(task, Guess())
        guess.labels += 1
        if isinstance(label, str) and output.probabilities and (found := _confidence(output)) is not None:
            guess.label(found, max(output.probabilities, key=output.probabilities.__getitem__) == label)
            guess.fade()

    def summary(self) -> dict[str, dict[str, float]]:
        """By task, what ``Guess.summary`` says; a task of numbers has its coverage alone."""
        return {task: guess.summary() for task, guess in self.tasks.items()}


def _confidence(output: Output) -> int | None:
    """The bin of the likeliest class's probability; None where nothing is likely, as of a number."""
    if not output.probabilities:
        return None
    return min(int(max(output.probabilities.values()) * BINS), BINS - 1)

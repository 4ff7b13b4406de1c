"""How far each rater can be trusted, learned from agreement: with the model as it was then, and with other raters.

The one-coin model of Dawid & Skene (1979): a rater names the true class with probability π, else any of the k - 1
others. Online (Cappé & Moulines 2009): each label is explained once, when it comes, by what stood before it, and old
explanations fade. What stood before is the prediction made when the event arrived, never one that knows the label.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from typing import NamedTuple

from pydantic_core import from_json, to_json

from schemas.errors import ConfigurationError
from schemas.feedback import LabelValue
from schemas.prediction import Output

NOBODY: Mapping[str, LabelValue] = MappingProxyType({})
DOUBT = 0.01  # of every prediction is spread evenly: none is certain


@dataclass(frozen=True, slots=True)
class TrustSettings:
    """``floor`` is the least weight; before any label a rater is right with probability ``prior``.

    ``strength`` is how many labels the mean of all raters counts in each rater's own; of a label's evidence 1/e is left
    after ``window`` more of its rater. At most ``raters`` are known; one gives up its place to a new one after ``idle``
    labels of others, so that nobody drives out an active rater by inventing names. Raises ConfigurationError.
    """

    floor: float = 0.1
    prior: float = 0.8
    strength: float = 20.0
    window: float = 500.0
    raters: int = 256
    idle: int = 10_000

    def __post_init__(self) -> None:
        if not (0 <= self.floor <= 1 and 0 < self.prior < 1 and self.strength > 0 and self.window >= 1):
            raise ConfigurationError("trust has a floor in [0, 1], a prior in (0, 1), strength and window above 0")


class Count(NamedTuple):
    """Of some labels, fading: how many, how many of them likely right, how many would be by chance.

    ``last`` is the number of all labels when the last one came.
    """

    n: float = 0.0
    right: float = 0.0
    chance: float = 0.0
    last: int = 0


NOTHING = Count()


class Trust:
    """The reliability of every rater, by pseudonym.

    Only labels of one class that the model gave probabilities are evidence: by how much a number or a set is wrong is
    no coin's fall. A rater of whom nothing is known counts as all raters together do.
    """

    def __init__(
        self,
        settings: TrustSettings = TrustSettings(),
        counts: Mapping[str, Count] | None = None,
        total: Count = NOTHING,
    ) -> None:
        self.settings = settings
        self.counts = dict(counts or {})
        self.total = total  # kept, not summed anew: a sum in another order has other last digits
        self._typical: float | None = None

    def update(
        self,
        rater: str,
        task: str,
        label: LabelValue,
        output: Output | None,
        others: Mapping[str, LabelValue] = NOBODY,
    ) -> None:
        """Hear that ``rater`` gave ``label``, of which ``output`` was predicted and ``others`` say something, by rater.

        What the others said is explained anew in the light of this label.
        """
        shares = output.probabilities if output is not None else None
        if not isinstance(label, str) or not shares or len(shares) < 2 or label not in shares:
            return
        if not others:  # as almost always
            self._add(rater, self._right(rater, label, shares, others), len(shares))
            return
        said = {who: value for who, value in others.items() if isinstance(value, str) and value in shares}
        right = self._right(rater, label, shares, said)
        changes = {}
        for who, value in said.items():
            rest = {other: one for other, one in said.items() if other != who}
            before = self._right(who, value, shares, rest)
            changes[who] = self._right(who, value, shares, {**rest, rater: label}) - before
        self._add(rater, right, len(shares))
        for who, change in changes.items():
            self._revise(who, change)

    def reliability(self, rater: str) -> float:
        """The probability that a label of ``rater`` is right: its own labels, shrunk towards those of all raters."""
        count = self.counts.get(rater, NOTHING)
        return self._shrunk(count.right, count.n, self._shrunk(self.total.right, self.total.n, self.settings.prior))

    def weight(self, rater: str) -> float:
        """What a label of ``rater`` counts, in [floor, 1]: its skill over the mean skill of a label, at most one.

        Skill is reliability beyond chance, (π - c) / (1 - c): by so much a label pulls towards the truth where mistakes
        are even (Natarajan et al. 2013, equation 1). Relative, so that a single rater is not held back by what the
        model does not know yet.
        """
        if self._typical is None:
            total = sum(count.n * self._skill(rater, count) for rater, count in self.counts.items())
            self._typical = total / self.total.n if self.total.n else 0.0
        if self._typical <= 0:
            return 1.0
        return max(self.settings.floor, min(self._skill(rater, self.counts.get(rater, NOTHING)) / self._typical, 1.0))

    def to_bytes(self) -> bytes:
        """All counts as JSON."""
        return to_json({"total": self.total, "raters": self.counts})

    @classmethod
    def from_bytes(cls, value: bytes, settings: TrustSettings = TrustSettings()) -> Trust:
        """The inverse of ``to_bytes``. Raises ValueError, KeyError, TypeError."""
        found = from_json(value)
        return cls(settings, {rater: Count(*count) for rater, count in found["raters"].items()}, Count(*found["total"]))

    def _right(self, rater: str, label: str, shares: Mapping[str, float], said: Mapping[str, LabelValue]) -> float:
        """The probability that ``label`` is the true class: Bayes' rule over ``shares`` and what others ``said``."""
        k, own = len(shares), self.reliability(rater)
        likely = self._told(shares, said)[label] if said else _likely(shares[label], _squares(shares), k)
        agrees = own * likely
        return agrees / (agrees + (1 - own) / (k - 1) * (1 - likely))

    def _told(self, shares: Mapping[str, float], said: Mapping[str, LabelValue]) -> dict[str, float]:
        """How likely each class is after what others ``said``."""
        k, squares = len(shares), _squares(shares)
        sure = [(value, self.reliability(who)) for who, value in said.items()]
        found = {
            name: _likely(share, squares, k)
            * prod(right if value == name else (1 - right) / (k - 1) for value, right in sure)
            for name, share in shares.items()
        }
        total = sum(found.values())
        return {name: share / total for name, share in found.items()}

    def _add(self, rater: str, right: float, classes: int) -> None:
        now = self.total.last + 1
        before = self.counts.get(rater)
        if before is None:
            if not self._has_room(now):
                self.total = self.total._replace(last=now)
                return
            before = NOTHING
        keep = 1 - 1 / self.settings.window
        after = Count(before.n * keep + 1, before.right * keep + right, before.chance * keep + 1 / classes, now)
        self._set(rater, before, after)

    def _revise(self, rater: str, change: float) -> None:
        if (count := self.counts.get(rater)) is not None:
            self._set(rater, count, count._replace(right=min(max(count.right + change, 0.0), count.n)))

    def _set(self, rater: str, before: Count, after: Count) -> None:
        n, right, chance, last = self.total
        self.total = Count(
            n - before.n + after.n, right - before.right + after.right, chance - before.chance + after.chance,
            max(last, after.last),
        )  # fmt: skip
        self.counts[rater] = after
        self._typical = None

    def _has_room(self, now: int) -> bool:
        """Whether a new rater finds a place, if need be that of the one who was silent longest."""
        if len(self.counts) < self.settings.raters:
            return True
        silent = min(self.counts, key=lambda rater: (self.counts[rater].last, rater))
        if now - self.counts[silent].last <= self.settings.idle:
            return False
        self._set(silent, self.counts[silent], NOTHING)
        del self.counts[silent]
        return True

    def _shrunk(self, right: float, n: float, towards: float) -> float:
        return (right + self.settings.strength * towards) / (n + self.settings.strength)

    def _skill(self, rater: str, count: Count) -> float:
        """Reliability beyond chance, not below 0."""
        chance = self._shrunk(count.chance, count.n, self.total.chance / self.total.n if self.total.n else 0.5)
        return max((self.reliability(rater) - chance) / (1 - chance), 0.0)


def _squares(shares: Mapping[str, float]) -> float:
    return sum([share * share for share in shares.values()])


def _likely(share: float, squares: float, classes: int) -> float:
    """How likely a class of predicted ``share`` is the true one, before anybody's word.

    Squared, and with a little doubt: who learned from labels predicts labels, so its probabilities hold the raters'
    mistakes too, about (1 - π) / (k - 1) a class. Believed as they are, they explain every mistake away: on simulated
    raters who are right in .92 and .50 of their labels π came out as .98 and .57; squared as .92 and .50.
    """
    return (1 - DOUBT) * (share * share / squares if squares else 1 / classes) + DOUBT / classes

"""How late labels come, class by class, and what that hides: the share of labels that have come by now.

Only labels that came are seen here, so a delay is known only if it is shorter than its item is old: the sample is
right-truncated. The product-limit estimator in reverse time (Lagakos, Barraj & De Gruttola 1988; Kalbfleisch & Lawless
1991, section 2) allows for that:

    P(delay <= d | class) = Π_{bins j above d} (1 - n_j / N_j)

with n_j the delays in bin j and N_j those up to bin j, both among items old enough for a delay of bin j to have ended.
It is relative to labels that ever come, within the longest delay seen; of those that never do it says nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from math import inf

import numpy as np
import numpy.typing as npt
from pydantic_core import from_json, to_json

EDGES_S = tuple(4 * 2 ** (k / 2) for k in range(40))  # upper edges of bins of delay: 4 s to 34 days by half octaves
MOST_CLASSES = 64  # of a task; labels of further ones are not counted
ROUNDS = 20  # of alternation; each shrinks the distance several times
Floats = npt.NDArray[np.float64]
EDGES = np.array(EDGES_S)
LOG_EDGES = np.log(EDGES)


@dataclass(frozen=True, slots=True)
class DelaySettings:
    """Items are counted by time in panes of ``pane_s`` seconds, wider ones the older they are, for ``horizon_s``.

    ``least`` clips shares from below. ``prior`` labels' worth of all classes together stand for a class seen little.
    """

    pane_s: float = 30.0
    horizon_s: float = 30 * 86_400.0
    least: float = 0.05
    prior: float = 2.0


@dataclass(frozen=True, slots=True)
class Shares:
    """Of each class, at each of ``EDGES_S``, the share of labels that have come by an item's age of so many seconds."""

    classes: tuple[str, ...]
    at_edges: Floats  # [classes, edges]

    def arrived(self, name: str, age_s: npt.ArrayLike) -> Floats:
        """P(the label has come | class, age), of the shape of ``age_s``; linear in log age between the edges.

        Raises ValueError for a class that was never seen.
        """
        age = np.asarray(age_s, dtype=np.float64)
        come = self.at_edges[self.classes.index(name)]
        found = np.interp(np.log(np.maximum(age, 1e-9)), LOG_EDGES, come)
        early = come[0] * np.clip(age, 0.0, EDGES[0]) / EDGES[0]  # below the first edge, linear in age
        return np.asarray(np.where(age < EDGES[0], early, found))

    def arrived_since(self, name: str, span_s: float) -> float:
        """The mean share over items spread evenly over the last ``span_s`` seconds."""
        return float(self.arrived(name, span_s * (np.arange(256) + 0.5) / 256).mean())


@dataclass
class Arrivals:
    """Of one task, the delays counted by class and by when their items were: pane -> class -> bin -> count.

    A pane is (level, number): items in [number, number + 1) * pane_s * 2^level.
    """

    panes: dict[tuple[int, int], dict[str, dict[int, int]]] = field(default_factory=dict)
    classes: dict[str, None] = field(default_factory=dict)


class Delays:
    """The delays of every task's labels. Pure: equal updates in equal order give equal bytes; bounded by its panes."""

    def __init__(self, settings: DelaySettings = DelaySettings()) -> None:
        self.settings = settings
        self.tasks: dict[str, Arrivals] = {}
        self.now = -inf  # the latest time that a label came
        self.began = inf  # of the first item, or of the last change: what came before is not like what comes

    def update(self, task: str, name: str, at_s: float, delay_s: float) -> None:
        """Count a label of class ``name`` that came ``delay_s`` seconds after its item, which was at ``at_s``."""
        if not self.tasks:
            self.now, self.began = at_s + delay_s, self.began if self.began < inf else at_s
        if at_s + delay_s > self.now:
            before, self.now = self._cell(), at_s + delay_s
            if self._cell() != before:
                for arrivals in self.tasks.values():
                    self._widen(arrivals)
        arrivals = self.tasks.get(task) or self.tasks.setdefault(task, Arrivals())
        if name not in arrivals.classes:
            if len(arrivals.classes) >= MOST_CLASSES:
                return
            arrivals.classes[name] = None
        pane = self._pane(0, int(at_s // self.settings.pane_s))
        if pane is not None:
            bins = arrivals.panes.setdefault(pane, {}).setdefault(name, {})
            place = min(bisect_left(EDGES_S, delay_s), len(EDGES_S) - 1)
            bins[place] = bins.get(place, 0) + 1

    def _cell(self) -> float:
        return self.now // self.settings.pane_s

    def _pane(self, level: int, number: int) -> tuple[int, int] | None:
        """The widest pane around this one that is no wider than a quarter of its age; None past the horizon."""
        now = self._cell()
        if (now - number * 2**level) * self.settings.pane_s > self.settings.horizon_s:
            return None
        while now - (number // 2 + 1) * 2 ** (level + 1) >= 4 * 2 ** (level + 1):
            level, number = level + 1, number // 2
        return level, number

    def _widen(self, arrivals: Arrivals) -> None:
        panes, arrivals.panes = arrivals.panes, {}
        for (level, number), classes in panes.items():
            pane = self._pane(level, number)
            if pane is None:
                continue
            if pane not in arrivals.panes:
                arrivals.panes[pane] = classes
                continue
            into = arrivals.panes[pane]
            for name, bins in classes.items():
                mine = into.setdefault(name, {})
                for place, count in bins.items():
                    mine[place] = mine.get(place, 0) + count

    def _counted(self, task: str) -> tuple[tuple[str, ...], Floats, Floats, Floats]:
        """Classes, counts [panes, classes, bins], and when each pane begins and ends in seconds."""
        arrivals = self.tasks.get(task, Arrivals())
        classes = tuple(arrivals.classes)
        counts = np.zeros((len(arrivals.panes), len(classes), len(EDGES_S)))
        places = {name: place for place, name in enumerate(classes)}
        for row, held in enumerate(arrivals.panes.values()):
            for name, bins in held.items():
                counts[row, places[name], list(bins)] = list(bins.values())
        panes = np.array(list(arrivals.panes), dtype=np.float64).reshape(-1, 2)
        widths = self.settings.pane_s * 2 ** panes[:, 0]
        return classes, counts, panes[:, 1] * widths, (panes[:, 1] + 1) * widths

    def shares(self, task: str, now: float) -> Shares:
        """What the labels counted so far say of how many have come by each age, as of ``now``, per class."""
        classes, counts, _, ends = self._counted(task)
        return _shares(classes, counts, now - ends, self.settings.prior)

    def rates(self, task: str, now: float, since: float) -> dict[str, float]:
        """The share of each class among items since ``since`` that have a label or will; it is taken to be steady.

        The labels of class c in pane p are taken to be Poisson with mean items_p · rate_c · P(come | c, age): the rates
        of greatest likelihood, by alternation. Unlike 1 / P for each label (Horvitz & Thompson 1952), no young label
        stands for twenty. Panes of which less than ``least`` can have come are left out. Empty where no label is left.
        """
        classes, counts, starts, ends = self._counted(task)
        if not classes:
            return {}
        shares = _shares(classes, counts, now - ends, self.settings.prior)
        kept = starts >= since - self.settings.pane_s / 2
        ages = now - (starts[kept, None] + (ends - starts)[kept, None] * (np.arange(8) + 0.5) / 8)
        come = np.array([shares.arrived(name, ages).mean(axis=1) for name in classes]).reshape(len(classes), -1).T
        enough = (come >= self.settings.least).all(axis=1)
        come, came = come[enough], counts[kept].sum(axis=2)[enough]
        if not came.sum():
            return {}
        rates = came.sum(axis=0) / came.sum()
        for _ in range(ROUNDS):
            items = came.sum(axis=1) / (come @ rates)
            rates = came.sum(axis=0) / (items @ come)
            rates /= rates.sum()
        return dict(zip(classes, rates.tolist(), strict=True))

    def restart(self, at_s: float) -> None:
        """The stream changed at ``at_s``, if not later still: weights make up for what is late since then."""
        self.began = max(self.began, at_s) if self.began < inf else at_s

    def weights(self, task: str) -> dict[str, float]:
        """The weight of each class among labels of items since ``began``: 1 / P(it has come by now | class), clipped.

        The mean over the labels counted since then is one; so in the long run each weight is, whatever the delays:
        late classes are short only where something began lately, the stream itself or a drift.
        """
        classes, counts, starts, ends = self._counted(task)
        if not classes:
            return {}
        shares = _shares(classes, counts, self.now - ends, self.settings.prior)
        span = max(self.now - self.began, self.settings.pane_s)
        raw = np.array([1 / max(shares.arrived_since(name, span), self.settings.least) for name in classes])
        seen = counts[starts >= self.began - self.settings.pane_s / 2].sum(axis=(0, 2))
        mean = float(raw @ seen / seen.sum()) if seen.sum() else float(raw.mean())
        return dict(zip(classes, (raw / mean).tolist(), strict=True))

    def to_bytes(self) -> bytes:
        """All counts as JSON."""
        tasks = {
            task: {"classes": list(held.classes), "panes": [[*pane, classes] for pane, classes in held.panes.items()]}
            for task, held in self.tasks.items()
        }
        return to_json({"times": [self.now, self.began] if tasks else None, "tasks": tasks})

    @classmethod
    def from_bytes(cls, value: bytes, settings: DelaySettings = DelaySettings()) -> Delays:
        """The inverse of ``to_bytes``. Raises ValueError, KeyError, TypeError."""
        found, delays = from_json(value), cls(settings)
        if found["times"] is not None:
            delays.now, delays.began = map(float, found["times"])
        for task, held in found["tasks"].items():
            panes = {
                (level, number): {name: {int(place): n for place, n in bins.items()} for name, bins in classes.items()}
                for level, number, classes in held["panes"]
            }
            delays.tasks[task] = Arrivals(panes, dict.fromkeys(held["classes"]))
        return delays


def _shares(classes: tuple[str, ...], counts: Floats, ages_s: Floats, prior: float) -> Shares:
    """The product-limit estimate from ``counts`` [panes, classes, bins], of panes whose youngest items are so old."""
    old_enough = (ages_s[:, None] >= EDGES).astype(np.float64)
    here = np.einsum("pj,pcj->cj", old_enough, counts)
    upto = np.einsum("pj,pcj->cj", old_enough, counts.cumsum(axis=2))
    together = _ratio(here.sum(axis=0), upto.sum(axis=0))
    ended_here = _ratio(here + prior * together, upto + prior)
    above = np.cumprod((1 - ended_here)[:, ::-1], axis=1)[:, ::-1]  # Π over bins from j on
    return Shares(classes, np.concatenate((above[:, 1:], np.ones((len(classes), 1))), axis=1))


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)

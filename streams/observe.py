"""How fresh the model is and how far behind the roles, from outside: append times and a watcher of our own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from learners.served import Served
from schemas import topics
from streams.blobs import Blobs
from streams.books import EXAMPLE, Books
from streams.engines.broker import Broker
from streams.ledger import NONE
from streams.watcher import ModelWatcher

LONGEST_S = 60.0  # what a feedback counts that no served model has learned from, so long after it came
POINTS = 120  # of a series
EDGES_S = tuple(float(edge) for edge in np.round(np.geomspace(0.05, LONGEST_S, 29), 3))

Floats = npt.NDArray[np.float64]


class Swap(NamedTuple):
    """A watcher began to serve the model at ``next_offset``, ``at`` epoch seconds."""

    at: float
    next_offset: int


class Observer:
    """A consumer like any other that only notes when it served what. ``clock`` must be the log's: epoch seconds.

    Call ``step`` from a loop of your own, or ``start`` and ``close`` a thread.
    """

    def __init__(self, broker: Broker, blobs: Blobs, tenant: str, model: str, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.swaps: list[Swap] = []
        self.watcher: ModelWatcher[None] = ModelWatcher(
            broker, blobs, tenant, model, lambda served: None, self._swapped
        )

    def step(self, timeout_s: float) -> bool:
        """Take in what has been published since; whether a fresher model is served."""
        return self.watcher.step(timeout_s)

    def start(self) -> None:
        """Follow in a thread."""
        self.watcher.start()

    def close(self) -> None:
        """Stop; what was noted stays."""
        self.watcher.close()

    def _swapped(self, served: Served, arrivals: Sequence[int]) -> None:
        self.swaps.append(Swap(self.clock(), served.next_offset))


class Moment(NamedTuple):
    """Of the feedback that came in a stretch of time around ``t_s``: how many, and how long until it was served."""

    t_s: float
    n: int
    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class Freshness:
    """Seconds from the log's receipt of an accepted feedback to a served model that had learned from it.

    ``n`` feedbacks became label examples and were not refused after. ``unserved`` of them no watched model had learned
    from; they count 60 s, as do those that took longer. ``histogram`` counts by upper edge; ``series`` is by arrival,
    seconds since the first.
    """

    n: int = 0
    unserved: int = 0
    p50: float | None = None
    p99: float | None = None
    longest: float | None = None
    histogram: tuple[tuple[float, int], ...] = ()
    series: tuple[Moment, ...] = ()


def freshness(books: Books, swaps: Iterable[Swap]) -> Freshness:
    """Join what a watcher served, and when, with which request held which feedback, and when that had come."""
    fed_s, offsets = _accepted(books)
    if not len(fed_s):
        return Freshness()
    served = sorted(swaps)
    reach = np.maximum.accumulate(np.array([swap.next_offset for swap in served] or [0]))
    at = np.array([swap.at for swap in served] or [np.inf])
    first = np.searchsorted(reach, offsets, side="right")  # the first swap whose next offset is beyond the request
    served_s = np.append(at, np.inf)[np.minimum(first, len(at))]
    taken = np.minimum(served_s - fed_s, LONGEST_S)
    p50, p99 = _quantiles(taken)
    edges = np.array([0.0, *EDGES_S])
    counts, _ = np.histogram(np.clip(taken, 0.0, LONGEST_S), edges)
    return Freshness(
        n=len(taken),
        unserved=int(np.count_nonzero(~np.isfinite(served_s))),
        p50=p50,
        p99=p99,
        longest=float(taken.max()),
        histogram=tuple(zip(EDGES_S, counts.tolist(), strict=True)),
        series=tuple(_moments(fed_s, taken)),
    )


def _accepted(books: Books) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Of each label example that was not refused: its feedback's arrival, and the offset of the request that has it.

    One that is in no request, or in one that could not be used, has an offset that no model reaches.
    """
    never = np.iinfo(np.int64).max
    usable = {id_: offset for id_, offset in books.requested.requests.items() if id_ not in books.requested.dead}
    fed, offsets = [], []
    for partition, column in books.ledgers[EXAMPLE].columns.items():
        for ms, outcome in zip(books.fed_ms[partition].tolist(), column.outcome.tolist(), strict=True):
            if ms and (outcome == NONE or outcome in books.requested.requests):
                fed.append(ms / 1000)
                offsets.append(usable.get(outcome, never))
    return np.array(fed), np.array(offsets, np.int64)


def _quantiles(seconds: Floats) -> tuple[float, float]:
    p50, p99 = np.percentile(seconds, [50, 99], method="inverted_cdf")
    return float(p50), float(p99)


def _moments(fed_s: Floats, taken: Floats) -> Iterable[Moment]:
    since = fed_s - fed_s.min()
    width = max(float(since.max()) / POINTS, 1.0)
    places = (since // width).astype(np.int64)
    for place in np.unique(places):
        here = taken[places == place]
        yield Moment((float(place) + 0.5) * width, len(here), *_quantiles(here))


@dataclass(frozen=True, slots=True)
class Stage:
    """One role's pace: seconds from receipt of an input to receipt of its outcome, and inputs in between over time.

    ``lag`` is [seconds since the first input of all, records].
    """

    role: str
    does: str
    n: int
    p50: float | None
    p99: float | None
    lag: tuple[tuple[float, int], ...] = field(repr=False)


STAGES = (
    ("session", "scores interactions", topics.INTERACTION),
    ("session", "joins feedback", topics.FEEDBACK),
    ("curate", "requests steps", topics.EXAMPLE),
    ("worker", "takes steps", topics.TRAIN_REQUEST),
)


def pace(books: Books) -> tuple[Stage, ...]:
    """The stages of the stream, from the log's own times."""
    times = [_times(books, topic.name) for _, _, topic in STAGES]
    began = min((float(arrived.min()) for arrived, _ in times[:2] if len(arrived)), default=0.0)
    times = [(arrived[arrived >= began], done[arrived >= began]) for arrived, done in times]  # not the genesis
    ended = max((float(done[np.isfinite(done)].max(initial=began)) for _, done in times), default=began)
    grid = np.linspace(began, ended, POINTS + 1)
    return tuple(
        _stage(role, does, *arrived_done, grid) for (role, does, _), arrived_done in zip(STAGES, times, strict=True)
    )


def _times(books: Books, topic: str) -> tuple[Floats, Floats]:
    """When each input that wants an outcome came and was decided, epoch seconds; never is infinity."""
    arrived, decided = [], []
    for column in books.ledgers[topic].columns.values():
        asked = column.came & ~(column.excused & (column.outcome == NONE))
        arrived.append(column.arrived_ms[asked] / 1000)
        decided.append(np.where(column.outcome[asked] == NONE, np.inf, column.decided_ms[asked] / 1000))
    return np.concatenate([*arrived, np.empty(0)]), np.concatenate([*decided, np.empty(0)])


def _stage(role: str, does: str, arrived: Floats, decided: Floats, grid: Floats) -> Stage:
    took = (decided - arrived)[np.isfinite(decided)]
    p50, p99 = _quantiles(took) if len(took) else (None, None)
    between = np.searchsorted(np.sort(arrived), grid, "right") - np.searchsorted(np.sort(decided), grid, "right")
    lag = tuple((round(float(t - grid[0]), 2), int(n)) for t, n in zip(grid, between, strict=True))
    return Stage(role, does, len(arrived), p50, p99, lag)

"""Change in the errors of each task, over everybody and within each cohort, by two detectors of river.

ADWIN (Bifet & Gavalda 2007) finds small lasting changes either way; HDDM_W (Frías-Blanco 2015) finds large increases
of the error, sooner. Their state is pickled and restored with an unpickler that admits six names of river and two of
this module.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import NamedTuple

from river.drift import ADWIN
from river.drift.binary import HDDMW
from river.drift.binary.hddm_w import SampleInfo

from schemas.errors import CurrereError

RIVER = f"river {version('river')}"
ALL = "all"  # the cohort of everybody
MOST_BYTES = 16_000_000  # of a task's watches once inflated
ADMITTED = {
    ("river.drift.adwin", "ADWIN"),
    ("river._river_rust.drift", "AdaptiveWindowing"),
    ("river.drift.binary.hddm_w", "HDDMW"),
    ("river.drift.binary.hddm_w", "SampleInfo"),
    ("river.stats.ewmean", "EWMean"),
    ("river._river_rust.stats", "RsEWMean"),
    ("learners.drift", "Rise"),
    ("learners.drift", "Sample"),
}


class DriftStateRefused(CurrereError):
    """Stored detectors are damaged, of another river, or hold what no detector holds; begin with new detectors."""


@dataclass(frozen=True, slots=True)
class DriftSettings:
    """``delta`` is ADWIN's, ``confidence`` and ``recency`` are HDDM_W's.

    At most ``cohorts`` are watched in a task; one gives up its place to a new one after ``idle`` labels of the task
    without one of its own. So nobody can drive out an active cohort by inventing names.

    River's defaults for HDDM_W (.001, .05) raise 40 to 85 false alarms in 100,000 steady labels at error rates of .3
    and .5; these raise about one, and see an increase of .4 within 60 labels, of .2 within 130 to 240 (medians).
    """

    delta: float = 0.002
    confidence: float = 1e-5
    recency: float = 0.01
    cohorts: int = 32
    idle: int = 2_000


class DriftSeen(NamedTuple):
    """A detector saw the mean error go from ``before`` to ``after`` at ``example``, the ``n``-th that it was shown."""

    task: str
    cohort: str
    detector: str
    before: float
    after: float
    n: int
    example: str


@dataclass(frozen=True, slots=True)
class Sample:
    """The mean of a sample and the sum of its squared weights, as they were when it was cut off."""

    ewma: float
    ibc: float
    _is_init: bool = True  # what river asks of a sample


class Rise(HDDMW):
    """River's HDDM_W for rises alone: the same findings for a sixth of the time while the error falls.

    River also keeps the samples of the other side, which a one-sided test never looks at, and copies deeply what
    nobody changes.
    """

    def _update_incr_stats(self, x: float, confidence: float) -> None:
        bound = self._total.ewma + self._mcdiarmid_bound(self._total.ibc, confidence)
        if bound < self._incr_cutpoint:
            self._incr_cutpoint = bound
            self._s1_incr = Sample(self._total.ewma, self._total.ibc)  # type: ignore[assignment]  # stands in for it
            self._s2_incr = SampleInfo(self.lambda_val)
        else:
            self._s2_incr.update(x)  # type: ignore[no-untyped-call]  # river's samples are untyped

    def _update_decr_stats(self, x: float, confidence: float) -> None:
        pass


@dataclass(slots=True)
class Watch:
    """The detectors of one task and cohort, how many errors they saw, and how many the task had at the last."""

    adwin: ADWIN
    hddm: HDDMW
    n: int = 0
    last: int = 0

    @classmethod
    def new(cls, settings: DriftSettings) -> Watch:
        """Detectors that have seen nothing."""
        warning = min(settings.confidence * 10, 1.0)
        return cls(
            ADWIN(delta=settings.delta),  # type: ignore[no-untyped-call]  # river's detectors are untyped
            Rise(settings.confidence, warning, settings.recency),  # type: ignore[no-untyped-call]  # as above
        )

    def update(self, error: float) -> list[tuple[str, float, float]]:
        """The detectors that see a change at ``error``, each with the mean before and after it."""
        self.n += 1
        width, total, seen = self.adwin.width, self.adwin.total, []
        self.adwin.update(error)  # type: ignore[no-untyped-call]  # as above
        if self.adwin.drift_detected:
            # What it cut off its window against what it kept.
            cut = width + 1 - self.adwin.width
            seen.append(("adwin", (total + error - self.adwin.total) / cut, self.adwin.estimation))
        self.hddm.update(error)  # type: ignore[no-untyped-call]  # as above
        if self.hddm.drift_detected:
            # Its own two samples, whose difference is what it tests; river gives no public name to them.
            seen.append(("hddm_w", self.hddm._s1_incr.ewma, self.hddm._s2_incr.ewma))
        return seen


@dataclass
class DriftMonitor:
    """The watches by task and cohort. Deterministic: equal updates in equal order give equal findings."""

    settings: DriftSettings = DriftSettings()
    watches: dict[str, dict[str, Watch]] = field(default_factory=dict)

    def update(self, task: str, cohort: str | None, error: float, example: str) -> list[DriftSeen]:
        """Show the error, in [0, 1], of one label to the watch of everybody and to its cohort's."""
        cohorts = self.watches.get(task) or self.watches.setdefault(task, {ALL: Watch.new(self.settings)})
        found = self._shown(cohorts[ALL], task, ALL, error, example)
        if cohort is not None and cohort != ALL and (watch := self._watch(cohorts, cohort)):
            watch.last = cohorts[ALL].n
            found += self._shown(watch, task, cohort, error, example)
        return found

    def _shown(self, watch: Watch, task: str, cohort: str, error: float, example: str) -> list[DriftSeen]:
        return [DriftSeen(task, cohort, *seen, watch.n, example) for seen in watch.update(error)]

    def _watch(self, cohorts: dict[str, Watch], name: str) -> Watch | None:
        if name not in cohorts:
            if len(cohorts) > self.settings.cohorts:
                longest = min((other for other in cohorts if other != ALL), key=lambda other: cohorts[other].last)
                if cohorts[ALL].n - cohorts[longest].last <= self.settings.idle:
                    return None
                del cohorts[longest]
            cohorts[name] = Watch.new(self.settings)
        return cohorts[name]

    def task_bytes(self, task: str) -> bytes:
        """The watches of one task: what a caller writes after a batch that had labels of it."""
        return sealed({name: (w.adwin, w.hddm, w.n, w.last) for name, w in self.watches[task].items()})

    @classmethod
    def restored(cls, settings: DriftSettings, tasks: Mapping[str, bytes]) -> DriftMonitor:
        """The monitor whose ``task_bytes`` are ``tasks``, by task. Raises DriftStateRefused."""
        return cls(settings, {task: _watches(value) for task, value in tasks.items()})


def sealed(state: object) -> bytes:
    """A deflated pickle behind a line that says which river made it and what its bytes hash to."""
    body = zlib.compress(pickle.dumps(state, protocol=5), 1)  # a fifth of the size for a third of a millisecond
    return _seal(body) + body


def _seal(body: bytes) -> bytes:
    return f"{RIVER} {hashlib.sha256(body).hexdigest()}\n".encode()


def unsealed(value: bytes) -> object:
    """The inverse of ``sealed``, which runs no code but that of ``ADMITTED``. Raises DriftStateRefused."""
    seal, _, body = value.partition(b"\n")
    # Not for secrecy: river's detectors are native code, which panics on damaged or differently laid out bytes.
    if seal + b"\n" != _seal(body):
        raise DriftStateRefused(f"the state is damaged or not of {RIVER}: {seal[:40]!r}")
    try:
        return _Unpickler(io.BytesIO(zlib.decompressobj().decompress(body, MOST_BYTES))).load()
    except (
        zlib.error,
        pickle.UnpicklingError,
        EOFError,
        AttributeError,
        IndexError,
        KeyError,
        TypeError,
        ValueError,
    ) as error:
        raise DriftStateRefused(f"the state is no pickle of detectors: {error}") from error


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in ADMITTED:
            raise DriftStateRefused(f"the state asks for {module}.{name}, which no detector needs")
        return super().find_class(module, name)


def _watches(value: bytes) -> dict[str, Watch]:
    found = unsealed(value)
    if not isinstance(found, dict) or ALL not in found or not all(isinstance(name, str) for name in found):
        raise DriftStateRefused("the state is not watches by cohort")
    return {name: _watch(held) for name, held in found.items()}


def _watch(held: object) -> Watch:
    match held:
        case (ADWIN() as adwin, HDDMW() as hddm, int() as n, int() as last):
            return Watch(adwin, hddm, n, last)
    raise DriftStateRefused(f"a watch is {type(held).__name__}, expected (ADWIN, HDDMW, n, last)")

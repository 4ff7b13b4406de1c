"""The result of one run as plain data: what its report shows and its JSON says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from streams.audit import Audit, audit_of
from streams.books import Books
from streams.observe import Freshness, Stage, Swap, freshness, pace
from streams.quality import Quality, Score, quality

FIRST_TASK = "teacher_move"  # whose quality stands for the run, if it had labels


@dataclass(frozen=True)
class RunResult:
    """One run from its first event to rest. ``seconds`` is how long that took, ``rss_mb`` the most memory of its
    processes together; ``broker`` and ``store`` say what they were and ``data`` what was played.

    ``memory`` counts the replay memory by ``task/class``, ``replayed`` what train requests repeated of it. Every series
    may be empty.
    """

    audit: Audit
    seconds: float
    rss_mb: float
    broker: str
    store: str
    data: str = ""
    freshness: Freshness = field(default_factory=Freshness)
    quality: Mapping[str, Quality] = field(default_factory=dict)
    stages: tuple[Stage, ...] = ()
    memory: Mapping[str, int] = field(default_factory=dict)
    replayed: Mapping[str, int] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)
    fingerprint: Mapping[str, str] = field(default_factory=dict)
    report: str | None = None

    @property
    def events_per_second(self) -> float:
        """Interactions a second, each with its feedback, from the first to rest."""
        return self.audit.events / self.seconds if self.seconds else 0.0

    @property
    def first(self) -> Quality | None:
        """The quality that stands for the run: of ``FIRST_TASK``, or of the task with most labels."""
        return self.quality.get(FIRST_TASK) or next(iter(self.quality.values()), None)


def measure(
    books: Books,
    swaps: Iterable[Swap] = (),
    *,
    seconds: float,
    rss_mb: float,
    broker: str,
    store: str,
    data: str = "",
    at_rest: bool = True,
    memory: Mapping[str, int] | None = None,
    settings: Mapping[str, object] | None = None,
) -> RunResult:
    """The result of the run that ``books`` tell of: audited, judged and timed from its topics. Raises BrokerError."""
    return RunResult(
        audit=audit_of(books, at_rest=at_rest),
        seconds=seconds,
        rss_mb=rss_mb,
        broker=broker,
        store=store,
        data=data,
        freshness=freshness(books, swaps),
        quality=quality(books.heard),
        stages=pace(books),
        memory=memory or {},
        replayed=dict(books.requested.replayed),
        settings=settings or {},
        fingerprint=books.chain.fingerprint,
    )


def to_json(result: RunResult) -> dict[str, Any]:
    """The result as one JSON object; what was not measured is null or empty."""
    audit, fresh = result.audit, result.freshness
    return {
        "events": audit.events,
        "feedback": audit.feedback,
        "examples": audit.examples,
        "steps": audit.steps,
        "deltas": audit.deltas,
        "checkpoints": audit.checkpoints,
        "dead_letters": sum(audit.dead_letters.values()),
        "dead_letters_by_reason": dict(audit.dead_letters),
        "fates": sum(audit.fates.values()),
        "fates_by_kind": dict(audit.fates),
        "lost": audit.lost,
        "duplicated": audit.duplicated,
        "events_per_second": round(result.events_per_second, 1),
        "seconds": round(result.seconds, 3),
        "rss_mb": round(result.rss_mb, 1),
        "feedback_to_model_seconds": {
            "p50": _rounded(fresh.p50),
            "p99": _rounded(fresh.p99),
            "max": _rounded(fresh.longest),
            "n": fresh.n,
            "unserved": fresh.unserved,
        },
        "stage_seconds": {
            f"{stage.role} {stage.does}": {"p50": _rounded(stage.p50), "p99": _rounded(stage.p99), "n": stage.n}
            for stage in result.stages
        },
        "prequential": _quality(result.first) | {"tasks": {task: _quality(q) for task, q in result.quality.items()}},
        "model": {"version": audit.version, "digest": audit.digest},
        "audit": audit.to_dict(),
        "broker": result.broker,
        "store": result.store,
        "data": result.data,
        "report": result.report,
    }


def _quality(found: Quality | None) -> dict[str, Any]:
    if found is None:
        return {"task": None, "labels": 0, "mcc": None, "macro_f1": None, "last_quarter_mcc": None, "curve": [],
                "baselines": {}}  # fmt: skip
    return {
        "task": found.task,
        "labels": found.labels,
        **_score(found.model),
        "calibration_error": _rounded(found.calibration_error),
        "window": found.window,
        "curve": [list(point) for point in found.model.curve],
        "baselines": {"majority": _score(found.majority), "untrained": _score(found.untrained)},
    }


def _score(score: Score) -> dict[str, float | None]:
    return {
        "mcc": _rounded(score.mcc),
        "macro_f1": _rounded(score.macro_f1),
        "accuracy": _rounded(score.accuracy),
        "last_quarter_mcc": _rounded(score.last_quarter_mcc),
    }


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 4)

"""What a soak came to: the slope of each series, which of them the bar is of, and whether it holds."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.soak_slope import Slope, slope
from benchmarks.soak_watch import Look
from streams.audit import Audit
from streams.charts import curves
from streams.play import Played

LEVEL = 0.95
WARM_UP_SHARE, WARM_UP_HORIZONS = 1 / 3, 5.0
BAR = ("rss_mb", "files", "lag", "memory_mb")  # what must be level; the rest is told beside it
UNITS = {"rss_mb": "MB", "memory_mb": "MB", "disk_mb": "MB", "lag": "records"}
COLUMNS = ("series", "unit", "mean", "slope an hour", "low", "high", "percent a day", "contains 0")


@dataclass(frozen=True)
class Result:
    """What one run came to. ``restarts``: how often a role died."""

    sustainable_per_s: float
    played: Played
    looks: Sequence[Look]
    restarts: int
    caught_up: bool
    audit: Audit


def warm_up_minutes(given: argparse.Namespace) -> float:
    """How long what is seen says nothing yet of what grows."""
    if given.warm_up_minutes is not None:
        return float(given.warm_up_minutes)
    return float(max(given.minutes * WARM_UP_SHARE, WARM_UP_HORIZONS * given.horizon_s / 60))


def series(looks: Sequence[Look]) -> dict[str, tuple[list[float], list[float]]]:
    """By name, the seconds and the values of every series that was seen."""
    found: dict[str, tuple[list[float], list[float]]] = {}
    for look in looks:
        for name, value in look.values.items():
            at_s, values = found.setdefault(name, ([], []))
            at_s.append(look.at_s)
            values.append(value)
    return found


def slopes(looks: Sequence[Look], warm_up_s: float, level: float = LEVEL) -> dict[str, Slope]:
    """The slope of each series after the warm-up, first those that the bar is of. Raises ValueError: too few looks."""
    found = series([look for look in looks if look.at_s >= warm_up_s])
    names = sorted(found, key=lambda name: (kind(name) not in BAR, name))
    return {name: slope(*found[name], level) for name in names}


def kind(name: str) -> str:
    """What a series measures: the part of its name behind the role or server."""
    return name.rpartition(".")[2]


def row(name: str, found: Slope) -> dict[str, object]:
    """A series as a row of the table."""
    percent = found.percent_per_day
    return {
        "name": name,
        "unit": UNITS.get(kind(name), kind(name)),
        "mean": round(found.mean, 3),
        "slope_per_hour": round(found.per_hour, 4),
        "low": round(found.low, 4),
        "high": round(found.high, 4),
        "percent_per_day": None if percent is None else round(percent, 2),
        "contains_zero": found.contains_zero,
    }


def summary(found: Result, given: argparse.Namespace) -> dict[str, object]:
    """The run as one JSON object; ``holds`` is what is claimed."""
    warm_up = warm_up_minutes(given)
    each = slopes(found.looks, 60 * warm_up)
    of_bar = {name: one for name, one in each.items() if kind(name) in BAR}
    at_once = slopes(found.looks, 60 * warm_up, 1 - (1 - LEVEL) / max(len(of_bar), 1))
    lost = found.audit.lost + found.audit.duplicated + found.audit.faults
    told: dict[str, object] = {
        "sustainable_per_s": round(found.sustainable_per_s, 1),
        "sent_per_s": round(found.played.sent / found.played.seconds, 1) if found.played.seconds else 0.0,
        "events": found.played.sent,
        "feedback": found.played.feedback,
        "minutes": given.minutes,
        "warm_up_minutes": round(warm_up, 2),
        "horizon_s": given.horizon_s,
        "looks": len(found.looks),
        "restarts": found.restarts,
        "caught_up": found.caught_up,
        "lost_or_twice": lost,
        "verdict": found.audit.verdict,
        "together": all(at_once[name].contains_zero for name in of_bar),
    }
    level = all(one.contains_zero for one in of_bar.values())
    told["holds"] = level and found.caught_up and not found.restarts and not lost
    told["rows"] = [row(name, one) for name, one in of_bar.items()]
    told["beside"] = [row(name, one) for name, one in each.items() if name not in of_bar]
    told["series"] = {
        name: [[at, round(value, 3)] for at, value in zip(*pair, strict=True)]
        for name, pair in series(found.looks).items()
    }
    return told


def drawn(looks: Sequence[Look]) -> dict[str, str]:
    """Memory of roles and Redis, and lag, over time."""
    found = {name: list(zip(*pair, strict=True)) for name, pair in series(looks).items()}
    titles = {"rss_mb": "Resident memory", "memory_mb": "Memory of Redis", "lag": "Records not taken yet"}
    return {
        f"soak-{what}": curves(title, "seconds", UNITS[what], {n: p for n, p in found.items() if kind(n) == what})
        for what, title in titles.items()
        if any(kind(name) == what for name in found)
    }

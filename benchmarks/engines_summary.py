"""What the rounds of the engine benchmark come to: rows, ratios, bars, and how far currere is from its aim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from benchmarks.engines_run import Spent
from benchmarks.engines_watch import Measured
from streams.charts import Interval, bars

AIM_PER_S = 20_000  # scored events in one process
COLUMNS = ("events_per_second", "cpu_us_per_event", "rss_mb", "p50_ms", "p99_ms", "ratio_to_raw", "cpu_ratio_to_raw")
THROUGHPUT = (
    ("plain", "raw", 0.8),
    ("plain", "quix-each", 2.0),
    ("plain", "faust-each", 5.0),
    ("plain", "quix", 2.0),
    ("plain", "faust", 5.0),
    ("scored", "raw", 0.7),
)
MOST_P99 = 2.0  # times the raw loop's

Rounds = Mapping[str, Mapping[str, Sequence[Measured]]]


def summary(rounds: Rounds, spent: Spent | None) -> dict[str, object]:
    """By kind a row a contestant; what currere's bars come to; where the time of a scored event goes."""
    told: dict[str, object] = {}
    for kind, by_name in rounds.items():
        raw = by_name.get("raw", ())
        told[kind] = {name: row(of_one, raw) for name, of_one in by_name.items() if of_one}
    told["bars"] = verdicts(rounds)
    told["where_the_time_goes"] = shares(spent, rounds["scored"].get("currere", ())) if spent else {}
    return told


def row(rounds: Sequence[Measured], raw: Sequence[Measured]) -> dict[str, object]:
    """A contestant's medians, and the medians of its ratios to ``raw`` within each round; None without a raw loop.

    ``cpu_ratio_to_raw`` is how many times the raw loop's CPU an event costs; ``twice`` counts outputs that came again.
    """
    return {
        "events_per_second": round(median(one.backlog.per_s for one in rounds), 1),
        "cpu_us_per_event": round(median(one.backlog.cpu_us for one in rounds), 1),
        "rss_mb": round(median(one.rss_mb for one in rounds), 1),
        "p50_ms": round(median(one.p50_ms for one in rounds), 1),
        "p99_ms": round(median(one.p99_ms for one in rounds), 1),
        "cpu_us_per_event_at_rate": round(median(one.live.cpu_us for one in rounds), 1),
        "ratio_to_raw": ratio([m.backlog.per_s for m in rounds], [m.backlog.per_s for m in raw]),
        "cpu_ratio_to_raw": ratio([m.backlog.cpu_us for m in rounds], [m.backlog.cpu_us for m in raw]),
        "p99_ratio_to_raw": ratio([m.p99_ms for m in rounds], [m.p99_ms for m in raw]),
        "twice": sum(one.twice for one in rounds),
        "runs": [round(one.backlog.per_s, 1) for one in rounds],
    }


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float | None:
    """The median of the ratios within each round; None where there is nothing to compare with."""
    found = [one / other for one, other in zip(ours, theirs, strict=False) if other]
    return round(median(found), 3) if found else None


def verdicts(rounds: Rounds) -> dict[str, object]:
    """Each bar: what it is about, what was found, what it must be, and whether it ``holds``. What was not measured is
    left out."""
    told: dict[str, object] = {}
    for kind, other, least in THROUGHPUT:
        ours, theirs = ([one.backlog.per_s for one in rounds[kind].get(name, ())] for name in ("currere", other))
        if (found := ratio(ours, theirs)) is not None:
            told[f"{kind}: events a second over {other}"] = {"found": found, "least": least, "holds": found >= least}
    for kind in rounds:
        ours, theirs = ([one.p99_ms for one in rounds[kind].get(name, ())] for name in ("currere", "raw"))
        if (found := ratio(ours, theirs)) is not None:
            told[f"{kind}: p99 over raw"] = {"found": found, "most": MOST_P99, "holds": found <= MOST_P99}
    return told


def shares(spent: Spent, rounds: Sequence[Measured]) -> dict[str, object]:
    """CPU microseconds an event by part of the engine, largest first, beside what the aim leaves for one event.

    ``rest`` is what no clock has seen: librdkafka's threads, the queue between them, the interpreter's own.
    """
    parts = {name: 1e6 * seconds / spent.pace.events for name, seconds in spent.by_part.items() if name != "process"}
    ordered = sorted(parts.items(), key=lambda part: -part[1])
    reached = median(one.backlog.per_s for one in rounds)
    return {
        "cpu_us_per_event": {name: round(cost, 1) for name, cost in ordered},
        "cpu_us_per_event_in_all": round(sum(parts.values()), 1),
        "aim_events_per_second": AIM_PER_S,
        "aim_us_per_event": 1e6 / AIM_PER_S,
        "reached_events_per_second": round(reached, 1),
        "share_of_aim": round(reached / AIM_PER_S, 3),
        "events_per_second_under_clocks": round(spent.pace.per_s, 1),
    }


def drawn(told: Mapping[str, object]) -> dict[str, str]:
    """Throughput and CPU by contestant, a plot each and kind."""
    found = {}
    for kind in ("plain", "scored"):
        rows = told[kind]
        if isinstance(rows, dict) and rows:
            speed = [
                Interval(name, one["events_per_second"], min(one["runs"]), max(one["runs"]))
                for name, one in rows.items()
            ]
            cost = [Interval(name, one["cpu_us_per_event"]) for name, one in rows.items()]
            found[f"engines-{kind}-throughput"] = bars(f"Throughput, {kind}", "events a second", speed)
            found[f"engines-{kind}-cpu"] = bars(f"CPU, {kind}", "µs an event", cost)
    return found

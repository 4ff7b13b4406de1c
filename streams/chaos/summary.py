"""What the rounds of each row came to together: the table, the plot and the JSON of ``currere chaos``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from streams import charts
from streams.chaos.matrix import Row
from streams.chaos.recovery import by_kind
from streams.chaos.rounds import Results, Round

BAD = ("lost", "duplicated", "faults", "bad_models_served")


def rows_of(rows: Sequence[Row], rounds: Iterable[Round]) -> list[dict[str, Any]]:
    """One object a row that was played: rounds, whether all held, recovery in seconds, what was counted."""
    listed = list(rounds)
    played = [(row, [one for one in listed if one.row == row.name]) for row in rows]
    return [_row(row, of) for row, of in played if of]


def result(rows: Sequence[Row], results: Results) -> dict[str, Any]:
    """The whole result as JSON has it."""
    found = rows_of(rows, results.rounds)
    return {
        "rows": found,
        "holds": all(row["holds"] for row in found),
        "totals": totals(results.rounds),
        "commit": results.commit,
        "dirty": results.dirty,
        "results": str(results.path),
    }


def totals(rounds: Sequence[Round]) -> dict[str, Any]:
    """Over all rows: rounds, recoveries by kind, and what the audits counted that must be 0."""
    return {
        "rounds": len(rounds),
        "recovery_seconds": by_kind(one for done in rounds for one in done.recoveries),
        **{name: sum(done.audit.get(name, 0) for done in rounds) for name in BAD},
    }


def table(found: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """The cells of a table for people: row, rounds, result, recovery by kind, audit."""
    return [
        (
            row["name"],
            f"{row['rounds'] - row['failed']} of {row['rounds']}",
            "ok" if row["holds"] else "fail",
            *(_cell(row["recovery_seconds"].get(kind)) for kind in ("restart", "takeover", "outage")),
            "/".join(str(row["audit"].get(name, "")) for name in BAD),
            f"{row['seconds']:.0f}",
        )
        for row in found
    ]


COLUMNS = (
    "row",
    "held",
    "result",
    "restart p50/p95 s",
    "takeover",
    "outage",
    "lost/twice/faults/bad models",
    "s a round",
)


def plot(found: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """A chart a kind of recovery, a bar a row: the median and a whisker to the 95th percentile."""
    charted: dict[str, list[charts.Interval]] = {}
    for row in found:
        for kind, of in row["recovery_seconds"].items():
            if isinstance(of, dict) and of["n"]:
                bar = charts.Interval(row["name"].removeprefix("kill-"), of["p50"], of["p50"], of["p95"])
                charted.setdefault(kind, []).append(bar)
    title = "From the end of a fault to the next outcome"
    return {kind: charts.bars(f"{title}: {kind}", "seconds, median and p95", bars) for kind, bars in charted.items()}


def _row(row: Row, rounds: Sequence[Round]) -> dict[str, Any]:
    failed = [one for one in rounds if not one.holds]
    notes: dict[str, list[float]] = {}
    for one in rounds:
        for name, numbers in one.notes.items():
            notes.setdefault(name, []).extend(numbers)
    return {
        "name": row.name,
        "rounds": len(rounds),
        "holds": not failed,
        "failed": len(failed),
        "recovery_seconds": by_kind(recovery for one in rounds for recovery in one.recoveries),
        "injects": row.injects,
        "claims": row.claims,
        "seconds": round(sum(one.seconds for one in rounds) / len(rounds), 1),
        "audit": {name: sum(one.audit.get(name, 0) for one in rounds) for name in ("events", "feedback", *BAD)},
        "notes": notes,
        "why": [f"round {one.number} of seed {one.seed}: {one.why}" for one in failed],
    }


def _cell(of: Mapping[str, Any] | None) -> str:
    return f"{of['p50']:.1f} / {of['p95']:.1f}" if of else ""

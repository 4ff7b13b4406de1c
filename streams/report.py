"""The report of a run: one HTML file that needs nothing else, for light and dark, wide and narrow."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path

from streams.cards import (
    decimal,
    delay_card,
    freshness_card,
    lag_card,
    memory_card,
    quality_card,
    seconds,
    words,
)
from streams.quality import Quality
from streams.result import RunResult

STYLE = Path(__file__).with_name("report.css")
FIRST = ("teacher_move", "student_move")  # the tasks shown first
MOST_TASKS = 6


def write_report(path: Path, result: RunResult) -> Path:
    """Write the report to ``path``, making its folder; returns ``path``. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(result), "utf-8")
    return path


def page(result: RunResult) -> str:
    """The report as HTML. It refers to nothing outside itself."""
    shown = _in_order(result.quality)
    cards = [
        *map(quality_card, shown),
        delay_card(result.freshness),
        freshness_card(result.freshness),
        *(memory_card(found, result.memory, result.replayed) for found in shown[:2]),
        lag_card(result.stages),
    ]
    body = "".join([_head(result), _tiles(result), f'<div class="cards">{"".join(cards)}{_tables(result)}</div>'])
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><title>currere · report of a run</title>'
        f"<style>{STYLE.read_text('utf-8')}</style></head><body><main>{body}</main></body></html>\n"
    )


def _in_order(quality: Mapping[str, Quality]) -> list[Quality]:
    first = [quality[task] for task in FIRST if task in quality]
    return [*first, *(found for task, found in quality.items() if task not in FIRST)][:MOST_TASKS]


def _head(result: RunResult) -> str:
    audit = result.audit
    played = f"{escape(result.data)} · " if result.data else ""
    sign, tone = ("✓", "ok") if audit.ok else ("✗", "wrong")
    return (
        f'<header><p class="brand">currere</p><h1>A model that learned while it served</h1>'
        f'<p class="sub">{played}{escape(result.broker)} · {escape(result.store)}</p></header>'
        f'<p class="verdict {tone}"><span aria-hidden="true">{sign}</span> {escape(audit.verdict)}</p>'
    )


def _tiles(result: RunResult) -> str:
    fresh, first, audit = result.freshness, result.first, result.audit
    tiles = [
        (decimal(first.model.last_quarter_mcc if first else None), "MCC, last quarter",
         words(first.task) if first else "no labels"),
        (seconds(fresh.p50), "feedback to model", f"p99 {seconds(fresh.p99)}"),
        (f"{result.events_per_second:,.0f}", "events a second", f"{result.seconds:,.1f} s, {result.rss_mb:,.0f} MB"),
        (f"{audit.lost:,} / {audit.duplicated:,}", "lost / duplicated", f"of {audit.inputs:,} inputs"),
    ]  # fmt: skip
    return '<div class="tiles">' + "".join(
        f"<div><b>{escape(value)}</b><span>{escape(name)}</span><small>{escape(more)}</small></div>"
        for value, name, more in tiles
    ) + "</div>"  # fmt: skip


def _tables(result: RunResult) -> str:
    audit = result.audit
    counts: dict[str, object] = {
        "interactions": audit.events, "feedback": audit.feedback, "predictions": audit.predictions,
        "examples": audit.examples, "train requests": audit.requests, "step records": audit.steps,
        "deltas": audit.deltas, "checkpoints": audit.checkpoints, "drifts seen": audit.drifts,
        **{f"dead letters: {reason}": n for reason, n in sorted(audit.dead_letters.items())},
        **{f"fate: {kind}": n for kind, n in sorted(audit.fates.items())},
    }  # fmt: skip
    checks: dict[str, object] = {
        "inputs without an outcome": audit.lost, "counted twice": audit.duplicated,
        "predicted by a model that knew the label": audit.peeked, "faults in what is published or stored": audit.faults,
        "still at work": audit.pending, "feedback that waits for its interaction": audit.waiting,
        "beyond the log's memory": audit.forgotten, "sent again, counted once": audit.resent,
        "requested again, passed over": audit.repeated_examples,
    }  # fmt: skip
    model = {"version": audit.version or "none", "digest": audit.digest or "none", "tenant": audit.tenant,
             "model": audit.model, **result.fingerprint}  # fmt: skip
    settings = {name: json.dumps(value, default=str) for name, value in result.settings.items()}
    found = [(finding.where, f"{finding.kind}: {finding.detail}") for finding in audit.findings]
    parts = [
        _table("Audit", checks.items()) + _table("Findings", found),
        _table("Counts", counts.items()),
        _table("Model", model.items()),
        _table("Settings", settings.items(), closed=True),
    ]
    return "".join(f"<section>{part}</section>" for part in parts if part)


def _table(title: str, rows: Iterable[tuple[str, object]], *, closed: bool = False) -> str:
    cells = "".join(
        f"<tr><th scope=row>{escape(name)}</th><td>{f'{v:,}' if isinstance(v, int) else escape(str(v))}</td></tr>"
        for name, v in rows
    )
    if not cells:
        return ""
    if closed:
        return f"<details><summary>{escape(title)}</summary><table>{cells}</table></details>"
    return f"<h2>{escape(title)}</h2><table>{cells}</table>"

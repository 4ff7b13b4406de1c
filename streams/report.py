"""The report of a run: one HTML file that needs nothing else, for light and dark, wide and narrow."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

from streams.observe import LONGEST_S, Freshness, Stage
from streams.plot import Axis, Line, Mark, Segment, histogram, lines, round_up, stacks
from streams.quality import Quality
from streams.result import RunResult

STYLE = Path(__file__).with_name("report.css")
TONES = ("c1", "c2", "c3", "c4", "c5", "c6", "c7")
FIRST = ("teacher_move", "student_move")  # the tasks shown first
MOST_TASKS = 6


def write_report(path: Path, result: RunResult) -> Path:
    """Write the report to ``path``, making its folder; returns ``path``. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(result), "utf-8")
    return path


def page(result: RunResult) -> str:
    """The report as HTML. It refers to nothing outside itself."""
    cards = [
        *(_quality_card(found) for found in _in_order(result.quality)),
        _time_card(result.freshness),
        _times_card(result.freshness),
        _lag_card(result.stages),
        _memory_card(result),
    ]
    body = "".join([_head(result), _tiles(result), f'<div class="cards">{"".join(cards)}</div>', _tables(result)])
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
        (_decimal(first.model.last_quarter_mcc if first else None, 3), "MCC, last quarter",
         _words(first.task) if first else "no labels"),
        (_seconds(fresh.p50), "feedback to model", f"p99 {_seconds(fresh.p99)}"),
        (f"{result.events_per_second:,.0f}", "events a second", f"{result.seconds:,.1f} s, {result.rss_mb:,.0f} MB"),
        (f"{audit.lost:,} / {audit.duplicated:,}", "lost / duplicated", f"of {audit.inputs:,} inputs"),
    ]  # fmt: skip
    return '<section class="tiles">' + "".join(
        f"<div><b>{escape(value)}</b><span>{escape(name)}</span><small>{escape(more)}</small></div>"
        for value, name, more in tiles
    ) + "</section>"  # fmt: skip


def _quality_card(found: Quality) -> str:
    curves = [
        Line("model", found.model.curve, "c1"),
        Line("majority class", found.majority.curve, "c2", dashed=True),
        Line("untrained", found.untrained.curve, "c7", dashed=True),
    ]
    values = [value for line in curves for _, value in line.points]
    x = Axis(0, max(found.labels, 1), "labels so far")
    y = Axis(-0.2 if min(values, default=0.0) < -0.02 else 0.0, 1.0, "MCC")
    marks = [Mark(m.labels, _drift(m.detector, m.before, m.after), m.after < m.before) for m in found.drifts]
    scores = (found.model, found.majority, found.untrained)
    legend = [(line.name, line.tone, _decimal(s.last_quarter_mcc, 3)) for line, s in zip(curves, scores, strict=True)]
    text = (
        f"Matthews correlation of each prediction with the label that came later, over the last {found.window:,} of "
        f"{found.labels:,} labels; figures are of the last quarter."
    )
    if found.drifts:
        text += " Triangles: a detector saw the errors change (▲ fewer, ▼ more)."
    title = f"Quality: {_words(found.task)}"
    return _card(title, text, lines(title, x, y, curves, marks), legend)


def _drift(detector: str, before: float, after: float) -> str:
    return f"{detector}: mean error {before:.2f} → {after:.2f}"


def _time_card(fresh: Freshness) -> str:
    title = "From feedback to served model"
    if fresh.p50 is None or fresh.p99 is None:
        return _card(title, "No accepted feedback was measured.", "", [])
    edges = [edge for edge, _ in fresh.histogram]
    bars = [(low, high, n) for low, (high, n) in zip([edges[0] / 1.3, *edges], fresh.histogram, strict=False)]
    at = [(fresh.p50, f"p50 {_seconds(fresh.p50)}"), (fresh.p99, f"p99 {_seconds(fresh.p99)}")]
    plot = histogram(title, Axis(edges[0] / 1.3, LONGEST_S, "seconds", log=True), bars, at)
    text = (
        f"How long until a watching consumer served a model that had learned from a feedback, for {fresh.n:,} accepted "
        f"feedbacks, from the log's receipt. {fresh.unserved:,} unserved; they count 60 s."
    )
    return _card(title, text, plot, [])


def _times_card(fresh: Freshness) -> str:
    title = "Freshness over the run"
    if not fresh.series:
        return ""
    p50 = Line("p50", [(m.t_s, m.p50) for m in fresh.series], "c1")
    p99 = Line("p99", [(m.t_s, m.p99) for m in fresh.series], "c2")
    x = Axis(0, fresh.series[-1].t_s, "seconds since the first feedback")
    y = Axis(0, round_up(max(value for _, value in p99.points)), "seconds")
    legend = [("p50", "c1", _seconds(fresh.p50)), ("p99", "c2", _seconds(fresh.p99))]
    return _card(
        title,
        "Seconds from feedback to served model, by when the feedback came.",
        lines(title, x, y, [p50, p99]),
        legend,
    )


def _lag_card(stages: Sequence[Stage]) -> str:
    title = "Lag of each role"
    shown = [stage for stage in stages if stage.n]
    if not shown:
        return ""
    curves = [Line(s.does, s.lag, tone) for s, tone in zip(shown, TONES, strict=False)]
    x = Axis(0, max(s.lag[-1][0] for s in shown), "seconds since the first event")
    y = Axis(0, round_up(max(n for s in shown for _, n in s.lag)), "records")
    legend = [
        (f"{s.role} {s.does}", line.tone, f"{_seconds(s.p50)}, p99 {_seconds(s.p99)}")
        for s, line in zip(shown, curves, strict=True)
    ]
    text = "Records that had come and had no outcome yet, by the log's own times; and how long the outcome took."
    return _card(title, text, lines(title, x, y, curves), legend)


def _memory_card(result: RunResult) -> str:
    title = "What the model rehearses"
    rows: list[tuple[str, list[Segment]]] = []
    tasks = [found for found in _in_order(result.quality) if found.task in FIRST] or _in_order(result.quality)[:2]
    legend: list[tuple[str, str, str]] = []
    for found in tasks:
        tones = _tones(found.classes)
        rows.append((f"{_words(found.task)}: labels", _segments(found.classes, tones)))
        for name, counts in (("memory", result.memory), ("replayed", result.replayed)):
            held = {c: counts[f"{found.task}/{c}"] for c in found.classes if counts.get(f"{found.task}/{c}")}
            if held:
                rows.append((f"{_words(found.task)}: {name}", _segments(held, tones)))
        legend += [(_words(name), tone, "") for name, tone in tones.items() if (_words(name), tone, "") not in legend]
    if not rows:
        return ""
    text = "Classes among the labels that came, in replay memory, and among the examples that steps repeated."
    return _card(title, text, stacks(title, rows), legend)


def _tones(classes: Iterable[str]) -> dict[str, str]:
    """A colour for each class, grey for none."""
    others = [name for name in classes if name != "none"]
    return {"none": "c7"} | {name: TONES[number % 6] for number, name in enumerate(others)}


def _segments(counts: Mapping[str, int], tones: Mapping[str, str]) -> list[Segment]:
    return [Segment(_words(name), counts[name], tone) for name, tone in tones.items() if counts.get(name)]


def _card(title: str, text: str, plot: str, legend: Iterable[tuple[str, str, str]]) -> str:
    keys = "".join(
        f'<li><i class="{tone}"></i>{escape(name)} <b>{escape(value)}</b></li>' for name, tone, value in legend
    )
    return (
        f"<figure><figcaption><h2>{escape(title)}</h2><p>{escape(text)}</p></figcaption>"
        f"{f'<ul>{keys}</ul>' if keys else ''}{plot}</figure>"
    )


def _tables(result: RunResult) -> str:
    audit = result.audit
    counts: dict[str, object] = {
        "interactions": audit.events, "feedback": audit.feedback, "predictions": audit.predictions,
        "examples": audit.examples, "train requests": audit.requests, "steps": audit.steps, "deltas": audit.deltas,
        "checkpoints": audit.checkpoints, "drifts seen": audit.drifts,
        **{f"dead letters: {reason}": n for reason, n in sorted(audit.dead_letters.items())},
        **{f"fate: {kind}": n for kind, n in sorted(audit.fates.items())},
    }  # fmt: skip
    checks: dict[str, object] = {
        "inputs without an outcome": audit.lost, "counted twice": audit.duplicated,
        "predicted by a model that knew the label": audit.peeked, "faults in what consumers follow": audit.faults,
        "still at work": audit.pending, "feedback that waits for its interaction": audit.waiting,
        "beyond the log's memory": audit.forgotten, "sent again, counted once": audit.resent,
        "requested again, passed over": audit.repeated_examples,
    }  # fmt: skip
    model = {"version": audit.version or "none", "digest": audit.digest or "none", "tenant": audit.tenant,
             "model": audit.model, **result.fingerprint}  # fmt: skip
    found = {finding.where: f"{finding.kind}: {finding.detail}" for finding in audit.findings}
    parts = [
        _table("Counts", counts),
        _table("Audit", checks) + _table("Findings", found),
        _table("Model", model),
        _table(
            "Settings", {name: json.dumps(value, default=str) for name, value in result.settings.items()}, closed=True
        ),
    ]
    return f'<div class="cards tables">{"".join(f"<section>{part}</section>" for part in parts if part)}</div>'


def _table(title: str, rows: Mapping[str, object], *, closed: bool = False) -> str:
    if not rows:
        return ""
    cells = "".join(
        f"<tr><th scope=row>{escape(name)}</th><td>{f'{v:,}' if isinstance(v, int) else escape(str(v))}</td></tr>"
        for name, v in rows.items()
    )
    if closed:
        return f"<details><summary>{escape(title)}</summary><table>{cells}</table></details>"
    return f"<h2>{escape(title)}</h2><table>{cells}</table>"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _decimal(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"

"""The report's figures: each a title, a sentence that says what is seen, a legend with its figures, and a plot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from streams.observe import LONGEST_S, Freshness, Stage
from streams.plot import Axis, Line, Mark, Segment, histogram, lines, round_up, stacks
from streams.quality import Quality

TONES = ("c1", "c2", "c3", "c4", "c5", "c6")
GREY = "c7"

Key = tuple[str, str, str]  # of a legend: name, tone, figure


def quality_card(found: Quality) -> str:
    """Quality over the labels, beside its baselines, with the drifts that were seen."""
    scores = (found.model, found.majority, found.untrained)
    curves = [
        Line("model", found.model.curve, "c1"),
        Line("majority class", found.majority.curve, "c2", dashed=True),
        Line("untrained", found.untrained.curve, GREY, dashed=True),
    ]
    lowest = min((value for line in curves for _, value in line.points), default=0.0)
    marks = [
        Mark(m.labels, f"{m.detector}: error {m.before:.2f} → {m.after:.2f}", m.after < m.before) for m in found.drifts
    ]
    text = (
        f"Matthews correlation between predictions and the labels that came later, over the last {found.window:,} "
        f"of {found.labels:,} labels. Figures: the last quarter."
    )
    if marks:
        text += " Triangles: a detector saw errors change (▲ fewer, ▼ more)."
    title = f"Quality: {words(found.task)}"
    y = Axis(-0.2 if lowest < -0.02 else 0.0, 1.0, "MCC")
    legend = [(c.name, c.tone, decimal(s.last_quarter_mcc)) for c, s in zip(curves, scores, strict=True)]
    return card(title, text, lines(title, Axis(0, max(found.labels, 1), "labels so far"), y, curves, marks), legend)


def delay_card(fresh: Freshness) -> str:
    """The distribution of the time from feedback to a served model."""
    title = "From feedback to served model"
    if fresh.p50 is None or fresh.p99 is None:
        return card(title, "No accepted feedback was measured.", "")
    first = fresh.histogram[0][0] / 1.3
    lows = [first, *(edge for edge, _ in fresh.histogram)]
    bars = [(low, high, n) for low, (high, n) in zip(lows, fresh.histogram, strict=False)]
    at = [(fresh.p50, f"p50 {seconds(fresh.p50)}"), (fresh.p99, f"p99 {seconds(fresh.p99)}")]
    text = (
        f"From the log's receipt of a feedback until a consumer served a model that had learned from it: "
        f"{fresh.n:,} accepted feedbacks, {fresh.unserved:,} of them unserved, which count {LONGEST_S:.0f} s."
    )
    return card(title, text, histogram(title, Axis(first, LONGEST_S, "seconds", log=True), "feedbacks", bars, at))


def freshness_card(fresh: Freshness) -> str:
    """The same over the run; empty where nothing was measured."""
    title = "Freshness over the run"
    if not fresh.series:
        return ""
    p99 = Line("p99", [(m.t_s, m.p99) for m in fresh.series], "c2")
    p50 = Line("p50", [(m.t_s, m.p50) for m in fresh.series], "c1")
    x = Axis(0, max(fresh.series[-1].t_s, 1.0), "seconds since the first feedback")
    y = Axis(0, round_up(max(value for _, value in p99.points)), "seconds")
    text = "Seconds from feedback to served model, by when the feedback came."
    legend = [("p50", "c1", seconds(fresh.p50)), ("p99", "c2", seconds(fresh.p99))]
    return card(title, text, lines(title, x, y, [p50, p99]), legend)


def lag_card(stages: Sequence[Stage]) -> str:
    """How far each role was behind; empty where nothing came."""
    title = "Lag of each role"
    shown = [stage for stage in stages if stage.n]
    if not shown:
        return ""
    curves = [Line(f"{s.role} {s.does}", s.lag, tone) for s, tone in zip(shown, TONES, strict=False)]
    x = Axis(0, max(*(s.lag[-1][0] for s in shown), 1.0), "seconds since the first event")
    y = Axis(0, round_up(max(n for s in shown for _, n in s.lag)), "records")
    took = (f"{seconds(s.p50)}, p99 {seconds(s.p99)}" for s in shown)
    legend = [(line.name, line.tone, figure) for line, figure in zip(curves, took, strict=True)]
    text = "Records that had come and had no outcome yet, by the log's own times. Figures: how long an outcome took."
    return card(title, text, lines(title, x, y, curves), legend)


def memory_card(found: Quality, memory: Mapping[str, int], replayed: Mapping[str, int]) -> str:
    """The classes of a task among its labels, in memory and among what was replayed; empty without the last two."""
    title = f"Rehearsed: {words(found.task)}"
    others = [name for name in found.classes if name != "none"]
    tones = {"none": GREY} | {name: TONES[number % len(TONES)] for number, name in enumerate(others)}
    rows = {"labels that came": found.classes}
    for name, counts in (("replay memory", memory), ("replayed by steps", replayed)):
        rows[name] = {class_: counts.get(f"{found.task}/{class_}", 0) for class_ in tones}
    kept = {name: counts for name, counts in rows.items() if any(counts.values())}
    if len(kept) < 2:
        return ""
    bars = [(f"{name}: {sum(counts.values()):,}", _segments(counts, tones)) for name, counts in kept.items()]
    text = "Share of each class: among labels as they came, in memory, and among what steps repeated of it."
    return card(title, text, stacks(title, bars), [(words(name), tone, "") for name, tone in tones.items()])


def card(title: str, text: str, plot: str, legend: Iterable[Key] = ()) -> str:
    """One figure."""
    keys = "".join(
        f'<li><i class="{tone}"></i>{escape(name)} <b>{escape(value)}</b></li>' for name, tone, value in legend
    )
    caption = f"<figcaption><h2>{escape(title)}</h2><p>{escape(text)}</p></figcaption>"
    return f"<figure>{caption}{f'<ul>{keys}</ul>' if keys else ''}{plot}</figure>"


def words(name: str) -> str:
    """An identifier as words."""
    return name.replace("_", " ")


def decimal(value: float | None) -> str:
    """Three digits, or a dash for what was not measured."""
    return "–" if value is None else f"{value:.3f}"


def seconds(value: float | None) -> str:
    """Seconds with their unit, milliseconds below one."""
    return "–" if value is None else f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"


def _segments(counts: Mapping[str, int], tones: Mapping[str, str]) -> list[Segment]:
    return [Segment(words(name), counts[name], tone) for name, tone in tones.items() if counts.get(name)]

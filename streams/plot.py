"""Plots as inline SVG: plain strings, coloured by the page's own variables, so that they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT = 420.0, 260.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 10.0, 28.0, 40.0

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Line:
    """A curve; ``tone`` is a class of the page's style sheet that gives it a colour."""

    name: str
    points: Sequence[Point]
    tone: str
    dashed: bool = False


class Mark(NamedTuple):
    """Something that happened at ``x``, said in a tooltip; ``good`` turns its triangle upwards."""

    x: float
    title: str
    good: bool


class Segment(NamedTuple):
    """A part of a stacked bar."""

    name: str
    amount: float
    tone: str


@dataclass(frozen=True, slots=True)
class Axis:
    """From ``low`` to ``high`` in the data's units; a logarithmic one has ``low`` > 0."""

    low: float
    high: float
    label: str
    log: bool = False

    def share(self, value: float) -> float:
        """Where ``value`` lies, 0 at ``low`` and 1 at ``high``; kept within."""
        low, high, at = (math.log(max(v, 1e-9)) if self.log else v for v in (self.low, self.high, value))
        return min(max((at - low) / ((high - low) or 1.0), 0.0), 1.0)

    def ticks(self) -> list[float]:
        """Four to seven round numbers."""
        if self.log:
            decades = (mantissa * 10.0**power for power in range(-3, 5) for mantissa in (1, 3))
            return [tick for tick in decades if self.low <= tick <= self.high]
        rough = (self.high - self.low) / 5 or 1.0
        unit = 10.0 ** math.floor(math.log10(rough))
        step = next(unit * nice for nice in (1, 2, 5, 10) if unit * nice >= rough * 0.8)
        first = math.ceil(self.low / step - 1e-9)
        return [number * step for number in range(first, math.floor(self.high / step + 1e-9) + 1)]


def lines(title: str, x: Axis, y: Axis, found: Iterable[Line], marks: Iterable[Mark] = ()) -> str:
    """Curves over one another, the first on top; marks hang from the upper edge."""
    drawn = [_polyline(line, x, y) for line in reversed(list(found))]
    return _plot(title, x, y, "".join([*(_mark(mark, x) for mark in marks), *drawn]))


def histogram(
    title: str, x: Axis, what: str, bars: Iterable[tuple[float, float, int]], at: Sequence[tuple[float, str]]
) -> str:
    """Bars of (from, to, count of ``what``), and upright lines at some rising values, with their names."""
    bars = [bar for bar in bars if bar[2]]
    y = Axis(0, round_up(max((count for _, _, count in bars), default=1)), what)
    drawn = [_bar(bar, x, y) for bar in bars]
    named = [_upright(value, name, x, left=n < len(at) - 1) for n, (value, name) in enumerate(at)]
    return _plot(title, x, y, "".join(drawn + named))


def stacks(title: str, rows: Sequence[tuple[str, Sequence[Segment]]]) -> str:
    """One bar a row, each as long as the others: what share of the row each segment is."""
    height = 52.0
    drawn = [_stack(name, segments, number * height) for number, (name, segments) in enumerate(rows)]
    return _svg(title, len(rows) * height + 4, "".join(drawn))


def round_up(value: float) -> float:
    """The next of 1, 2, 2.5, 5 and 10 times a power of ten."""
    if value <= 0:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(value))
    return next(unit * nice for nice in (1, 2, 2.5, 5, 10) if unit * nice >= value * 0.999)


def number(value: float) -> str:
    """A tick's text: 0.5, 12, 4k."""
    if abs(value) >= 10_000:
        return f"{value / 1000:g}k"
    return f"{value:.10g}" if abs(value) < 1 else f"{value:,.10g}"


def _svg(title: str, height: float, inside: str) -> str:
    label = escape(title, quote=True)
    return f'<svg viewBox="0 0 {WIDTH:g} {height:g}" role="img" aria-label="{label}">{inside}</svg>'


def _plot(title: str, x: Axis, y: Axis, inside: str) -> str:
    across, up = _across(x), _up(y)
    parts = []
    for tick in y.ticks():
        parts.append(f'<path class="grid" d="M{LEFT:g} {up(tick):.1f}H{WIDTH - RIGHT:g}"/>')
        parts.append(
            f'<text class="tick" x="{LEFT - 6:g}" y="{up(tick) + 4:.1f}" text-anchor="end">{number(tick)}</text>'
        )
    for tick in x.ticks():
        foot = HEIGHT - BOTTOM + 16
        parts.append(
            f'<text class="tick" x="{across(tick):.1f}" y="{foot:g}" text-anchor="middle">{number(tick)}</text>'
        )
    parts.append(f'<path class="axis" d="M{LEFT:g} {HEIGHT - BOTTOM:g}H{WIDTH - RIGHT:g}"/>')
    parts.append(f'<text class="tick" x="0" y="11">{escape(y.label)}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text class="tick" x="{middle:g}" y="{HEIGHT - 6:g}" text-anchor="middle">{escape(x.label)}</text>')
    return _svg(title, HEIGHT, "".join(parts) + inside)


def _across(x: Axis) -> Callable[[float], float]:
    return lambda value: LEFT + x.share(value) * (WIDTH - LEFT - RIGHT)


def _up(y: Axis) -> Callable[[float], float]:
    return lambda value: HEIGHT - BOTTOM - y.share(value) * (HEIGHT - TOP - BOTTOM)


def _polyline(line: Line, x: Axis, y: Axis) -> str:
    across, up = _across(x), _up(y)
    points = " ".join(f"{across(a):.1f},{up(b):.1f}" for a, b in line.points)
    dashes = ' stroke-dasharray="5 4"' if line.dashed else ""
    return f'<polyline class="line {line.tone}" points="{points}"{dashes}><title>{escape(line.name)}</title></polyline>'


def _mark(mark: Mark, x: Axis) -> str:
    at, side = _across(x)(mark.x), 5
    tip, foot = (TOP - 9, TOP - 1) if mark.good else (TOP - 1, TOP - 9)
    triangle = f"M{at - side:.1f} {foot:g}L{at + side:.1f} {foot:g}L{at:.1f} {tip:g}Z"
    tone = "good" if mark.good else "bad"
    stem = f'<path class="stem" d="M{at:.1f} {TOP:g}V{HEIGHT - BOTTOM:g}"/>'
    return f'<g class="{tone}"><title>{escape(mark.title)}</title>{stem}<path class="fill" d="{triangle}"/></g>'


def _bar(bar: tuple[float, float, int], x: Axis, y: Axis) -> str:
    low, high, count = bar
    left, right, top = _across(x)(low), _across(x)(high), _up(y)(count)
    size = f'width="{max(right - left - 1, 1):.1f}" height="{HEIGHT - BOTTOM - top:.1f}"'
    title = f"<title>{number(low)}–{number(high)} s: {count:,}</title>"
    return f'<rect class="fill c1" x="{left:.1f}" y="{top:.1f}" {size}>{title}</rect>'


def _upright(value: float, name: str, x: Axis, *, left: bool) -> str:
    at = _across(x)(value)
    text = f'x="{at - 5 if left else at + 5:.1f}" y="{TOP - 6:g}" text-anchor="{"end" if left else "start"}"'
    return (
        f'<path class="upright" d="M{at:.1f} {TOP - 16:g}V{HEIGHT - BOTTOM:g}"/>'
        f'<text class="note" {text}>{escape(name)}</text>'
    )


def _stack(name: str, segments: Sequence[Segment], top: float) -> str:
    total = sum(segment.amount for segment in segments) or 1.0
    parts, at = [f'<text class="note" x="0" y="{top + 14:g}">{escape(name)}</text>'], 0.0
    for segment in segments:
        width = segment.amount / total * WIDTH
        share = segment.amount / total
        title = f"{segment.name}: {segment.amount:,.0f} ({share:.1%})"
        parts.append(
            f'<rect class="fill {segment.tone}" x="{at:.1f}" y="{top + 20:g}" width="{max(width - 1, 0):.1f}" '
            f'height="24"><title>{escape(title)}</title></rect>'
        )
        if share >= 0.08:
            parts.append(f'<text class="inside" x="{at + width / 2:.1f}" y="{top + 36.5:g}">{share:.0%}</text>')
        at += width
    return "".join(parts)

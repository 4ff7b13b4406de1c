"""Charts as SVG files of their own: title, names of the colours, style and all, from the plots of the report."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from streams import plot, report
from streams.plot import HEIGHT, Axis, Line, Point

TONES = ("c1", "c2", "c3", "c4", "c5", "c6", "c7")
WIDTH, ROW, NAMES = 640.0, 24.0, 200.0  # of a chart of rows: all, a row's height, the column of names
OUTER = re.compile(r"^<svg[^>]*>(.*)</svg>$", re.DOTALL)


class Interval(NamedTuple):
    """A row of a chart: a value with the interval that it lies in, or with nothing more."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None


def curves(title: str, x: str, y: str, found: Mapping[str, Sequence[Point]]) -> str:
    """Curves over common axes, which span all their points; a dashed one repeats a colour."""
    across, up = zip(*(point for points in found.values() for point in points), strict=True)
    lines = [Line(name, points, TONES[n % 7], dashed=n >= 7) for n, (name, points) in enumerate(found.items())]
    drawn = plot.lines(title, Axis(min(across), max(across), x), Axis(min(up), max(up), y), lines)
    return _page(title, _inside(drawn), plot.WIDTH, HEIGHT, [(line.name, line.tone) for line in lines])


def bars(title: str, unit: str, rows: Sequence[Interval]) -> str:
    """A bar a row from zero to its value, with the interval as a whisker."""
    return _rows(title, unit, rows, bar=True)


def intervals(title: str, unit: str, rows: Sequence[Interval]) -> str:
    """A forest plot: a dot and its interval a row beside an upright line at zero."""
    return _rows(title, unit, rows, bar=False)


def _rows(title: str, unit: str, rows: Sequence[Interval], *, bar: bool) -> str:
    ends = [end for row in rows for end in (row.value, row.low, row.high) if end is not None]
    axis = Axis(min(0.0, *ends), max(0.0, *ends), unit)
    height = ROW * len(rows)
    parts = []
    for tick in axis.ticks():
        parts.append(f'<path class="{"upright" if not tick else "grid"}" d="M{_x(axis, tick):.1f} 0V{height:g}"/>')
        parts.append(_text(_x(axis, tick), height + 16, plot.number(round(tick, 9)), "tick", "middle"))
    parts.append(_text((NAMES + WIDTH) / 2, height + 36, unit, "tick", "middle"))
    parts += [_row(row, axis, ROW * (n + 0.5), bar) for n, row in enumerate(rows)]
    return _page(title, "".join(parts), WIDTH, height + 44, ())


def _row(row: Interval, axis: Axis, y: float, bar: bool) -> str:
    at, zero = _x(axis, row.value), _x(axis, 0)
    shape = f'<circle class="fill" cx="{at:.1f}" cy="{y:g}" r="4.5"/>'
    if bar:
        shape = f'<rect class="fill" x="{min(at, zero):.1f}" y="{y - 7:g}" width="{abs(at - zero):.1f}" height="14"/>'
    whisker = ""
    if row.low is not None and row.high is not None:
        tone = ' style="color:var(--ink)"' if bar else ""
        whisker = f'<path class="line"{tone} d="M{_x(axis, row.low):.1f} {y:g}H{_x(axis, row.high):.1f}"/>'
    title = f"<title>{escape(row.name)}: {row.value:.4g}</title>"
    return f'<g class="c1">{title}{shape}{whisker}</g>{_text(NAMES - 10, y + 4, row.name, "note", "end")}'


def _x(axis: Axis, value: float) -> float:
    return NAMES + axis.share(value) * (WIDTH - NAMES - 14)


def _text(x: float, y: float, text: str, kind: str, anchor: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _inside(svg: str) -> str:
    found = OUTER.match(svg)
    return found.group(1) if found else svg


def _page(title: str, inside: str, width: float, height: float, legend: Sequence[tuple[str, str]]) -> str:
    """An SVG file: title, what each colour is, and what is drawn below them."""
    head = [_text(0, 14, title, "note", "start")]
    for n, (name, tone) in enumerate(legend):
        x, y = (n % 3) * width / 3, 34 + 18 * (n // 3)
        head.append(f'<rect class="fill {tone}" x="{x:.1f}" y="{y - 10}" width="10" height="10"/>')
        head.append(_text(x + 16, y, name, "tick", "start"))
    top = 28 + 18 * -(-len(legend) // 3) + (6 if legend else 0)
    style = f"<style>{escape(report.STYLE.read_text('utf-8'), quote=False)}</style>"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-16 -16 {width + 32:g} {top + height + 32:g}" role="img" '
        f'aria-label="{escape(title, quote=True)}">{style}<rect x="-16" y="-16" width="100%" height="100%" '
        f'style="fill:var(--card)"/>{"".join(head)}<g transform="translate(0 {top:g})">{inside}</g></svg>\n'
    )


def figures(folder: Path | None, drawn: Mapping[str, str]) -> list[Path]:
    """Write each SVG of ``drawn`` as ``folder``/NAME.svg; nothing without a folder. Raises OSError."""
    if folder is None:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    paths = {folder / f"{name}.svg": svg for name, svg in drawn.items()}
    for path, svg in paths.items():
        path.write_text(svg, "utf-8")
    return list(paths)

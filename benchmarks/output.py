"""How every benchmark shows what it found: tables for people, plots into a folder, and one JSON object as last line.

parser = arguments(__doc__, "currere bench digits --seeds 8 --json")
given = parser.parse_args(argv)
with progress("runs", total=16) as advance: ...; advance()
table(("method", "acc"), rows, "Class-incremental")
finish(found, given, {"digits": bars("Split-Digits", "ACC", rows)})
program(main)
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from schemas.errors import ConfigurationError
from streams.charts import figures
from streams.cli.options import progress_bar, show_table


def arguments(purpose: str | None, example: str) -> argparse.ArgumentParser:
    """A parser that knows what all benchmarks know: ``--json`` and ``--plots``."""
    parser = argparse.ArgumentParser(
        prog=" ".join(example.split()[:3]),
        description=purpose,
        epilog=f"Example: {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write plots as SVG into this folder (default: none)")
    return parser


def count(text: str) -> int:
    """A whole number from 1 on, as the type of an argument."""
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{value} is too few; at least 1")
    return value


def program(main: Callable[[], int | None]) -> NoReturn:
    """Run ``main`` and end: what was asked wrongly, or a file that is not there, is one line and status 2."""
    try:
        status = main()
    except ConfigurationError as error:
        print(f"currere: {error}", file=sys.stderr)
        status = 2
    except FileNotFoundError as error:
        print(f"currere: {error.filename} is not there", file=sys.stderr)
        status = 2
    sys.exit(status)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> None:
    """A table on standard output; numbers with a point have four digits behind it, a cell of None is empty."""
    show_table(columns, [[cell(value) for value in row] for row in rows], title)


def cell(value: object) -> str:
    """A value as a table's cell."""
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}" if isinstance(value, float) else str(value)


@contextmanager
def progress(unit: str, total: int, name: str = "measuring") -> Iterator[Callable[..., None]]:
    """A bar on standard error, silent where nobody watches; what is yielded moves it on by one, or by a number."""
    with progress_bar(unit) as bar:
        task = bar.add_task(name, total=total, note="")
        yield lambda by=1: bar.advance(task, by)


def finish(found: Mapping[str, object], given: argparse.Namespace, drawn: Mapping[str, str] | None = None) -> None:
    """Write the plots if ``--plots`` names a folder, and with ``--json`` print ``found`` on the last line."""
    for path in figures(given.plots, drawn or {}):
        print(f"wrote {path}", file=sys.stderr)
    if given.json:
        print(json.dumps(found, ensure_ascii=False), flush=True)

"""Recorded classroom data sets, read into one plain form. A format is recognised by its first record, or named."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from schemas.errors import ConfigurationError
from streams.readers import cima, mathdial, mrbench, talkmoves, uptake
from streams.readers.form import Format, Recorded, Row

# The first whose fields a record has: TalkMoves has all that MathDial has.
FORMATS = (talkmoves.FORMAT, uptake.FORMAT, mrbench.FORMAT, mathdial.FORMAT, cima.FORMAT)


def read(path: Path, form: str | None = None) -> Iterator[Recorded]:
    """The recorded interactions of ``path`` (``.jsonl`` or ``.jsonl.gz``), read as they are asked for.

    ``form`` names one of ``FORMATS``, in capitals or not; without it the first record tells.

    Raises:
        ConfigurationError: the file is absent, unreadable or of no format known here; or a record of it is.
    """
    rows = _rows(path)
    first = next(rows, None)
    if first is None:
        raise ConfigurationError(f"{path} has no records and so is of no known format; known are: {_known()}")
    return _read(path, format_named(form) if form else _recognised(path, first), _chained(first, rows))


def format_named(name: str) -> Format:
    """The format called ``name``, in capitals or not. Raises ConfigurationError."""
    found = next((form for form in FORMATS if form.name.lower() == name.lower()), None)
    if found is None:
        raise ConfigurationError(f"{name!r} is no known format; known are: {_known()}")
    return found


def _recognised(path: Path, first: Row) -> Format:
    found = next((form for form in FORMATS if form.fields <= first.keys()), None)
    if found is None:
        raise ConfigurationError(f"{path} is of no known format; known are: {_known()}")
    return found


def _known() -> str:
    return "; ".join(f"{form.name} (fields {', '.join(sorted(form.fields))})" for form in FORMATS)


def _read(path: Path, form: Format, rows: Iterable[Row]) -> Iterator[Recorded]:
    count = 0
    try:
        for recorded in form.read(rows):
            yield recorded
            count += 1
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{path}: record {count + 1} is no {form.name} record: {error!r}") from error


def _chained(first: Row, rows: Iterator[Row]) -> Iterator[Row]:
    yield first
    yield from rows


def _rows(path: Path) -> Iterator[Row]:
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ConfigurationError(f"{path}: line {number} is no JSON object")
                yield row
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise ConfigurationError(f"{path} cannot be read as JSON lines: {error}") from error

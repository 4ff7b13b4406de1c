"""Recorded classroom data sets, read into one plain form. A format is recognised by its first record."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.errors import ConfigurationError
from schemas.feedback import LabelValue
from schemas.interaction import Interaction, Payload, SpeakerRole, Timing

WORDS_PER_SECOND = 2.5  # of speech; used where no clock was recorded
PAUSE_S = 1.0

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recorded interaction and what its annotators said of it, by task.

    ``time_s`` is seconds since its session began and never falls within a session; a session's interactions stand
    together, in order. ``id`` and ``session`` hold only letters, digits, dots and dashes.
    """

    interaction: Interaction
    id: str
    session: str
    time_s: float
    labels: tuple[tuple[str, LabelValue], ...]


@dataclass(frozen=True, slots=True)
class Format:
    """A data set's form: what its records look like, and how they are read, one by one."""

    name: str
    fields: frozenset[str]
    read: Callable[[Iterable[Row]], Iterator[Recorded]]


def read(path: Path) -> Iterator[Recorded]:
    """The recorded interactions of ``path`` (``.jsonl`` or ``.jsonl.gz``), read as they are asked for.

    Raises:
        ConfigurationError: the file is absent, unreadable or of no format known here; or a record of it is.
    """
    rows = _rows(path)
    first = next(rows, None)
    found = next((form for form in FORMATS if first is not None and form.fields <= first.keys()), None)
    if first is None or found is None:
        known = "; ".join(f"{form.name} (fields {', '.join(sorted(form.fields))})" for form in FORMATS)
        raise ConfigurationError(f"{path} is of no known format; known are: {known}")
    return _read(path, found, first, rows)


def _read(path: Path, form: Format, first: Row, rows: Iterator[Row]) -> Iterator[Recorded]:
    count = 0
    try:
        for recorded in form.read(_chained(first, rows)):
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


ROLES: dict[str | None, SpeakerRole] = {"T": "teacher", "S": "student", None: "unknown"}


def talkmoves(rows: Iterable[Row]) -> Iterator[Recorded]:
    """TalkMoves (Suresh et al., LREC 2022): lessons in mathematics, each sentence labelled with its talk move.

    A turn's first sentence begins at the recorded stamp, if there is one; every other begins when the one before it has
    been spoken, at 2.5 words a second and a pause. Silence before a turn is known only between stamped turns.
    """
    clock, session, lesson = _Clock(), "", None
    for row in rows:
        if row["conv"] != lesson:
            clock, lesson = _Clock(), row["conv"]
            session = slug(row["conv"])
        role, words = ROLES[row["role"]], len(row["text"].split())
        at_s, gap_s = clock.tick(row["turn"], row["t"], words)
        labelled = row["label"] is not None and role != "unknown"
        yield Recorded(
            Interaction(
                session=session,
                role=role,
                group=row["group"],
                payload=Payload(text=row["text"]),
                timing=Timing(at_s=round(at_s, 3), gap_s=None if gap_s is None else round(gap_s, 3)),
                subject="mathematics",
                language="en",
            ),
            id=f"{session}-{row['seq']}",
            session=session,
            time_s=at_s,
            labels=((f"{role}_move", row["move"]),) if labelled else (),
        )


class _Clock:
    """Seconds into a lesson, from stamps of turns and the length of what is said."""

    def __init__(self) -> None:
        self.begun = False
        self.turn: object = None
        self.at_s = 0.0  # when the last sentence began
        self.words = 0  # of the last sentence
        self.stamped = False  # whether the beginning of the last turn is known

    def tick(self, turn: object, stamp: float | None, words: int) -> tuple[float, float | None]:
        """When a sentence begins, and the silence before it if that is known."""
        spoken, first = self.words / WORDS_PER_SECOND, turn is None or turn != self.turn
        gap = None
        if first and stamp is not None:
            at_s = max(float(stamp), self.at_s)
            gap = max(0.0, at_s - self.at_s - spoken) if self.stamped else None
        else:
            at_s = self.at_s + spoken + PAUSE_S if self.begun else 0.0
        if first:
            self.stamped = stamp is not None
        self.begun, self.turn, self.at_s, self.words = True, turn, at_s, words
        return at_s, gap


def slug(name: str) -> str:
    """``name`` in letters, digits and dashes, with eight digits of its hash, so that no two names share one."""
    readable = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60]
    return f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


FORMATS = (
    Format("TalkMoves", frozenset({"conv", "group", "seq", "turn", "t", "role", "text", "move", "label"}), talkmoves),
)

"""Conversational uptake (Demszky et al., ACL 2021): how far a teacher's reply takes up what a student said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from schemas.interaction import Interaction, Payload, Turn
from streams.readers.form import Format, Pace, Recorded, Row, slug


def uptake(rows: Iterable[Row]) -> Iterator[Recorded]:
    """Of each exchange what the student said, and the reply with its ``uptake``: the raters' mean, 0 (low) to 2 (high).

    Exchanges of a lesson do not follow one another, so a reply's context is its student's turn alone. Exchanges off
    task were not rated and have no label.
    """
    pace = Pace()
    for row in rows:
        session = slug(row["conv"])
        asked = Turn(role="student", text=row["student_text"])
        rated = () if row["uptake"] is None else (("uptake", float(row["uptake"])),)
        for part, turn, before, labels in (("s", asked, (), ()), ("t", _reply(row), (asked,), rated)):
            yield Recorded(
                Interaction(
                    session=session,
                    role=turn.role,
                    payload=Payload(text=turn.text, context=before),
                    subject="mathematics",
                    language="en",
                ),
                id=f"{session}-{row['seq']}-{part}",
                session=session,
                time_s=pace.begin(session, turn.text),
                labels=labels,
            )


def _reply(row: Row) -> Turn:
    return Turn(role="teacher", text=row["teacher_text"])


FORMAT = Format(
    name="uptake",
    tasks="uptake",
    fields=frozenset({"conv", "seq", "student_text", "teacher_text", "uptake"}),
    read=uptake,
)

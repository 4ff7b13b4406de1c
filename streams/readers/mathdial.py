"""MathDial (Macina et al., Findings of EMNLP 2023): tutors who scaffold a student's way to a solution."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from schemas.interaction import Interaction, Payload, SpeakerRole
from streams.readers.form import Format, Pace, Recorded, Row, slug

ROLES: dict[str, SpeakerRole] = {"T": "teacher", "S": "student"}


def mathdial(rows: Iterable[Row]) -> Iterator[Recorded]:
    """Each turn; the tutor's are labelled ``tutor_move``: focus, probing, generic or telling."""
    pace = Pace()
    for row in rows:
        session = slug(row["conv"])
        yield Recorded(
            Interaction(
                session=session,
                role=ROLES[row["role"]],
                payload=Payload(text=row["text"]),
                subject="mathematics",
                language="en",
            ),
            id=f"{session}-{row['seq']}",
            session=session,
            time_s=pace.begin(session, row["text"]),
            labels=() if row["move"] is None else (("tutor_move", row["move"]),),
        )


FORMAT = Format(
    name="MathDial",
    tasks="mathdial",
    fields=frozenset({"conv", "seq", "speaker", "role", "text", "move"}),
    read=mathdial,
)

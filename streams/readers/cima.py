"""CIMA (Stasaski, Kao & Hearst, BEA 2020): what a tutor's reply in an Italian exercise does, several acts at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from schemas.interaction import Interaction, Payload, Turn
from streams.readers.form import Format, Pace, Recorded, Row, slug


def cima(rows: Iterable[Row]) -> Iterator[Recorded]:
    """Each reply with its ``tutor_actions``; its context is the exercise before. A picture is a ``group``.

    Replies to one exercise are alternatives, none of which heard the others.
    """
    pace = Pace()
    for row in rows:
        session, reply = slug(row["conv"]), row["tutor_response"]
        yield Recorded(
            Interaction(
                session=session,
                role="teacher",
                group=row["img"],
                payload=Payload(text=reply, context=turns(row["past_convo"])),
                subject="italian",
                language="en",
            ),
            id=f"{session}-{row['seq']}-{row['alt']}",
            session=session,
            time_s=pace.begin(session, reply),
            labels=(("tutor_actions", tuple(row["tutor_actions"])),),
        )


def turns(said: Sequence[str]) -> tuple[Turn, ...]:
    """Tutor and student in turn; the last turn before a reply is the student's."""
    return tuple(Turn(role="student" if (len(said) - at) % 2 else "teacher", text=text) for at, text in enumerate(said))


FORMAT = Format(
    name="CIMA",
    tasks="cima",
    fields=frozenset({"conv", "seq", "alt", "img", "past_convo", "tutor_response", "tutor_actions"}),
    read=cima,
)

"""MRBench (Maurya et al., NAACL 2025): four judgements of a tutor's response to a student's mistake."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from schemas.interaction import Interaction, Payload, Turn
from streams.readers.form import Format, Pace, Recorded, Row, slug

JUDGEMENTS = ("Mistake_Identification", "Mistake_Location", "Providing_Guidance", "Actionability")

_SPEAKERS = re.compile(r"(?:^|\n)\s*(Tutor|Turor|Student)\s*:")  # "Turor" stands in the source


def mrbench(rows: Iterable[Row]) -> Iterator[Recorded]:
    """Each response with its judgements: ``No``, ``To some extent`` or ``Yes``; its context is the dialogue before.

    Responses to one dialogue are alternatives, none of which heard the others. Who wrote one is not read: an app that
    asks for a judgement does not tell.
    """
    pace = Pace()
    for row in rows:
        session = slug(row["conv"])
        yield Recorded(
            Interaction(
                session=session,
                role="teacher",
                payload=Payload(text=row["response"], context=turns(row["history"])),
                subject="mathematics",
                language="en",
            ),
            id=f"{session}-{row['seq']}",
            session=session,
            time_s=pace.begin(session, row["response"]),
            labels=tuple((name.lower(), row["labels"][name]) for name in JUDGEMENTS),
        )


def turns(history: str) -> tuple[Turn, ...]:
    """The turns of a dialogue written as lines that begin with ``Tutor:`` or ``Student:``, oldest first."""
    _, *parts = _SPEAKERS.split(history.replace("\xa0", " "))
    return tuple(
        Turn(role="student" if speaker == "Student" else "teacher", text=text.strip())
        for speaker, text in zip(parts[::2], parts[1::2], strict=True)
    )


FORMAT = Format(
    name="MRBench",
    tasks="mrbench",
    fields=frozenset({"conv", "seq", "history", "response", "labels"}),
    read=mrbench,
)

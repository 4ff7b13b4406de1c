"""TalkMoves (Suresh et al., LREC 2022): lessons in mathematics, each sentence labelled with its talk move."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from schemas.interaction import Interaction, Payload, SpeakerRole, Timing
from streams.readers.form import PAUSE_S, WORDS_PER_SECOND, Format, Recorded, Row, slug

ROLES: dict[str | None, SpeakerRole] = {"T": "teacher", "S": "student", None: "unknown"}


def talkmoves(rows: Iterable[Row]) -> Iterator[Recorded]:
    """Each sentence, labelled ``teacher_move`` or ``student_move``.

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


FORMAT = Format(
    name="TalkMoves",
    tasks="talkmoves",
    fields=frozenset({"conv", "group", "seq", "turn", "t", "role", "text", "move", "label"}),
    read=talkmoves,
)

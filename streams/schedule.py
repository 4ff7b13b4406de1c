"""When recorded lessons would reach us: many at once, on one clock, each judgement some time after what it judges."""

from __future__ import annotations

import hashlib
import heapq
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from statistics import NormalDist

from schemas.envelope import Envelope, derive_id
from schemas.errors import ConfigurationError
from schemas.event import Event
from schemas.feedback import Feedback, Label
from schemas.interaction import Interaction
from streams.readers.form import Recorded

START = datetime(2026, 1, 5, 8, tzinfo=UTC)
LONGEST_BREAK_S = 600.0  # between a lesson and the next one in its place
ANNOTATORS = 12

Classroom = Event[Interaction] | Event[Feedback]


@dataclass(frozen=True, slots=True)
class Judged:
    """A judgement, given ``delay_s`` after its interaction in event time."""

    id: str
    delay_s: float
    feedback: Feedback


@dataclass(frozen=True, slots=True)
class Said:
    """An interaction, ``at_s`` into its lesson, that arrives ``lag_s`` later, and what is said about it."""

    id: str
    at_s: float
    interaction: Interaction
    judged: tuple[Judged, ...] = ()
    lag_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Play:
    """How lessons are laid on one clock: from ``start`` on, ``in_flight`` at once, with breaks drawn by ``seed``."""

    seed: int
    in_flight: int = 40
    start: datetime = START
    tenant: str = "default"
    source: str = "recorded"


def schedule(
    recorded: Iterable[Recorded],
    seed: int,
    *,
    events: int | None = None,
    in_flight: int = 40,
    median_delay_s: float = 120.0,
    sigma: float = 1.0,
    start: datetime = START,
    tenant: str = "default",
    source: str = "recorded",
) -> Iterator[Classroom]:
    """``recorded`` as interactions and late feedback, in the order of arrival; the same arguments give the same events.

    Event time is the common clock that begins at ``start``; recorded dates are not kept. A label becomes feedback after
    a log-normal delay, a function of ``seed`` and its id alone. ``events`` limits the interactions, all of whose
    feedback follows. Annotators are not recorded: a lesson's labels are put under one of ``ANNOTATORS`` pseudonyms.
    Memory holds ``in_flight`` lessons and the feedback under way.
    """

    def lessons() -> Iterator[list[Said]]:
        met: set[str] = set()
        for session, lesson in groupby(recorded, key=lambda one: one.session):
            if session in met:
                raise ConfigurationError(f"session {session} is in two pieces; sort the data set by session")
            met.add(session)
            yield [_said(one, seed, median_delay_s, sigma) for one in lesson]

    return play(lessons(), Play(seed, in_flight, start, tenant, source), events)


def play(lessons: Iterable[Iterable[Said]], how: Play, events: int | None = None) -> Iterator[Classroom]:
    """The events of ``lessons`` in the order of arrival: ``in_flight`` lessons at once, another when one ends.

    The first ``events`` interactions, in event time, and all their judgements. Raises ConfigurationError unless
    ``in_flight`` is positive.
    """
    if how.in_flight < 1:
        raise ConfigurationError(f"in_flight is {how.in_flight}; at least one lesson must run")
    waiting = iter(lessons)
    # Entries are (seconds on the common clock, id, what); ids are unique, so that nothing else is ever compared.
    due: list[tuple[float, str, Classroom | _Lesson]] = []
    for _ in range(how.in_flight):
        _begin(due, waiting, 0.0, how.seed)
    begun = 0
    while due:
        at_s, _, what = heapq.heappop(due)
        if isinstance(what, Event):
            yield what
        elif events is None or begun < events:
            begun += 1
            for arrival_s, event in _events(what.said, at_s, how):
                heapq.heappush(due, (arrival_s, event.id, event))
            following = next(what.rest, None)
            if following is None:
                _begin(due, waiting, at_s, how.seed)
            else:
                _wait(due, _Lesson(what.begins_s, following, what.rest))


def delay_s(seed: int, name: str, median_s: float, sigma: float) -> float:
    """A log-normal delay, a function of ``seed`` and ``name``: median * exp(sigma * z), z standard normal."""
    return median_s * math.exp(sigma * NormalDist().inv_cdf(uniform(seed, name)))


def uniform(seed: int, name: str) -> float:
    """A number in (0, 1), spread evenly over names."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return (int.from_bytes(digest[:6], "big") + 0.5) / 2**48


@dataclass(frozen=True, slots=True)
class _Lesson:
    """A lesson under way: when it began on the common clock, what is said next, and the rest."""

    begins_s: float
    said: Said
    rest: Iterator[Said]


def _begin(
    due: list[tuple[float, str, Classroom | _Lesson]], waiting: Iterator[Iterable[Said]], now_s: float, seed: int
) -> None:
    for lesson in waiting:
        rest = iter(lesson)
        if (first := next(rest, None)) is not None:
            break_s = LONGEST_BREAK_S * uniform(seed, first.interaction.session)
            return _wait(due, _Lesson(now_s + break_s, first, rest))
    return None


def _wait(due: list[tuple[float, str, Classroom | _Lesson]], lesson: _Lesson) -> None:
    heapq.heappush(due, (lesson.begins_s + lesson.said.at_s, f"{lesson.said.id} begins", lesson))


def _events(said: Said, at_s: float, how: Play) -> Iterator[tuple[float, Classroom]]:
    """The interaction and its judgements, each with its time of arrival on the common clock."""
    yield (
        at_s + said.lag_s,
        Event(_envelope(said.id, said.interaction, at_s, said.interaction.session, how), said.interaction),
    )
    for judged in said.judged:
        when_s = at_s + judged.delay_s
        yield (
            when_s,
            Event(_envelope(judged.id, judged.feedback, when_s, judged.feedback.interaction, how), judged.feedback),
        )


def _envelope(id_: str, data: Interaction | Feedback, at_s: float, subject: str, how: Play) -> Envelope:
    return Envelope(
        id=id_,
        source=how.source,
        type=data.TYPE,
        time=how.start + timedelta(milliseconds=round(at_s * 1000)),
        subject=subject,
        schema_version=data.VERSION,
        tenant=how.tenant,
    )


def _said(one: Recorded, seed: int, median_s: float, sigma: float) -> Said:
    rater = f"annotator-{1 + int(ANNOTATORS * uniform(0, one.session))}"
    judged = []
    for task, value in one.labels:
        id_ = derive_id("feedback", one.id, task, rater)
        judgement = Label(kind="label", task=task, value=value)
        feedback = Feedback(session=one.session, interaction=one.id, rater=rater, judgement=judgement)
        judged.append(Judged(id_, delay_s(seed, id_, median_s, sigma), feedback))
    return Said(one.id, one.time_s, one.interaction, tuple(judged))

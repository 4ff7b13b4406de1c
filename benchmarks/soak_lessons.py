"""Lessons without end, as time goes: new learners in each, new experts now and then, judgements soon and late."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import dropwhile, takewhile
from zlib import crc32

from schemas.event import Event
from schemas.interaction import Interaction
from streams.schedule import START, Classroom
from streams.simulated import simulate

MIXED_S = 1_800.0  # after so long, three lessons and breaks, as many begin at any time as at any other
WINDOW_S = 1_800.0
STAFF = 100  # lessons that the same experts judge
PAGES = 500  # of which something is said, so that hardly anything is said twice, and caches of sentences fill
TRIED = 20  # lessons at once that a lesson's pace is taken from


def lessons(seed: int, at_once: int, tenant: str, start: datetime) -> Iterator[Classroom]:
    """The simulated lessons under way at ``start`` and all that follow, ``at_once`` at once, in the order of arrival.

    A lesson's learners come to no other, and its experts judge ``STAFF`` lessons. Event time begins at ``start``; half
    of all judgements come more than two minutes after what they judge.
    """
    before = timedelta(seconds=MIXED_S)
    said = simulate(seed, sys.maxsize, in_flight=at_once, start=start - before, tenant=tenant)
    return map(renamed, dropwhile(lambda event: event.envelope.time < start, said))


def renamed(event: Classroom) -> Classroom:
    """``event`` with the names of its own lesson's people, and said of some page."""
    data = event.data
    number = int(data.session.rpartition("-")[2])
    if not isinstance(data, Interaction):
        return Event(event.envelope, data.model_copy(update={"rater": f"{data.rater}-{number // STAFF}"}))
    page = 1 + crc32(event.id.encode()) % PAGES
    payload = data.payload.model_copy(update={"text": f"Page {page}: {data.payload.text}"})
    learner = data.learner and f"{data.learner}-of-{number}"
    return Event(event.envelope, data.model_copy(update={"payload": payload, "learner": learner}))


def per_lesson_s(seed: int) -> float:
    """Events a second, interactions and feedback, that come for each lesson at once."""
    end = START + timedelta(seconds=WINDOW_S)
    found = takewhile(lambda event: event.envelope.time < end, lessons(seed, TRIED, "tried", START))
    return sum(1 for _ in found) / WINDOW_S / TRIED

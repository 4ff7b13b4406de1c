"""Rows about the world outside: clocks that jump, and somebody who means harm."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

import numpy as np
from pydantic_core import from_json

from learners.entry import Entry, MemorySettings
from learners.request import NEW, REPLAYED, decode_request
from learners.settings import LearningSettings
from schemas import topics
from schemas.envelope import derive_id
from schemas.event import Event
from schemas.feedback import Feedback, Label
from state.store import Shard
from streams.chaos.infra import infra
from streams.chaos.matrix import Row
from streams.chaos.stand import Stand
from streams.clock import Shift
from streams.play import Pace, play
from streams.roles import ROLES
from streams.schedule import Classroom
from streams.simulated import simulate

HOUR_S = 3600.0
JUMPS_S = (HOUR_S, -HOUR_S, 30 * 24 * HOUR_S, 0.0)  # ahead, back, ahead by a month, right again
ADVERSARY = "adversary"
EVENTS = 240  # interactions
ROUNDING = 1e-5  # of a float32


def clocks_jump(here: Stand) -> None:
    """The wall clocks of the roles jump; those of broker and apps do not."""
    shift = Shift(here.folder / "shift")
    with environment(shift.environment):
        here.start(*ROLES)
    here.play()
    for seconds in JUMPS_S:
        here.reach("session", here.random.randint(20, 60))
        shift.set(seconds)
        here.recovered("outage", *ROLES)
        here.reach("worker", 2)
        told = here.records(topics.DELTA)[-1]
        ahead = datetime.fromisoformat(told.header("ce_time") or "").timestamp() - told.timestamp_ms / 1000
        here.must(abs(ahead - seconds) < HOUR_S / 2, f"the worker's clock is {ahead:.0f} s ahead, to be {seconds:.0f}")
    expired = Counter(from_json(record.value or b"{}").get("fate") for record in here.records(topics.FATE))["expired"]
    here.must(not expired, f"{expired} inputs expired before their time")


@contextmanager
def environment(more: dict[str, str]) -> Iterator[None]:
    """What children are started with, until the block ends."""
    before = {name: os.environ.get(name) for name in more}
    os.environ.update(more)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def adversary(here: Stand) -> None:
    """For every label of the experts comes another one, wrong, and always of the same rater."""
    crew = here.start(*ROLES)
    lessons = doubled(simulate(here.seed, EVENTS, tenant=here.settings.tenant))
    play(lessons, here.broker, Pace(events_per_s=160.0))
    here.settle()
    crew.stop()
    most = MemorySettings(**here.settings.memory).rater_share  # type: ignore[arg-type]  # settings were checked
    gradient = [
        share for value in here.records(topics.TRAIN_REQUEST) for share in of_gradient(value.value or b"", most)
    ]
    here.note("feedback_share", of_feedback(here))
    here.note("gradient_share", max(gradient))
    here.must(max(gradient) <= most + ROUNDING, f"the adversary has {max(gradient):.3f} of a gradient, above {most}")
    held = remembered(here)
    cap = MemorySettings(**here.settings.memory).cap(most)  # type: ignore[arg-type]  # as above
    here.note("memory_share", held[ADVERSARY] / max(held.total(), 1))
    here.must(held[ADVERSARY] <= cap, f"the adversary has {held[ADVERSARY]} places in memory, above {cap}")


def doubled(lessons: Iterator[Classroom]) -> Iterator[Classroom]:
    """The same, and after each label one of the adversary's, of another class."""
    classes: dict[str, list[object]] = {}
    for event in lessons:
        yield event
        data = event.data
        if isinstance(data, Feedback) and isinstance(data.judgement, Label):
            said = data.judgement
            known = classes.setdefault(said.task, [])
            if said.value not in known:
                known.append(said.value)
            if wrong := [value for value in known if value != said.value]:
                label = said.model_copy(update={"value": wrong[0]})
                lie = data.model_copy(update={"rater": ADVERSARY, "judgement": label})
                yield Event(replace(event.envelope, id=derive_id("lie", event.id)), lie)


def of_feedback(here: Stand) -> float:
    """What share of all feedback is the adversary's."""
    raters = Counter(from_json(record.value or b"{}").get("rater") for record in here.records(topics.FEEDBACK))
    return raters[ADVERSARY] / max(raters.total(), 1)


def of_gradient(value: bytes, most: float) -> Iterator[float]:
    """What share of a step's gradient is the adversary's, unless so few raters are there that each must have more."""
    request, weights = decode_request(value)
    examples = (*request.new, *request.replayed)
    if request.kind != "step" or len({example.rater for example in examples}) * most < 1:
        return
    again = LearningSettings().replay_weight / max(len(request.replayed), 1)
    parts = np.concatenate([weights[NEW] / len(request.new), weights[REPLAYED] * again])
    mine = np.array([example.rater == ADVERSARY for example in examples])
    yield float(parts[mine].sum() / parts.sum())


def remembered(here: Stand) -> Counter[str | None]:
    """How many examples of each rater the replay memory holds."""
    shard, token = Shard(here.settings.tenant, "curate", 0), "auditor"
    taken = here.store.take(shard, token)
    held = here.store.read_all(shard, token, taken.offsets)
    return Counter(Entry(*from_json(value)).rater for key, value in held.items() if key.startswith("m:"))


ROWS = (
    Row("clocks-jump", "the roles' wall clocks jump an hour ahead, one back, a month ahead, and are right again",
        "nothing expires before its time, and nobody waits until a clock has caught up", clocks_jump, on=infra),
    Row("adversary", "one rater sends half of all feedback, all of it wrong",
        "it has no more of a gradient or of the memory than its cap", adversary, on=infra,
        settings={"memory": {"capacity": 400, "rater_share": 0.3}}),
)  # fmt: skip

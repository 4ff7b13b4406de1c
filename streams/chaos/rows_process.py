"""Rows about processes that die: at random, at each named step of a batch, again and again, by a poison."""

from __future__ import annotations

import os
import signal
import time
from contextlib import closing
from functools import partial

from schemas import codec, topics
from schemas.interaction import Interaction, Payload
from schemas.prediction import DeadLetter
from streams import failpoints
from streams.chaos.matrix import Row
from streams.chaos.stand import Stand
from streams.client import event, message_of
from streams.engines.tries import MOST
from streams.nursery import Nursery
from streams.roles import ROLES

KILLS_A_ROUND = 3
KILLS_IN_A_ROW = 50
MOMENTS = 12  # at most so many passages before a step at which a role is killed


def killed(role: str, here: Stand) -> None:
    """SIGKILL of one role, three times, each after a seeded number of outcomes."""
    crew = here.start(*ROLES)
    here.play()
    for _ in range(KILLS_A_ROUND):
        here.reach(role, here.random.randint(3, 12))
        crew.kill(role)
        here.recovered("restart", role)


def killed_at(step: str, here: Stand) -> None:
    """A role kills itself at ``step``; which role and which passage is seeded."""
    role = here.random.choice(who_comes_by(step))
    passage = here.random.randint(2, MOMENTS) if step != failpoints.BEFORE_CHECKPOINT else 2
    others = here.start(*(other for other in ROLES if other != role))
    doomed = here.start(role, instance="doomed", failpoint=f"{step}:{passage}")
    here.play()
    here.wait_until(lambda: doomed.deaths, f"{role} comes by {step} for the {passage}th time")
    here.recovered("restart", role)
    here.must(doomed.deaths == [(role, -9)], f"{role} died of something else: {doomed.deaths}")
    here.must(not others.deaths, f"others died, too: {others.deaths}")


def who_comes_by(step: str) -> tuple[str, ...]:
    """The roles that come by ``step`` often; a batch of curate's seldom has two outputs."""
    if step in failpoints.OF_THE_WORKER:
        return ("worker",)
    return ("session",) if step == failpoints.BETWEEN_OUTPUTS else ("session", "curate")


def fifty_kills(here: Stand) -> None:
    """Fifty SIGKILLs, of one to three roles at once, each time as soon as those before work again."""
    crew, left = here.start(*ROLES), KILLS_IN_A_ROW
    here.play()
    while left:
        doomed = here.random.sample(sorted(ROLES), min(here.random.randint(1, 3), left))
        here.reach(doomed[0], here.random.randint(1, 3))
        for role in doomed:
            crew.kill(role)
        here.recovered("restart", *doomed)
        left -= len(doomed)
    here.must(len(crew.deaths) == KILLS_IN_A_ROW, f"{len(crew.deaths)} deaths, {KILLS_IN_A_ROW} kills")


def nursery_killed(here: Stand) -> None:
    """SIGKILL of the process that all roles are forked from, which takes them along."""
    with closing(Nursery()) as nursery:
        crew = here.start(*ROLES, nursery=nursery)
        here.play()
        here.reach("session", here.random.randint(20, 60))
        lives = [child.process for child in crew.supervisor.children.values()]
        os.kill(nursery.pid, signal.SIGKILL)
        for process in lives:
            process.wait(10.0)
        here.recovered("cold", *ROLES)
        here.must(sorted(role for role, _ in crew.deaths) == sorted(ROLES), f"not each role once: {crew.deaths}")


def poison(here: Stand) -> None:
    """An interaction that kills the session role whenever it is about to be decided."""
    bad, here.poisons = f"poison-{here.seed}", 1
    here.start("curate", "worker")
    doomed = here.start("session", instance="doomed", failpoint=f"{failpoints.POISON}:{bad}")
    here.play()
    here.reach("session", here.random.randint(10, 60))
    begun = time.time()
    made = event(Interaction(session=f"session-{bad}", role="teacher", payload=Payload(text="Why?")),
                 tenant=here.settings.tenant, source="chaos", id=bad)  # fmt: skip
    producer = here.broker.producer()
    producer.send(message_of(made, here.broker.partitions()), lambda offset, error: None)
    producer.flush(10.0)
    letters = topics.dlq(topics.INTERACTION)
    here.wait_until(lambda: here.records(letters), f"{bad} is led aside", 25)
    here.recovered("outage", "session")
    (letter,) = here.records(letters)
    found = codec.decode_data(DeadLetter, letter.value or b"")
    here.note("seconds_to_quarantine", letter.timestamp_ms / 1000 - begun)
    here.note("deaths", len(doomed.deaths))
    here.must(found.reason == "poison", f"the letter says {found.reason}: {found.detail}")
    here.must(MOST <= len(doomed.deaths) <= MOST + 2, f"it killed {len(doomed.deaths)} times, not about {MOST}")


def at_random(role: str) -> Row:
    """The row of a role that is killed at work."""
    injects = f"SIGKILL of {role} at {KILLS_A_ROUND} seeded moments"
    return Row(f"kill-{role}", injects, "it is started again and goes on where it was", partial(killed, role))


def at_step(step: str) -> Row:
    """The row of a named step."""
    who = " or ".join(who_comes_by(step))
    return Row(
        f"kill-{step}",
        f"{who} kills itself {step.replace('-', ' ')}, at a seeded passage",
        "what was decided stays so, and leaves once",
        partial(killed_at, step),
        {"snapshot_steps": 5} if who == "worker" else {},
    )


ROWS = (
    *map(at_random, ROLES),
    *map(at_step, (*failpoints.OF_A_SHARD, *failpoints.OF_THE_WORKER)),
    Row("kill-nursery", "SIGKILL of the process that a machine's roles are forked from, and so of them all",
        "another is started, and forks them again", nursery_killed),
    Row("poison", "an event that kills the session role whenever it is about to be decided",
        f"after {MOST} tries alone it is a dead letter `poison`, and the rest of its partition flows", poison),
    Row("fifty-kills", f"{KILLS_IN_A_ROW} SIGKILLs, of one to three seeded roles at once", "as one kill", fifty_kills),
)  # fmt: skip

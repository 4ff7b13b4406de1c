"""Rows about processes that live: stopped and back as zombies, raced, replaced, slow, of the next version."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import closing

from schemas import topics
from streams.audit import Audit
from streams.chaos.crew import Crew
from streams.chaos.matrix import Row
from streams.chaos.stand import Stand
from streams.chaos.tree import next_tree
from streams.message import Record
from streams.nursery import Nursery
from streams.roles import ROLES
from streams.stage import rss_mb

COMERS = 6
BACKLOG = 3_000  # interactions, and as many feedbacks: more than the engine lets wait for two partitions
MOST_GROWTH_MB = 96.0  # librdkafka's 16 MB, some 10^4 records decoded, and what Python keeps
IMPORTED_S = 120.0  # while two cores do much else
SLOW_TURNS, SLOW_S, QUICK_S = 40, 0.09, 0.03


def owners(here: Stand) -> dict[str, Crew]:
    """By role, a crew that has partitions of it; of ``session`` a seeded one."""
    found = {}
    for role in ROLES:
        having = [crew for crew in here.crews if crew.partitions(role)]
        here.must(having, f"nobody has a partition of {role}")
        found[role] = here.random.choice(having)
    return found


def two_of_each(here: Stand) -> dict[str, Crew]:
    """Every role by two instances, at work; who has what."""
    here.start(*ROLES, instance="first")
    here.start(*ROLES, instance="second")
    here.play()
    here.reach("session", here.random.randint(40, 80))
    here.wait_until(lambda: all(any(crew.partitions(role) for crew in here.crews) for role in ROLES), "all have owners")
    return owners(here)


def takeover(here: Stand) -> None:
    """The owner of each role dies and is not started again."""
    lost = {role: (crew.partitions(role), crew.lose(role)) for role, crew in two_of_each(here).items()}
    for role, (partitions, at_s) in lost.items():
        here.recovered("takeover", role, at_s=at_s, partitions=partitions)


def zombie(here: Stand) -> None:
    """The owner of each role stands still past its session time; it comes back when another has taken its place."""
    stopped = {role: (crew, crew.partitions(role), crew.pid(role)) for role, crew in two_of_each(here).items()}
    at_s = time.time()
    for role, (crew, _, _) in stopped.items():
        crew.kill(role, signal.SIGSTOP)
    try:
        for role, (_, lost, _) in stopped.items():
            here.recovered("takeover", role, at_s=at_s, partitions=lost)
    finally:
        for role, (crew, _, _) in stopped.items():
            crew.kill(role, signal.SIGCONT)
    here.recovered("outage", *ROLES)
    here.reach("session", here.random.randint(40, 80))
    same = {role for role, (crew, _, pid) in stopped.items() if crew.pid(role) == pid}
    here.note("zombies_that_lived_on", len(same))


def rebalance_storm(here: Stand) -> None:
    """Session roles without a name of their own come and go each second."""
    here.start("curate", "worker")
    here.start("session", instance="")
    here.play()
    here.reach("session", here.random.randint(20, 60))
    for _ in range(COMERS):
        comer = here.begin("session", instance="")
        threading.Event().wait(here.random.uniform(0.5, 1.5))  # the storm is made of time
        comer.stop()
        here.crews.remove(comer)
    here.recovered("outage", *ROLES)


def slow_consumer(here: Stand) -> None:
    """A backlog for a session role that is let run a quarter of the time: memory stays bounded, and it catches up."""
    crew = here.start(*ROLES)
    pid = crew.pid("session")
    here.play(400, None)
    here.reach("session", 300)
    before = peak = rss_mb([pid])
    wanted = here.done("session") + BACKLOG
    here.play(BACKLOG, None)
    pause = threading.Event()
    for _ in range(SLOW_TURNS):
        crew.kill("session", signal.SIGSTOP)
        pause.wait(SLOW_S)
        crew.kill("session", signal.SIGCONT)
        pause.wait(QUICK_S)
        peak = max(peak, rss_mb([pid]))
    quick_again = time.monotonic()
    here.wait_until(lambda: here.done("session") >= wanted, f"{BACKLOG} interactions are scored")
    here.note("seconds_to_catch_up", time.monotonic() - quick_again)
    here.note("rss_growth_mb", peak - before)
    here.must(crew.pid("session") == pid, f"the session role died: {crew.deaths}")
    here.must(peak - before < MOST_GROWTH_MB, f"memory grew by {peak - before:.0f} MB, at most {MOST_GROWTH_MB:.0f}")


def rolling_upgrade(here: Stand) -> Audit:
    """Each role is replaced by one whose schemas have a minor version more, in a seeded order; one is taken back."""
    next_version = {"PYTHONPATH": str(next_tree(here.folder / "next")), "PYTHONSAFEPATH": "1"}
    order = here.random.sample(sorted(ROLES), len(ROLES))
    with closing(Nursery(next_version)) as nursery:  # it imports while the present version goes to work
        crews = {role: here.start(role, instance=role) for role in ROLES}
        nursery.bear(["--help"], os.environ, here.folder / "next.log", IMPORTED_S).wait(IMPORTED_S)  # it has imported
        here.play()
        for role in order:
            here.reach("session", here.random.randint(30, 60))
            crews[role] = replaced(here, role, crews[role], nursery)
        here.reach("worker", 5)
        back = here.random.choice(order)
        crews[back] = replaced(here, back, crews[back], None)
        here.reach("session", 30)
        spoken = versions(here.records(topics.PREDICTION)), versions(here.records(topics.TRAIN_STEP))
        here.must(all(len(of) == 2 for of in spoken), f"not both versions have spoken: {spoken}")
        found = here.settle()
        for crew in list(crews.values()):  # before their nursery ends
            crew.stop()
            here.crews.remove(crew)
    return found


def replaced(here: Stand, role: str, crew: Crew, nursery: Nursery | None) -> Crew:
    """``role`` drained and started again from ``nursery`` under its own name; how long nothing came of it is noted."""
    crew.stop()
    here.crews.remove(crew)
    at_s = time.time()
    found = here.begin(role, instance=role, nursery=nursery)
    here.recovered("upgrade", role, at_s=at_s)
    return found


def versions(records: Sequence[Record]) -> set[str]:
    """The schema versions that these records name."""
    return {record.header("ce_dataschema") or "" for record in records}


ROWS = (
    Row("takeover", "the machine of the owner of each role is lost, another instance stands by",
        "the other takes over within the session timeout and five seconds", takeover),
    Row("zombie", "SIGSTOP of the owner of each role past its session time; it goes on when another has its place",
        "it is refused, and nothing is decided twice", zombie),
    Row("rebalance-storm", f"{COMERS} session roles come and go, one a second", "no trace is left",
        rebalance_storm),
    Row("slow-consumer", f"{2 * BACKLOG} records at once for a session role that runs a quarter of the time",
        f"its memory grows by less than {MOST_GROWTH_MB:.0f} MB, and it catches up", slow_consumer,
        {"batch": 200, "new_per_request": 64}),
    Row("rolling-upgrade", "each role in turn is replaced by the next minor schema version, and one is taken back",
        "old and new read each other's events and state", rolling_upgrade),
)  # fmt: skip

"""Roles and brokers are killed at work: every input keeps its one outcome, and the model is what its log folds to."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from random import Random

import pytest
from stand import eventually
from town import Town, empty_town

from deploy.kafka.broker import Broker
from learners.fingerprint import fix_threads
from learners.model import served_digest
from schemas import topics
from streams.audit import Audit
from streams.blobs import Blobs
from streams.health import HealthServer, Limits
from streams.refold import check, refold
from streams.roles import ROLES
from streams.stage import environment_of
from streams.supervisor import STOP_S, Supervisor

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(300)]

SEED = 7
EVENTS = 150  # of a part of the run; one role is killed in each
OUTCOME = {"session": topics.PREDICTION, "curate": topics.TRAIN_REQUEST, "worker": topics.TRAIN_STEP}
MANY_SMALL = {"batch": 20, "new_per_request": 8, "replayed_per_request": 8, "delta_s": 0.05, "snapshot_steps": 10}


@dataclass
class Run:
    """What a run of processes came to: deaths as role and status, seconds that each took to stop when told to."""

    town: Town
    audit: Audit
    deaths: list[tuple[str, int]]
    stopped: dict[str, tuple[int, float]]


@pytest.fixture(scope="module")
def ran(kafka: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    random, folder = Random(SEED), tmp_path_factory.mktemp("kills")
    deaths: list[tuple[str, int]] = []
    with empty_town(kafka, redis_url, folder / "blobs", instance="kills", **MANY_SMALL) as here:
        given = environment_of(here.settings.model_dump(mode="json", exclude_none=True))
        roles = Supervisor(tuple(ROLES), given, folder, ports=True, on_death=lambda *death: deaths.append(death))
        roles.start()
        eventually(roles.ready, "all roles are ready")
        for part, role in enumerate(random.sample(sorted(ROLES), len(ROLES))):
            moment = count(here, role) + random.randint(1, 8)
            here.play(EVENTS, seed=part)
            eventually(lambda role=role, moment=moment: count(here, role) >= moment, f"{role} is in the middle")
            kill(roles, role)
            roles.tend()
        eventually(roles.ready, "all roles are back")
        hang(here, roles)
        before = {role: count(here, role) for role in ROLES}
        here.play(EVENTS, seed=len(ROLES))
        eventually(lambda: all(count(here, role) > before[role] for role in ROLES), "all roles are at work")
        stopped = {role: terminate(roles, role) for role in ROLES}
        here.start(*ROLES)
        yield Run(here, here.settle(), deaths, stopped)


def count(here: Town, role: str) -> int:
    """How many outcomes of a role stand in the log; nobody else is at work."""
    topic = OUTCOME[role].name
    places = range(here.counts[topic])
    return sum(here.broker.ends(topic, place)[1] - here.begun[topic, place] for place in places)


def kill(roles: Supervisor, role: str) -> None:
    process = roles.children[role].process
    process.kill()
    process.wait()


def hang(here: Town, roles: Supervisor) -> None:
    """Let every process stand still until others have taken its place, and then go on as if nothing had happened."""
    others = here.start(*ROLES, instance=None)
    here.play(EVENTS, seed=len(ROLES) + 1)
    for child in roles.children.values():
        os.kill(child.process.pid, signal.SIGSTOP)
    try:
        owned = {crew: set(range(here.counts[ROLES[crew.role].inputs[0]])) for crew in others}
        eventually(lambda: all(crew.engine.partitions == wanted for crew, wanted in owned.items()), "others have all")
        before = count(here, "worker")
        here.play(EVENTS, seed=len(ROLES) + 2)
        eventually(lambda: count(here, "worker") > before, "the others are at work")
    finally:
        for child in roles.children.values():
            os.kill(child.process.pid, signal.SIGCONT)
    here.stop(*others)


def terminate(roles: Supervisor, role: str) -> tuple[int, float]:
    """The exit status of a role that is told to stop, and how long it took."""
    process, begun = roles.children[role].process, time.monotonic()
    process.terminate()
    return process.wait(2 * STOP_S), time.monotonic() - begun


def test_each_role_was_killed_once_and_started_again(ran: Run) -> None:
    assert sorted(ran.deaths) == sorted((role, -signal.SIGKILL) for role in ROLES)


def test_nothing_was_lost_or_counted_twice(ran: Run) -> None:
    found = ran.audit
    assert (found.events, found.predictions) == (6 * EVENTS, 6 * EVENTS)
    assert (found.lost, found.duplicated) == (0, 0)
    assert found.ok, (found.verdict, found.findings)


def test_the_model_is_what_its_log_folds_to(ran: Run) -> None:
    here, settings = ran.town, ran.town.settings
    blobs = Blobs(settings.blobs)
    checked = check(here.broker, blobs, settings.tenant, settings.model, "latest")
    assert checked.holds
    assert checked.version == ran.audit.version
    _, end = here.broker.ends(topics.TRAIN_REQUEST.name, 0)
    model, _ = refold(here.broker, blobs, settings.tenant, settings.model, end)
    assert served_digest(model) == ran.audit.digest


def test_every_snapshot_and_delta_that_was_published_is_what_its_requests_fold_to(ran: Run) -> None:
    fix_threads()
    found = ran.town.audit(fold=True)
    assert found.ok, (found.verdict, found.findings)
    assert (found.proven, found.unproven) == (found.deltas + found.checkpoints, 0)
    assert found.shards == ran.town.settings.partitions + 1


def test_a_role_told_to_stop_under_load_ends_in_order_and_in_time(ran: Run) -> None:
    assert {role: status for role, (status, _) in ran.stopped.items()} == dict.fromkeys(ROLES, 0)
    assert max(seconds for _, seconds in ran.stopped.values()) < STOP_S


@pytest.fixture(scope="module")
def over_frail(frail_kafka: Broker, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with empty_town(frail_kafka.bootstrap, redis_url, tmp_path_factory.mktemp("blobs"), **MANY_SMALL) as here:
        here.start(*ROLES)
        yield here


def test_a_broker_that_falls_silent_is_not_health(over_frail: Town, frail_kafka: Broker) -> None:
    limits = Limits(broker_s=4.0)
    judges = {crew.role: partial(crew.verdict, limits) for crew in over_frail.crews}
    health = HealthServer(over_frail.crews[0].metrics, judges)

    def states() -> tuple[int, set[bool]]:
        status, _, body = health.answer("/healthz")
        return status, {found["alive"] for found in json.loads(body).values()}

    eventually(lambda: states() == (200, {True}), "all roles are well")
    os.kill(frail_kafka.pid, signal.SIGSTOP)
    try:
        eventually(lambda: states() == (503, {False}), "no role is alive")
        assert all("silent" in " ".join(judge().why) for judge in judges.values())
    finally:
        os.kill(frail_kafka.pid, signal.SIGCONT)
    eventually(lambda: states() == (200, {True}), "all roles are well again")
    health.close()


def test_roles_go_on_when_their_broker_was_killed_and_came_back(over_frail: Town, frail_kafka: Broker) -> None:
    over_frail.play(EVENTS)
    over_frail.wait_for(topics.PREDICTION, lambda record: True, count=EVENTS // 4)
    frail_kafka.kill()
    frail_kafka.start()
    over_frail.play(EVENTS, seed=2)

    found = over_frail.settle()

    assert (found.events, found.predictions, found.lost, found.duplicated) == (2 * EVENTS, 2 * EVENTS, 0, 0)
    assert found.ok, (found.verdict, found.findings)

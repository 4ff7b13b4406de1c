"""Redis loses everything: what the log holds is adopted, and no input gets a second outcome."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from stand import eventually
from town import Town, empty_town

from deploy.redis.server import RedisServer
from schemas import topics
from streams.audit import Audit
from streams.roles import ROLES

pytestmark = [pytest.mark.kafka, pytest.mark.redis]


@pytest.fixture
def here(kafka: str, own_redis: RedisServer, tmp_path: Path) -> Iterator[Town]:
    with empty_town(kafka, own_redis.url, tmp_path, batch=20) as found:
        yield found


def empty(server: RedisServer) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.flushall()


def assert_whole(found: Audit, events: int) -> None:
    assert (found.events, found.predictions, found.lost, found.duplicated) == (events, events, 0, 0)
    assert found.ok, (found.verdict, found.findings)


def test_what_was_decided_before_redis_was_emptied_stays_decided(here: Town, own_redis: RedisServer) -> None:
    here.start(*ROLES)
    here.play(150)
    before = here.settle()
    here.stop()
    empty(own_redis)

    here.start(*ROLES)
    again = here.settle()
    assert (again.predictions, again.examples, again.requests, again.steps) == (
        before.predictions,
        before.examples,
        before.requests,
        before.steps,
    )
    assert again.resent == 0
    here.play(50, seed=2)

    assert_whole(here.settle(), 200)


def test_redis_may_be_emptied_while_the_roles_are_at_work(here: Town, own_redis: RedisServer) -> None:
    crews = here.start(*ROLES)
    here.play(150)
    here.wait_for(topics.PREDICTION, lambda record: True, count=40)
    empty(own_redis)
    here.play(50, seed=2)

    found = here.settle()

    assert_whole(found, 200)
    refused = [c.metrics.registry.get_sample_value("currere_refusals_total", {"role": c.role}) or 0 for c in crews]
    assert sum(refused) > 0


def test_redis_may_be_killed_and_come_back_while_the_roles_are_at_work(here: Town, own_redis: RedisServer) -> None:
    crews = here.start(*ROLES)
    here.play(150)
    here.wait_for(topics.PREDICTION, lambda record: True, count=40)
    own_redis.kill()
    eventually(lambda: any(crew.engine.vitals.not_taken for crew in crews), "a role says what it waits for")
    own_redis.start()
    here.play(50, seed=2)

    assert_whole(here.settle(), 200)

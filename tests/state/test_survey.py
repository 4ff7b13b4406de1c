"""What the store's servers are found to be, on Redis, on Valkey and on a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
import redis

from schemas.errors import ConfigurationError, StoreUnavailable
from state.redis import RedisStore, without_secrets
from state.store import Commit, Shard
from state.survey import survey


@pytest.fixture(params=["redis", "valkey", "cluster"])
def place(request: pytest.FixtureRequest) -> tuple[str, bool]:
    """A URL, and whether it is a cluster's."""
    return request.getfixturevalue(f"{request.param}_url"), request.param == "cluster"


def at(place: tuple[str, bool], shard: Shard, offset: int) -> None:
    """Leave ``shard`` at an offset."""
    url, cluster = place
    with closing(RedisStore.connect(url, cluster=cluster)) as store:
        store.take(shard, "me")
        store.commit(shard, "me", {}, Commit({f"in/{shard.partition}": offset}, known={"out/0": 99}))


def test_every_shard_of_one_tenant_is_found_with_its_offsets(place: tuple[str, bool], shard: Shard) -> None:
    shards = {Shard(shard.tenant, role, number): number + 3 for role in ("session", "curate") for number in range(5)}
    for each, offset in shards.items():
        at(place, each, offset)
    at(place, Shard(f"{shard.tenant}-other", "session", 0), 7)
    found = survey(place[0], shard.tenant, cluster=place[1])
    assert found.shards == {each: {f"in/{each.partition}": offset} for each, offset in shards.items()}


def test_every_server_that_takes_writes_is_found(place: tuple[str, bool], shard: Shard) -> None:
    found = survey(place[0], shard.tenant, cluster=place[1])
    assert len(found.nodes) == (3 if place[1] else 1)
    for node in found.nodes:
        assert node.info["role"] == "master"
        assert node.settings["maxmemory-policy"] == node.info["maxmemory_policy"] == "noeviction"


def test_a_clock_that_is_behind_ours_is_found_to_be(redis_url: str, shard: Shard) -> None:
    with closing(redis.Redis.from_url(redis_url)) as client:
        seconds, microseconds = client.time()
    there = seconds + microseconds / 1e6
    found = survey(redis_url, shard.tenant, clock=lambda: there + 3_600)
    assert found.nodes[0].ahead_s == pytest.approx(-3_600, abs=60)


@pytest.fixture
def discreet(redis_url: str) -> Iterator[str]:
    """The URL of a user who may not see settings."""
    with closing(redis.Redis.from_url(redis_url)) as client:
        client.execute_command("ACL", "SETUSER", "guest", "on", ">word", "~*", "+@all", "-config")
        yield f"redis://guest:word@{redis_url.rpartition('@')[2].removeprefix('redis://')}"
        client.execute_command("ACL", "DELUSER", "guest")


def test_settings_that_are_hidden_are_not_an_error(discreet: str, shard: Shard) -> None:
    (node,) = survey(discreet, shard.tenant).nodes
    assert node.settings == {}
    assert "maxmemory_policy" in node.info


def test_a_server_that_does_not_answer_is_unavailable_and_no_password_is_told() -> None:
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1") as told:
        survey("redis://ada:s3cret@127.0.0.1:1/0", "tenant")
    assert "s3cret" not in str(told.value)


@pytest.mark.parametrize("url", ["nonsense", "http://127.0.0.1", "redis://ada:s3/cret@host/0"])
def test_what_is_no_url_of_a_store_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(ConfigurationError) as told:
        survey(url, "tenant")
    assert "cret" not in str(told.value)


@pytest.mark.parametrize(
    "url", ["redis://ada:s3cret@host/0", "redis://host/0?password=s3cret", "unix://:s3cret@/run/store.sock?db=1"]
)
def test_what_is_shown_of_a_url_holds_no_secret(url: str) -> None:
    assert "s3cret" not in without_secrets(url)

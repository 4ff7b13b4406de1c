"""Stores to test: one in memory, one on Redis, one on Valkey, each a real server of the test run's own."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from state.keys import shard_keys
from state.memory import MemoryStore
from state.redis import RedisStore
from state.store import Shard, Store
from streams.embedded import EmbeddedRedis

CONFIGURED = "CURRERE_TEST_REDIS"
Remember = Callable[[], Callable[[], None]]


def redis_program() -> Path:
    """Debian's redis-server; without one the test is skipped, but in CI it fails."""
    if found := shutil.which("redis-server"):
        return Path(found)
    if os.environ.get("CI") == "true":
        pytest.fail("no redis-server on PATH; run `make redis` or apt-get install redis-server")
    pytest.skip("no redis-server on PATH; Valkey stands in for it")


def server_program(name: str) -> Path | None:
    return redis_program() if name == "redis" else None


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    with EmbeddedRedis() as server:
        yield server.url


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    if configured := os.environ.get(CONFIGURED):
        yield configured
        return
    with EmbeddedRedis(program=redis_program()) as server:
        yield server.url


@pytest.fixture(params=["redis", "valkey"])
def url(request: pytest.FixtureRequest) -> str:
    """A running server."""
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture(params=["redis", "valkey"])
def program(request: pytest.FixtureRequest) -> Path | None:
    """A server program, for tests that start and kill their own."""
    return server_program(request.param)


@pytest.fixture(params=["memory", "redis", "valkey"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    connected = RedisStore.connect(request.getfixturevalue(f"{request.param}_url"))
    yield connected
    connected.close()


@pytest.fixture
def shard() -> Shard:
    """One that no other test uses."""
    return Shard(f"test-{uuid.uuid4().hex}", "session", 7)


@pytest.fixture
def remember(store: Store, shard: Shard, request: pytest.FixtureRequest) -> Remember:
    """Call it to remember the shard as it is; call what it returns to roll the shard back, past its owner's eyes."""
    if isinstance(store, MemoryStore):
        return lambda: rollback_of_memory(store)
    url = request.getfixturevalue(f"{request.node.callspec.params['store']}_url")
    return lambda: rollback_of_redis(url, shard)


def rollback_of_memory(store: MemoryStore) -> Callable[[], None]:
    snapshot = store.snapshot()
    return lambda: store.restore(snapshot)


def rollback_of_redis(url: str, shard: Shard) -> Callable[[], None]:
    with redis.Redis.from_url(url) as client:
        dumps = {key: client.dump(key) for key in shard_keys(shard)}

    def restore() -> None:
        with redis.Redis.from_url(url) as client:
            client.delete(*dumps)
            for key, dump in dumps.items():
                if dump is not None:
                    client.restore(key, 0, dump)

    return restore

"""Stores to test: in memory, on Redis, on Valkey and on a cluster of three, each a real server of the run's own."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import redis
from cluster_node import ClusterNode, slots_of
from redis.cluster import RedisCluster

from state.keys import shard_keys
from state.memory import MemoryStore
from state.redis import RedisStore
from state.store import Shard, Store
from streams.embedded import EmbeddedRedis, valkey_program

CONFIGURED = "CURRERE_TEST_REDIS"
Remember = Callable[[], Callable[[], None]]


def redis_program() -> Path:
    """Debian's redis-server; without one the test is skipped, but in CI it fails."""
    if found := shutil.which("redis-server"):
        return Path(found)
    if os.environ.get("CI") == "true":
        pytest.fail("no redis-server on PATH; run `make servers` or apt-get install redis-server")
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


@pytest.fixture(scope="session")
def cluster_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Three nodes without replicas; the slots are shared out among them."""
    program = shutil.which("redis-server") or str(valkey_program())
    with ExitStack() as running:
        nodes = [running.enter_context(ClusterNode(program, tmp_path_factory.mktemp("node"))) for _ in range(3)]
        for number, node in enumerate(nodes):
            node.client.execute_command("CLUSTER ADDSLOTSRANGE", *slots_of(number, len(nodes)))
            nodes[0].client.execute_command("CLUSTER MEET", "127.0.0.1", node.port, node.bus_port)
        for node in nodes:
            node.wait_until(lambda info: info["cluster_state"] == "ok" and int(info["cluster_known_nodes"]) == 3)
        yield f"redis://127.0.0.1:{nodes[0].port}"


@pytest.fixture(params=["redis", "valkey"])
def url(request: pytest.FixtureRequest) -> str:
    """A running server."""
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture(params=["redis", "valkey"])
def program(request: pytest.FixtureRequest) -> Path | None:
    """A server program, for tests that start and kill their own."""
    return server_program(request.param)


@pytest.fixture(params=["memory", "redis", "valkey", "cluster"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    url = request.getfixturevalue(f"{request.param}_url")
    connected = RedisStore.connect(url, cluster=request.param == "cluster")
    yield connected
    connected.close()


@pytest.fixture
def shard() -> Shard:
    """One that no other test uses."""
    return Shard(f"test-{uuid.uuid4().hex}", "session", 7)


@pytest.fixture
def remember(store: Store, shard: Shard, request: pytest.FixtureRequest) -> Iterator[Remember]:
    """Call it to remember the shard as it is; call what it returns to roll the shard back, past its owner's eyes."""
    if isinstance(store, MemoryStore):
        yield lambda: rollback_of_memory(store)
        return
    kind = request.node.callspec.params["store"]
    client = RedisCluster if kind == "cluster" else redis.Redis
    with closing(client.from_url(request.getfixturevalue(f"{kind}_url"))) as connected:
        yield lambda: rollback_of_redis(connected, shard)


def rollback_of_memory(store: MemoryStore) -> Callable[[], None]:
    snapshot = store.snapshot()
    return lambda: store.restore(snapshot)


def rollback_of_redis(client: redis.Redis | RedisCluster, shard: Shard) -> Callable[[], None]:
    dumps = {key: client.dump(key) for key in shard_keys(shard)}

    def restore() -> None:
        client.delete(*dumps)
        for key, dump in dumps.items():
            if dump is not None:
                client.restore(key, 0, dump)

    return restore

"""What can go wrong with a server, and that it is told as it is: unavailable or refused, never half done."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from schemas.errors import ConfigurationError, Refused, StoreUnavailable
from state.keys import shard_keys
from state.redis import RedisStore
from state.scripts import SCAN_COUNT
from state.store import Commit, Put, Shard
from streams.embedded import EmbeddedRedis, free_port

SHARD = Shard("acme", "session", 7)
AT_5 = {"in/7": 5}
BEGIN = Commit(AT_5, [Put("a", b"1", due=1.0)], [b"record"])
CALLS: dict[str, Callable[[RedisStore], object]] = {
    "take": lambda store: store.take(SHARD, "me"),
    "read": lambda store: store.read(SHARD, "me", {}, ["a"]),
    "read_all": lambda store: store.read_all(SHARD, "me", {}),
    "commit": lambda store: store.commit(SHARD, "me", {}, BEGIN),
    "offsets": lambda store: store.offsets(SHARD),
    "count": lambda store: store.count(SHARD),
    "ping": lambda store: store.ping(),
}


@pytest.fixture
def server(program: Path | None, tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path, program) as running:
        yield running


@pytest.fixture
def admin(server: EmbeddedRedis) -> Iterator[redis.Redis]:
    with closing(redis.Redis.from_url(server.url)) as client:
        yield client


@pytest.fixture
def store(server: EmbeddedRedis) -> Iterator[RedisStore]:
    with closing(RedisStore.connect(server.url)) as connected:
        yield connected


def password(server: EmbeddedRedis) -> str:
    return urlsplit(server.url).password or ""


def kill(server: EmbeddedRedis) -> None:
    os.kill(server.pid, signal.SIGKILL)


def test_a_killed_server_has_every_acknowledged_commit_when_it_comes_back(program: Path | None, tmp_path: Path) -> None:
    enough, acknowledged = threading.Event(), 0

    def commit_until_it_dies(store: RedisStore) -> None:
        nonlocal acknowledged
        at: dict[str, int] = {}
        try:
            while True:
                after = {"in/7": acknowledged + 1}
                record = b"%d" % (acknowledged + 1)
                store.commit(SHARD, "me", at, Commit(after, [Put(f"key {acknowledged + 1}", record)], [record]))
                at, acknowledged = after, acknowledged + 1
                if acknowledged == 200:
                    enough.set()
        except StoreUnavailable:
            return

    with EmbeddedRedis(tmp_path, program) as first, closing(RedisStore.connect(first.url)) as store:
        store.take(SHARD, "me")
        worker = threading.Thread(target=commit_until_it_dies, args=(store,))
        worker.start()
        assert enough.wait(60)
        kill(first)
        worker.join()
    with EmbeddedRedis(tmp_path, program) as second, closing(RedisStore.connect(second.url)) as store:
        taken = store.take(SHARD, "successor")
        there = taken.offsets["in/7"]
        assert there in (acknowledged, acknowledged + 1)  # the last one may have been made and not answered
        assert taken.outbox == tuple(b"%d" % (i + 1) for i in range(there))
        assert store.read_all(SHARD, "successor", {}) == {f"key {i + 1}": b"%d" % (i + 1) for i in range(there)}


def test_a_token_survives_the_server(program: Path | None, tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path, program) as first, closing(RedisStore.connect(first.url)) as store:
        store.take(SHARD, "former")
        store.take(SHARD, "owner")
        kill(first)
    with EmbeddedRedis(tmp_path, program) as second, closing(RedisStore.connect(second.url)) as store:
        with pytest.raises(Refused, match="another owner"):
            store.commit(SHARD, "former", {}, Commit(AT_5))
        store.commit(SHARD, "owner", {}, Commit(AT_5))


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_killed_server_is_unavailable_and_the_message_names_it(
    server: EmbeddedRedis, store: RedisStore, call: Callable[[RedisStore], object]
) -> None:
    store.ping()
    kill(server)
    with pytest.raises(StoreUnavailable, match=f"127.0.0.1:{server.port}") as caught:
        call(store)
    assert password(server) not in str(caught.value)


def test_a_store_goes_on_with_a_server_that_comes_back(program: Path | None, tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path, program) as first, closing(RedisStore.connect(first.url)) as store:
        store.take(SHARD, "me")
        store.commit(SHARD, "me", {}, BEGIN)
        kill(first)
        with pytest.raises(StoreUnavailable):
            store.commit(SHARD, "me", AT_5, Commit({"in/7": 6}))
        with EmbeddedRedis(tmp_path, program, port=first.port) as second:
            with closing(redis.Redis.from_url(second.url)) as admin:
                admin.config_set("requirepass", password(first))
            assert store.take(SHARD, "me again").outbox == (b"record",)
            store.commit(SHARD, "me again", AT_5, Commit({"in/7": 6}))


def test_a_commit_whose_answer_was_lost_was_sent_once_and_is_found_by_the_next_take(
    server: EmbeddedRedis, admin: redis.Redis
) -> None:
    def scripts_run() -> int:
        return int(admin.info("commandstats")["cmdstat_evalsha"]["calls"])

    with closing(RedisStore.connect(server.url, timeout_s=0.5)) as hasty:
        hasty.take(SHARD, "me")
        for _ in range(2):  # after the first the server knows the script
            hasty.commit(SHARD, "me", {}, Commit({}))
        before = scripts_run()
        os.kill(server.pid, signal.SIGSTOP)
        with pytest.raises(StoreUnavailable, match="slow or cut off"):
            hasty.commit(SHARD, "me", {}, BEGIN)
        os.kill(server.pid, signal.SIGCONT)
    with closing(RedisStore.connect(server.url)) as patient:
        assert patient.take(SHARD, "successor").outbox == (b"record",)
        assert patient.offsets(SHARD) == AT_5
    assert scripts_run() == before + 1


def generations(reader: RedisStore, shard: Shard) -> int | type[Refused]:
    try:
        return len(set(reader.read_all(shard, "me", {}).values()))
    except Refused:
        return Refused


def test_all_values_are_of_one_moment_or_refused_even_for_a_reader_beside_the_owner(url: str, shard: Shard) -> None:
    keys, stopped = [f"key {i}" for i in range(5 * SCAN_COUNT)], threading.Event()
    with closing(RedisStore.connect(url)) as owner, closing(RedisStore.connect(url)) as reader:

        def write_generation(number: int) -> None:
            owner.commit(shard, "me", {}, Commit({}, [Put(key, b"%d" % number) for key in keys]))

        def write_on() -> None:
            for number in itertools.takewhile(lambda _: not stopped.is_set(), itertools.count(1)):
                write_generation(number)

        owner.take(shard, "me")
        write_generation(0)
        writer = threading.Thread(target=write_on)
        writer.start()
        outcomes = [generations(reader, shard) for _ in range(30)]
        stopped.set()
        writer.join()
        assert set(outcomes) <= {1, Refused}
        assert Refused in outcomes
        assert reader.read_all(shard, "me", {}).keys() == set(keys)


def test_a_full_server_takes_all_of_a_commit_or_nothing(store: RedisStore, admin: redis.Redis) -> None:
    store.take(SHARD, "me")
    store.commit(SHARD, "me", {}, BEGIN)
    admin.config_set("maxmemory", 1)
    with pytest.raises(StoreUnavailable, match="raise the server's maxmemory"):
        store.commit(SHARD, "me", AT_5, Commit({"in/7": 6}, [Put("a", b"2")], [b"more"], trim=1))
    assert store.read(SHARD, "me", AT_5, ["a"], 9.0, 9).due == ("a",)  # reading still works
    admin.config_set("maxmemory", 0)
    assert store.read_all(SHARD, "me", AT_5) == {"a": b"1"}
    assert store.take(SHARD, "me").outbox == (b"record",)


@pytest.mark.parametrize("foreign", [1, 2, 3], ids=["values", "due", "outbox"])
def test_a_foreign_value_under_one_of_our_keys_leaves_no_half_commit(
    store: RedisStore, admin: redis.Redis, foreign: int
) -> None:
    store.take(SHARD, "me")
    admin.set(shard_keys(SHARD)[foreign], "not ours")
    with pytest.raises(StoreUnavailable, match="WRONGTYPE"):
        store.commit(SHARD, "me", {}, BEGIN)
    assert store.offsets(SHARD) == {}
    assert [key for key in shard_keys(SHARD)[1:] if admin.exists(key)] == [shard_keys(SHARD)[foreign]]


def test_a_server_that_may_evict_keys_is_a_matter_of_configuration(store: RedisStore, admin: redis.Redis) -> None:
    admin.config_set("maxmemory", "1gb")
    admin.config_set("maxmemory-policy", "allkeys-lru")
    with pytest.raises(ConfigurationError, match="noeviction"):
        store.take(SHARD, "me")


def test_a_server_that_forgot_its_scripts_is_told_them_again(store: RedisStore, admin: redis.Redis) -> None:
    store.take(SHARD, "me")
    store.commit(SHARD, "me", {}, BEGIN)
    admin.script_flush()
    store.commit(SHARD, "me", AT_5, Commit({"in/7": 6}))
    assert store.read(SHARD, "me", {"in/7": 6}, ["a"]).found == {"a": b"1"}


def test_a_token_is_not_firm_without_the_replicas_that_are_asked_for(server: EmbeddedRedis) -> None:
    store = RedisStore.connect(server.url, replicas=1, timeout_s=0.5)
    with closing(store), pytest.raises(StoreUnavailable, match="0 of 1 replicas"):
        store.take(SHARD, "me")


def test_a_firm_token_is_on_the_replica_and_a_replica_takes_no_commits(
    server: EmbeddedRedis, admin: redis.Redis, program: Path | None, tmp_path: Path
) -> None:
    admin.config_set("repl-diskless-sync-delay", 0)
    with EmbeddedRedis(tmp_path / "replica", program) as replica, closing(redis.Redis.from_url(replica.url)) as other:
        other.config_set("masterauth", password(server))
        other.replicaof("127.0.0.1", server.port)
        with closing(RedisStore.connect(server.url, replicas=1, timeout_s=20.0)) as store:
            store.take(SHARD, "me")
        assert other.hget(shard_keys(SHARD)[0], "token") == b"me"
        store = RedisStore.connect(replica.url)
        with closing(store), pytest.raises(StoreUnavailable, match="name the primary"):
            store.commit(SHARD, "me", {}, BEGIN)


def test_a_token_that_the_disk_does_not_confirm_is_not_firm(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as valkey, closing(redis.Redis.from_url(valkey.url)) as admin:
        admin.config_set("appendfsync", "no")
        store = RedisStore.connect(valkey.url, timeout_s=0.5)
        with closing(store), pytest.raises(StoreUnavailable, match="not on disk"):
            store.take(SHARD, "me")


def test_a_user_without_rights_hears_which_are_needed(server: EmbeddedRedis, admin: redis.Redis) -> None:
    admin.acl_setuser("guest", enabled=True, passwords=["+word"], categories=["+@connection"], keys=["*"])
    with closing(RedisStore.connect(f"redis://guest:word@127.0.0.1:{server.port}")) as store:
        store.ping()
        with pytest.raises(StoreUnavailable, match="EVALSHA"):
            store.commit(SHARD, "me", {}, BEGIN)


@pytest.mark.parametrize("cluster", [False, True])
def test_an_address_where_nobody_listens_is_unavailable(cluster: bool) -> None:
    port = free_port()
    with pytest.raises(StoreUnavailable, match=f"127.0.0.1:{port}"):
        RedisStore.connect(f"redis://:secret@127.0.0.1:{port}", cluster).ping()


@pytest.mark.parametrize("url", ["", "localhost:6379", "http://localhost", "redis://localhost:port"])
def test_what_is_no_url_of_a_store_is_a_matter_of_configuration(url: str) -> None:
    with pytest.raises(ConfigurationError, match="redis://"):
        RedisStore.connect(url)

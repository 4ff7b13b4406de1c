"""Rows about Redis: killed, emptied, full, and replaced by a replica that had not heard the last of it."""

from __future__ import annotations

import shutil
from functools import partial

import redis

from state.keys import COMMITS, shard_keys
from state.store import Shard
from streams.chaos.claims import reasons
from streams.chaos.crew import Crew
from streams.chaos.infra import APPEND_ONLY, admin, infra, infra_of, pause
from streams.chaos.matrix import Row
from streams.chaos.proxy import Proxy, Weather
from streams.chaos.stand import Stand
from streams.roles import ROLES

STORED = ("session", "curate")  # the roles that keep what they know in Redis
BURST = 200  # interactions


def at_work(here: Stand) -> Crew:
    """All roles, some way into their work."""
    crew = here.start(*ROLES, kafka=infra_of(here).detour)
    here.play()
    here.reach("session", here.random.randint(20, 80))
    here.reach("curate", 3)
    return crew


def until_they_say(here: Stand, crew: Crew, what: str) -> None:
    """Return once each role that needs Redis says ``what`` of itself."""
    for role in STORED:
        here.wait_until(lambda role=role: what in reasons(crew, role), f"{role} says {what!r} at /healthz")  # type: ignore[misc]  # bound now


def killed(here: Stand) -> None:
    """SIGKILL; what had been acknowledged is in its append-only file."""
    crew, server = at_work(here), infra_of(here).redis_server
    server.kill()
    until_they_say(here, crew, "the store")
    server.start()
    here.recovered("outage", *ROLES)


def emptied(here: Stand) -> None:
    """SIGKILL, and its disk is lost with it."""
    crew, server = at_work(here), infra_of(here).redis_server
    server.kill()
    shutil.rmtree(server.folder / APPEND_ONLY)
    until_they_say(here, crew, "the store")
    server.start()
    here.recovered("outage", *ROLES)


def out_of_memory(here: Stand) -> None:
    """It may take no byte more, and evicts nothing."""
    crew = at_work(here)
    with admin(infra_of(here).redis_server.port) as server:
        server.config_set("maxmemory", 1)
        try:
            until_they_say(here, crew, "raise the server's maxmemory")
        finally:
            server.config_set("maxmemory", 0)
    here.recovered("outage", *ROLES)


def failed_over(here: Stand, *, cut_off: bool) -> None:
    """A replica takes over that has not heard of the last commits: offsets, state and outbox go back together.

    ``cut_off``: just then nothing that roles say reaches the broker; what they decided last is on its way meanwhile.
    """
    from deploy.redis.server import RedisServer

    servers = infra_of(here)
    former = servers.redis_server
    replica = RedisServer(former.folder.with_name(f"replica-{here.settings.tenant}"))
    replica.start()
    with Proxy(former.port) as link, admin(former.port) as old, admin(replica.port) as new:
        old.config_set("repl-diskless-sync-delay", 0)
        new.replicaof("127.0.0.1", link.port)
        at_work(here)
        here.wait_until(lambda: new.info("replication")["master_link_status"] == "up", "the replica follows")
        here.reach("session", 5)
        link.set(Weather.DROP)
        here.reach("session", here.random.randint(20, 80))
        here.reach("curate", 1)
        if cut_off:
            here.play(BURST, per_s=None)
            here.reach("session", 5)
            servers.to_broker.set(Weather.DROP)
            pause(1.0)  # what is at hand is decided
        known = commits(here, old)
        former.kill()
        new.replicaof("NO", "ONE")
        forgotten = known - commits(here, new)
    servers.to_redis.switch(replica.port)
    servers.to_broker.set(Weather.CLEAR)
    servers.redis_server = replica
    shutil.rmtree(former.folder)
    here.note("forgotten_commits", forgotten)
    here.must(forgotten > 0, "the replica did not lag, so nothing was tried")
    here.recovered("outage", *ROLES)


def commits(here: Stand, server: redis.Redis) -> int:
    """How many commits a server knows of the tenant's session shards."""
    metas = [shard_keys(Shard(here.settings.tenant, "session", n))[0] for n in range(here.settings.partitions)]
    return sum(int(server.hget(meta, COMMITS) or 0) for meta in metas)


ROWS = (
    Row("redis-killed", "SIGKILL of Redis at work, started again when the roles have noticed",
        "roles say that they wait for it, and go on from its append-only file", killed, on=infra),
    Row("redis-empty", "SIGKILL of Redis at work, and it comes back without any data",
        "what the log holds is adopted: no input gets a second outcome", emptied, on=infra),
    Row("redis-oom", "Redis is full (maxmemory, noeviction) until each role has said so",
        "commits are refused whole, and roles go on when there is room", out_of_memory, on=infra),
    Row("redis-failover", "a replica takes over from Redis that has not heard of its last commits",
        "owners are refused, adopt what the log holds, and no input gets a second outcome",
        partial(failed_over, cut_off=False), on=infra),
    Row("redis-failover-cut-off", "the same, while nothing that roles send reaches the broker",
        "what was on its way arrives and is adopted before anything is decided again",
        partial(failed_over, cut_off=True), on=infra),
)  # fmt: skip

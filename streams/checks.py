"""What is well, what is not, and how to mend it: verdicts on a cluster, a store and a clock as they were found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from schemas.topics import MAX_MESSAGE_BYTES
from state.store import Offsets, Shard
from state.survey import NodeFound
from streams.differences import Difference
from streams.engines.kafka_survey import ClusterFound, TopicFound
from streams.roles import ROLES
from streams.settings import Settings

State = Literal["ok", "warn", "fail"]
APART_S = 2.0  # seconds between two clocks that nobody minds
FULL = 0.8  # of the store's memory
REWRITE = 'BGREWRITEAOF, or its file may not load, then CONFIG RESETSTAT: docs/operators.md, "Redis\' disk was full"'


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: ``fail`` will not work, ``warn`` works and may bite; ``mend`` says what to do."""

    name: str
    state: State
    found: str
    mend: str = ""


def of_cluster(settings: Settings, found: ClusterFound) -> Iterator[Check]:
    """Verdicts on the brokers' number and settings."""
    told = found.settings
    version = "" if told is None else f", {_version(told)}"
    brokers = f"{found.brokers} broker{'s' * (found.brokers != 1)} at {settings.kafka}{version}"
    few = found.brokers < settings.kafka_replication
    mend = f"kafka_replication is {settings.kafka_replication}: start more brokers or lower it"
    yield Check("kafka", "fail" if few else "ok", brokers, mend if few else "")
    if told is None:
        mend = "allow DescribeConfigs on the cluster"
        yield Check("broker settings", "warn", "the broker does not tell its settings", mend)
        return
    yield _of_groups(settings, told)
    yield _of_sizes(found, told)
    if told.get("auto.create.topics.enable") == "true":
        mend = "set auto.create.topics.enable=false"
        yield Check("topic creation", "warn", "a misspelt topic appears by itself, with wrong settings", mend)
    if settings.kafka_replication > 1:
        yield _of_durability(told)


def _version(told: Mapping[str, str]) -> str:
    protocol = told.get("inter.broker.protocol.version")
    return f"Kafka {protocol}" if protocol else "Kafka 4.0 or later"  # 4.0 removed that setting


def _of_groups(settings: Settings, told: Mapping[str, str]) -> Check:
    protocols = told.get("group.coordinator.rebalance.protocols", "classic")
    found = f"the broker speaks {protocols}; group_protocol is {settings.group_protocol}"
    if settings.group_protocol in protocols.split(","):
        return Check("group protocol", "ok", found)
    return Check("group protocol", "fail", found, "set group_protocol=classic, or use Kafka 4 with KIP-848 switched on")


def _of_sizes(found: ClusterFound, told: Mapping[str, str]) -> Check:
    least = f"{MAX_MESSAGE_BYTES:,}"
    request = int(told.get("socket.request.max.bytes", MAX_MESSAGE_BYTES))
    if request < MAX_MESSAGE_BYTES:
        mend = f"set socket.request.max.bytes to {least} at least"
        return Check("message size", "fail", f"the broker takes requests of {request:,} bytes", mend)
    fetch = int(told.get("replica.fetch.max.bytes", MAX_MESSAGE_BYTES))
    if found.brokers > 1 and fetch < MAX_MESSAGE_BYTES:
        # Since KIP-74 a larger batch is still fetched, by itself.
        mend = f"set replica.fetch.max.bytes to {least}"
        return Check("message size", "warn", f"replicas fetch {fetch:,} bytes at once, a message may have more", mend)
    broker = int(told.get("message.max.bytes", MAX_MESSAGE_BYTES))
    return Check("message size", "ok", f"broker {broker:,}; each of our topics must allow {least} by itself")


def _of_durability(told: Mapping[str, str]) -> Check:
    insync, unclean = told.get("min.insync.replicas", "1"), told.get("unclean.leader.election.enable")
    if insync == "1" or unclean == "true":
        found = f"min.insync.replicas={insync}, unclean.leader.election.enable={unclean}"
        mend = "set min.insync.replicas=2 and unclean.leader.election.enable=false, or one failure may lose records"
        return Check("replication", "warn", found, mend)
    return Check("replication", "ok", f"an acknowledged record is on {insync} brokers")


def of_topics(settings: Settings, found: Mapping[str, TopicFound], told: Sequence[Difference]) -> Iterator[Check]:
    """Verdicts on our topics: there, with their settings and partitions, on enough brokers."""
    if told:
        first = told[0]
        some = f"{len(told)} differences, first {first.topic}: {first.what} is {first.found}, should be {first.wanted}"
        yield Check(
            "topics", "fail", some, first.mend if len({one.mend for one in told}) == 1 else "currere topics check"
        )
    else:
        yield Check("topics", "ok", f"{len(found)} topics are as they should be")
    thin = [topic.name for topic in found.values() if topic.replicas < settings.kafka_replication]
    if thin:
        mend = "kafka-reassign-partitions.sh, or lower kafka_replication"
        yield Check(
            "replicas", "warn", f"{len(thin)} topics have fewer than {settings.kafka_replication} replicas", mend
        )


def of_node(settings: Settings, found: NodeFound) -> Iterator[Check]:
    """Verdicts on one server of the store: its kind, what it keeps, what it forgets, its replicas, its clock."""
    info = found.info
    kind = "Valkey" if info.get("server_name") == "valkey" else "Redis"
    version = str(info.get("valkey_version") or info.get("redis_version"))
    if info.get("role") not in (None, "master"):
        yield Check(found.name, "fail", f"{kind} {version} is a replica", "name the primary in the setting redis")
    else:
        yield Check(found.name, "ok", f"{kind} {version} takes writes")
    yield _of_persistence(found)
    yield _of_eviction(found)
    replicas = int(info.get("connected_slaves", 0))
    few = replicas < settings.redis_replicas
    mend = f"start replicas, or set redis_replicas={replicas}" if few else ""
    yield Check(
        f"{found.name} replicas", "fail" if few else "ok", f"{replicas} of {settings.redis_replicas} wanted", mend
    )
    yield of_clock(f"{found.name} clock", found.ahead_s, found.round_trip_s / 2)


def _of_persistence(found: NodeFound) -> Check:
    name, info, settings = f"{found.name} persistence", found.info, found.settings
    if not info.get("aof_enabled"):
        mend = "set appendonly yes: what the store acknowledged must survive it"
        return Check(name, "fail", "there is no append-only file", mend)
    if info.get("aof_last_write_status", "ok") != "ok":
        return Check(name, "fail", "the last write to the append-only file failed", f"free or mend the disk; {REWRITE}")
    refused = info.get("errorstat_MISCONF", {}).get("count", 0)
    if refused:
        return Check(name, "warn", f"its disk was full or failed: {refused:,} commands were refused since", REWRITE)
    sync = settings.get("appendfsync")
    if sync is None:
        return Check(name, "warn", "there is an append-only file; appendfsync is not told", "allow CONFIG GET")
    if sync == "no":
        return Check(name, "warn", "appendfsync no: seconds of commits may go", "set appendfsync everysec or always")
    version = str(info.get("valkey_version") or info.get("redis_version"))
    if sync != "always" and tuple(map(int, version.split(".")[:2])) < (7, 2):
        mend = "use Redis 7.2 or later, or appendfsync always: before 7.2 it cannot say what is on disk"
        return Check(name, "warn", f"appendfsync {sync} on version {version}", mend)
    return Check(name, "ok", f"append-only file, appendfsync {sync}")


def _of_eviction(found: NodeFound) -> Check:
    name, info = f"{found.name} memory", found.info
    policy, limit, used = str(info.get("maxmemory_policy")), int(info.get("maxmemory", 0)), int(info["used_memory"])
    share = f"{used:,} bytes used" + (f" of {limit:,}" if limit else ", no limit")
    if policy.startswith("allkeys"):
        return Check(name, "fail", f"{policy}: it forgets state to make room", "set maxmemory-policy noeviction")
    if policy != "noeviction":
        return Check(name, "warn", f"{policy}; our keys never expire", "set maxmemory-policy noeviction")
    if limit and used > FULL * limit:
        return Check(name, "warn", share, "raise maxmemory: a full store refuses commits, and the roles stand still")
    return Check(name, "ok", f"noeviction, {share}")


def of_clock(name: str, ahead_s: float, error_s: float) -> Check:
    """Verdict on a clock that is ``ahead_s`` seconds ahead of ours (behind, if negative), known to ``error_s``."""
    apart = f"{abs(ahead_s):.3f} s {'ahead of' if ahead_s > 0 else 'behind'} ours, give or take {error_s:.3f}"
    if abs(ahead_s) - error_s > APART_S:
        mend = "let both machines keep time (NTP); delays and freshness are wrong by as much"
        return Check(name, "warn", apart, mend)
    return Check(name, "ok", apart)


def of_broker_clock(newest_ms: int | None, now: float) -> Check:
    """Verdict on the brokers' clocks by the newest record's stamp: only one that runs ahead can be seen."""
    if newest_ms is None:
        return Check("broker clock", "ok", "not known: the topics are empty")
    ahead_s = newest_ms / 1000 - now
    if ahead_s > 0:
        return of_clock("broker clock", ahead_s, 0.0)
    return Check("broker clock", "ok", f"the newest record is {-ahead_s:,.0f} s old; no stamp lies in the future")


def of_state(
    shards: Mapping[Shard, Offsets], counts: Mapping[str, int], ends: Mapping[tuple[str, int], tuple[int, int]]
) -> Iterator[Check]:
    """Verdicts on what the store holds against the log: the partitions it was made for, and offsets that still exist.

    ``ends`` has the first offset held and the next to be written, by topic and partition.
    """
    roles = {shard.role for shard in shards}
    for name in sorted(roles & ROLES.keys()):
        partitions = {topic: counts[topic] for topic in ROLES[name].inputs if topic in counts}
        yield _of_partitions(name, {s.partition for s in shards if s.role == name}, partitions)
    places = {place: offset for offsets in shards.values() for place, offset in offsets.items()}
    wrong = [why for place, offset in sorted(places.items()) if (why := _gone(place, offset, ends))]
    if wrong:
        mend = "restore the topic or the store to one moment; else begin anew with an empty store and another tenant"
        yield Check("state offsets", "fail", "; ".join(wrong[:3]) + f" ({len(wrong)} places)" * (len(wrong) > 3), mend)
    else:
        yield Check("state offsets", "ok", f"{len(shards)} shards, {len(places)} places, all in the log")


def _of_partitions(role: str, stored: set[int], partitions: Mapping[str, int]) -> Check:
    name, counts = f"{role} partitions", set(partitions.values())
    found = f"state of {len(stored)}, topics of {' and '.join(map(str, sorted(counts)))}"
    if len(counts) > 1:
        return Check(name, "fail", found, f"{', '.join(partitions)} need one partition count; make them anew")
    count = next(iter(counts), 0)
    if max(stored) >= count:
        return Check(
            name, "fail", found, f"the state was made for {max(stored) + 1}: make the topics anew with as many"
        )
    if len(stored) < count:
        mend = (
            "run the role; if partitions were added since, sessions have lost their state: use a new topic generation"
        )
        return Check(name, "warn", found, mend)
    return Check(name, "ok", found)


def _gone(place: str, offset: int, ends: Mapping[tuple[str, int], tuple[int, int]]) -> str:
    topic, _, partition = place.rpartition("/")
    start, end = ends.get((topic, int(partition)), (0, -1))
    if end < 0:
        return f"{place} does not exist"
    if offset > end:
        return f"{place}: the store is at {offset:,}, the log ends at {end:,}"
    return f"{place}: {start - offset:,} records have left retention unread" if offset < start else ""

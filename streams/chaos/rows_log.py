"""Rows about the log itself: it grows partitions that it must not have, or forgets what nobody has read yet."""

from __future__ import annotations

import signal
import time
from contextlib import closing

import redis
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from schemas import topics
from state.keys import OFFSET, shard_keys
from state.store import Shard
from streams.audit import Audit
from streams.chaos.claims import metric, reasons, settled_but_for
from streams.chaos.corrupt import flip_in_segment
from streams.chaos.infra import infra
from streams.chaos.matrix import Row
from streams.chaos.stand import Stand
from streams.engines.kafka_broker import KafkaBroker
from streams.roles import ROLES

ANSWER_S = 30.0
UNREAD = 40  # records that retention takes before session has read them


def partitions_added(here: Stand) -> Audit:
    """Somebody adds a partition to interactions: sessions would part from what is remembered of them."""
    crew = here.start(*ROLES)
    here.play()
    here.reach("session", here.random.randint(20, 80))
    here.stop_playing()
    more = NewPartitions(topics.INTERACTION.name, here.settings.partitions + 1)
    admin(here).create_partitions([more])[topics.INTERACTION.name].result(ANSWER_S)
    here.wait_until(
        lambda: [role for role, status in crew.deaths].count("session") >= 2, "session ends, and ends again"
    )
    log = (crew.logs / "session.log").read_text()
    here.must("partitions were added" in log or "one partition count" in log, "session does not say why it ends")
    here.must({role for role, _ in crew.deaths} == {"session"}, f"others ended, too: {crew.deaths}")
    return here.audit(at_rest=False)


def overtaken(here: Stand) -> Audit:
    """Session is away, and retention takes interactions that it has not read; then an operator gives them up."""
    crew = here.start(*ROLES)
    here.play()
    here.reach("session", here.random.randint(20, 80))
    crew.kill("session", signal.SIGSTOP)
    place = TopicPartition(topics.INTERACTION.name, 0, offset(here, 0) + UNREAD)
    here.wait_until(lambda: here.broker.ends(place.topic, 0)[1] > place.offset, "interactions pile up")
    before = offset(here, 0)  # with what was on its way to the store when session stopped
    here.must(before < place.offset, f"{before - place.offset} records more were on their way than retention takes")
    next(iter(admin(here).delete_records([place]).values())).result(ANSWER_S)
    crew.kill("session")
    here.wait_until(lambda: "has left retention" in reasons(crew, "session"), "session says so at /healthz")
    here.reach("session", UNREAD)  # of the other partition
    here.must(metric(crew, "session", "currere_partitions_stopped") == 1, "no metric says that a partition stands")
    here.must(offset(here, 0) == before, "what retention took was skipped silently")
    found, begins = here.audit(at_rest=False), here.broker.ends(place.topic, 0)[0]
    overdue = [one.where for one in found.findings if one.kind == "overtaken"]
    said = f"{overdue} of {found.shards} shards; the store is at {before}, the log begins at {begins}"
    others = sorted({one.kind for one in found.findings})
    here.must(overdue == [f"{place.topic}/0"], f"the audit was to say what was overtaken: {said}; it says {others}")
    crew.stop()
    with closing(redis.Redis.from_url(here.settings.redis)) as client:
        client.hset(shard_keys(shard(here, 0))[0], f"{OFFSET}{place.topic}/0", place.offset)
    at_s = time.time()
    here.start(*ROLES, instance="second")
    here.recovered("outage", *ROLES, at_s=at_s)
    return settled_but_for(here, ())


def admin(here: Stand) -> AdminClient:
    """What an operator changes topics with."""
    assert isinstance(here.broker, KafkaBroker)
    return here.broker.admin


def bytes_corrupted(here: Stand) -> None:
    """A bit of interactions that session has not read flips on the broker's disk; later it is restored."""
    crew, topic = here.start(*ROLES), topics.INTERACTION.name
    here.play()
    here.reach("session", here.random.randint(20, 80))
    crew.kill("session", signal.SIGSTOP)
    before = offset(here, 0)
    here.wait_until(lambda: here.broker.ends(topic, 0)[1] > before + 2 * UNREAD, "interactions pile up")
    (segment,) = (here.servers.broker.log.parent / "log" / f"{topic}-0").glob("*.log")
    restore = flip_in_segment(segment, before + UNREAD)
    try:
        crew.kill("session")
        here.wait_until(lambda: "corrupt" in reasons(crew, "session"), "session says so at /healthz")
        here.reach("session", UNREAD)  # of the other partition
        here.must(metric(crew, "session", "currere_partitions_stopped") == 1, "no metric says that a partition stands")
        here.must(offset(here, 0) <= before + UNREAD, "what is corrupt was skipped silently")
    finally:
        restore()
    crew.kill("session")
    here.recovered("restart", *ROLES)


def offset(here: Stand, partition: int) -> int:
    """Up to where session has decided the interactions of a partition."""
    return here.store.offsets(shard(here, partition))[f"{topics.INTERACTION.name}/{partition}"]


def shard(here: Stand, partition: int) -> Shard:
    """One of session's."""
    return Shard(here.settings.tenant, "session", partition)


ROWS = (
    Row("retention-overtakes", "session is away, and the log deletes interactions that it has not read",
        "that partition stands and says so (health, metric, audit), nothing is skipped, the other one flows", overtaken,
        on=infra),
    Row("log-corrupted", "a bit of interactions not yet read flips on the broker's disk, and is restored later",
        "that partition stops and says so, the other one flows, nothing is lost", bytes_corrupted, on=infra),
    Row("partitions-added", "a partition is added to a topic of sessions",
        "session ends, says why and does nothing any more; what was decided stays", partitions_added,
        on=infra, spoiled=True),
)  # fmt: skip

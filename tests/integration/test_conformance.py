"""What every engine promises, asked of each of them over the log and the store that it is made for.

The in-process engine has one process, and no group. Where that makes a difference the test says how the same promise
holds there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from conform import BATCH, INPUTS, SLACK, Kind, Noting, World, noting, world
from stand import eventually

from schemas import topics
from schemas.envelope import Origin
from streams.engines.tries import CAREFUL
from streams.metrics import Metrics

SERVERS = [pytest.mark.kafka, pytest.mark.redis]


@pytest.fixture(params=["memory", pytest.param("kafka", marks=SERVERS), pytest.param("faust", marks=SERVERS)])
def here(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    kind: Kind = request.param
    kafka, redis = ("", "") if kind == "memory" else map(request.getfixturevalue, ("kafka", "redis_url"))
    made = world(kind, kafka, redis, f"file://{tmp_path}")
    with closing(made.store):
        yield made


def test_each_partition_is_decided_once_and_in_the_order_of_its_log(here: World) -> None:
    for partition in here.partitions:
        for topic in INPUTS:
            here.put(partition, 5 * BATCH, topic)
    with here.running(noting()):
        here.exactly_once()
        here.put(0, 5 * BATCH)
        here.exactly_once()


def test_it_begins_at_the_offset_in_the_store_whatever_the_group_has_committed(here: World) -> None:
    decided = 3 * BATCH
    here.put(0, 5 * BATCH)
    here.put(1, BATCH)
    sent = here.sent[topics.INTERACTION.name, 0]
    here.stored(0, {topics.INTERACTION.name: sent[decided]})
    here.mislead(sent[-1] + 1)
    here.sent[topics.INTERACTION.name, 0] = sent[decided:]
    with here.running(noting()):
        here.exactly_once()


def test_what_cannot_be_read_becomes_a_dead_letter_and_the_rest_goes_on(here: World) -> None:
    topic, tenant = topics.INTERACTION, (("ce_tenant", here.tenant.encode()),)
    here.put(0, BATCH)
    good = list(here.sent[topic.name, 0])
    for value in (b"garbage", b"", b"\xff" * 100):
        here.put_raw(topic, 0, value, tenant)
    here.put(0, BATCH)
    bad = here.sent[topic.name, 0][len(good) : -BATCH]
    with here.running(noting()):
        eventually(here.all_decided, "every input has an outcome")
    assert here.causes(topics.dlq(topic), 0) == [Origin(topic.name, 0, offset) for offset in bad]
    assert here.decided(topic, 0) == [offset for offset in here.sent[topic.name, 0] if offset not in bad]


def test_of_a_partition_that_is_slow_no_more_is_taken_than_it_may_hold(here: World) -> None:
    most, slow = 5 * BATCH, noting()
    here.put(0, CAREFUL)
    with here.running(slow, most_queued=most) as engine:
        here.exactly_once()  # so many records have their turn, one partition after the other
        slow.shut()
        here.put(0, 30 * BATCH)
        here.put(1, 2 * BATCH)
        eventually(slow.at_work.is_set, "a batch is at work")
        if here.kind != "memory":  # which takes one batch at a time, of one partition after the other
            eventually(lambda: engine.ahead(0) > most - BATCH, "so much is queued that the partition is held back")
            eventually(lambda: len(here.decided(topics.INTERACTION, 1)) == 2 * BATCH, "the other partition goes on")
        polls = set()
        eventually(lambda: polls.add(engine.polls()) or len(polls) > 5, "it polls on")
        assert engine.ahead(0) <= most + 1 + SLACK[here.kind] * BATCH
        assert len(here.decided(topics.INTERACTION, 0)) == CAREFUL
        slow.gate.set()
        here.exactly_once()
    if here.kind != "memory":  # where deciding and polling are one
        assert slow.threads == {"lanes"}, "nothing is decided on the polling thread"


def test_told_to_stop_it_finishes_the_batch_at_work_and_leaves_the_next_owner_nothing_to_send(here: World) -> None:
    slow = Noting()
    here.put(0, 50 * BATCH)
    with here.running(slow) as engine:
        eventually(slow.at_work.is_set, "a batch is at work")
        engine.ask_to_stop()
        slow.gate.set()
        engine.end()
    left = here.store.take(here.shard(0), "successor")
    decided = here.decided(topics.INTERACTION, 0)
    assert decided, "the batch at work is finished"
    assert left.offsets[f"{topics.INTERACTION.name}/0"] == decided[-1] + 1
    assert left.outbox == ()
    with here.running(noting()):
        here.exactly_once()


def test_partitions_move_to_who_joins_and_from_who_leaves_and_each_record_is_decided_once(here: World) -> None:
    everything = set(here.partitions)

    def put(count: int) -> None:
        for partition in here.partitions:
            here.put(partition, count)

    def shared() -> bool:
        mine, others = one.owns(), two.owns()
        return bool(mine) and bool(others) and mine | others == everything and not mine & others

    put(3 * BATCH)
    with here.running(noting("one")) as one:
        here.exactly_once()
        put(3 * BATCH)
        with here.running(noting("two")) as two:
            if here.kind != "memory":  # there two take turns by token: each takes back what the other took
                eventually(shared, "two share the partitions")
            put(3 * BATCH)
            here.exactly_once()
            one.end()
            eventually(lambda: two.owns() == everything, "the other takes over")
            put(3 * BATCH)
            here.exactly_once()
    assert {"one", "two"} <= {word for partition in here.partitions for word in here.words(partition)}


def test_a_zombie_is_refused_publishes_nothing_and_goes_on_where_its_rival_left(here: World) -> None:
    zombie, topic = Noting("zombie"), topics.INTERACTION
    here.put(0, BATCH)
    first = list(here.sent[topic.name, 0])
    with here.running(zombie) as engine:
        eventually(zombie.at_work.is_set, "a batch is at work")
        rival = here.owner(noting("rival"), Metrics())(0)
        rival.process(list(here.log.read(topic.name, 0, first[0], first[-1] + 1)), now=0.0)
        rival.close(5.0)
        zombie.gate.set()
        here.put(0, BATCH)
        here.exactly_once()
        assert engine.metrics.registry.get_sample_value("currere_refusals_total", {"role": "conform"}) == 1
    assert here.words(0) == ["rival"] * BATCH + ["zombie"] * BATCH

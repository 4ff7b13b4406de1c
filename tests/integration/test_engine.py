"""The engines over a real Kafka: they stop where they must, say so, and never call silence health.

What they share with the in-process engine is in ``test_conformance.py``.
"""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import product
from pathlib import Path
from typing import cast

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import NewPartitions
from faust.types import TP
from stand import PATIENCE_S, Hand, Stand, eventually, ground, opened

from schemas import topics
from schemas.errors import BrokerError, CurrereError, PartitionsChanged, Refused, TooManyPoisons
from streams.assembly import Workshop, partitions_of
from streams.engines.faust import FaustEngine
from streams.engines.faust_app import StoreConsumer
from streams.health import HealthServer, Limits, verdict
from streams.message import Record
from streams.settings import load
from streams.up import Owner, RoleProcess, Stalled, kafka_of

pytestmark = pytest.mark.kafka
each_engine = pytest.mark.parametrize("kind", ["kafka", "faust"])


def values(records: list[Record]) -> list[int]:
    return [int(record.value or b"") for record in records]


def healthz(port: int) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()
    except OSError:
        return 0, ""


def look_often(stand: Stand) -> None:
    """Return when the engine has asked for records often enough to have tried again whatever it tries each second."""
    asked = set[float]()

    def often() -> bool:
        asked.add(stand.engine.vitals.polled)
        return len(asked) > 20

    eventually(often, "it asks for records")


class Idle(Hand):
    """Takes what comes and never decides it."""

    def process(self, records: Sequence[Record], now: float) -> int:
        return 0


def own_nothing(role: str, shop: Workshop) -> Owner:
    return (lambda partition: Idle()), (lambda: None)


def served(stand: Stand, limits: Limits) -> HealthServer:
    judge = {"stand": lambda: verdict(stand.engine.vitals, time.monotonic(), limits)}
    return HealthServer(stand.metrics, judge)


@each_engine
def test_a_partition_that_fails_is_taken_again_and_nobody_s_records_are_missed(kafka: str, kind: str) -> None:
    here, sent, each = ground(kafka, 2, topics=2), 600, 50
    failures = iter([Refused("another owner")] * 2)
    taken: dict[int, list[Hand]] = {0: [], 1: []}

    def assign(partition: int) -> Hand:
        before = taken[partition]
        hand = opened(**(before[-1].offsets if before else {}))
        hand.fails = lambda: next(failures, None) if partition == 0 and len(hand.seen) > 100 else None
        before.append(hand)
        return hand

    def decided(partition: int) -> list[Record]:
        return [record for hand in taken[partition] for record in hand.seen]

    with here.engine(assign, kind):
        for first in range(0, sent, each):
            for topic, partition in product(here.names, taken):
                here.put(topic, partition, each, first)
        eventually(lambda: all(len(decided(p)) >= len(here.names) * sent for p in taken), "all is decided")
    for topic, partition in product(here.names, taken):
        assert values([r for r in decided(partition) if r.origin.topic == topic]) == list(range(sent))
    assert len(taken[0]) == 3, "the partition has failed twice"


@each_engine
def test_what_left_retention_stops_its_partition_says_so_and_is_never_skipped(kafka: str, kind: str) -> None:
    here, stored, start = ground(kafka, 2), 3, 8
    (topic,) = here.names
    for partition in (0, 1):
        here.put(topic, partition, 10)
    here.admin.delete_records([TopicPartition(topic, 0, start)])[TopicPartition(topic, 0)].result(10)
    hands = {0: opened(**{f"{topic}/0": stored}), 1: opened()}
    with here.engine(hands.__getitem__, kind) as stand:
        health = served(stand, Limits())
        eventually(lambda: "retention" in healthz(health.port)[1], "it says what is wrong")
        status, said = healthz(health.port)
        assert status == 503
        assert f"{topic}/0" in said
        here.put(topic, 1, 10, first=10)
        eventually(lambda: len(hands[1].seen) == 20, "the other partition goes on")
        health.close()
    assert hands[0].seen == []


@each_engine
def test_a_partition_whose_records_end_each_process_stands_says_so_and_the_others_flow(kafka: str, kind: str) -> None:
    here, sent, hands = ground(kafka, 2), 10, [opened(), opened()]
    (topic,) = here.names
    hands[0].fails = lambda: TooManyPoisons("it ends each process")
    for partition in (0, 1):
        here.put(topic, partition, sent)
    with here.engine(hands.__getitem__, kind) as stand:
        eventually(lambda: stand.engine.vitals.waiting_for == "it ends each process", "it says what is wrong")
        sample = stand.metrics.registry.get_sample_value
        assert sample("currere_partitions_stopped", {"role": "stand"}) == 1
        here.put(topic, 1, sent, first=sent)
        eventually(lambda: len(hands[1].seen) == 2 * sent, "the other partition flows")
        assert sample("currere_refusals_total", {"role": "stand"}) is None
        eventually(lambda: stand.engine.vitals.lag_records == 0, "what stands is no work")
        assert sample("currere_lag_records", {"role": "stand", "topic": topic, "partition": "0"}) == sent
    assert hands[0].seen == []


def test_no_more_is_taken_than_a_partition_may_hold_however_large_a_batch_may_be(kafka: str) -> None:
    here, most, sent, hand = ground(kafka, 1), 10, 500, Hand()
    here.put(here.names[0], 0, sent)
    with here.engine(lambda partition: hand, batch=sent, most_queued=most) as stand:
        eventually(lambda: stand.engine.queued(0) > most, "so much is queued that the partition is held back")
        assert stand.engine.queued(0) <= most + 1 + most // 2
        hand.gate.set()
        eventually(lambda: values(hand.seen) == list(range(sent)), "all are decided, in their order")


@each_engine
def test_a_partition_that_was_held_back_when_it_was_given_away_flows_when_it_comes_back(kafka: str, kind: str) -> None:
    here, most, sent, gate, last = ground(kafka, 2), 10, 200, threading.Event(), dict[int, Hand]()

    def assign(partition: int) -> Hand:
        last[partition] = Hand(gate=gate)
        return last[partition]

    for partition in (0, 1):
        here.put(here.names[0], partition, sent)
    with here.engine(assign, kind, batch=5, most_queued=most, drain_s=0.1) as stand:
        eventually(lambda: all(stand.engine.queued(n) > most for n in (0, 1)), "both partitions are held back")
        before = dict(last)
        with here.engine(lambda partition: opened(), kind) as other:
            eventually(lambda: len(other.engine.partitions) == 1, "another has one of them")
        gate.set()
        eventually(lambda: all(values(hand.seen) == list(range(sent)) for hand in last.values()), "all is decided")
    assert all(last[n] is not before[n] for n in (0, 1)), "both were taken anew"


@each_engine
def test_a_member_that_is_left_without_partitions_stands_by_and_takes_back_none(kafka: str, kind: str) -> None:
    here, slow, taken = ground(kafka, 2), Hand(), list[int]()

    def assign(partition: int) -> Hand:
        taken.append(partition)
        return opened()

    def others(name: str, hand: Hand) -> AbstractContextManager[Stand]:
        return here.engine(lambda partition: hand, kind, instance=name, drain_s=2.0)

    with others("b", slow) as second, here.engine(assign, kind, instance="c") as third:
        eventually(lambda: (second.engine.partitions, third.engine.partitions) == ({0}, {1}), "each has its partition")
        here.put(here.names[0], 0, 1)
        eventually(lambda: slow.threads, "one is at work, so that it gives up its partition later than the other")
        with others("a", opened()) as first:
            eventually(lambda: first.engine.partitions == {0}, "who comes first by name has the first partition")
            eventually(lambda: second.engine.partitions == {1}, "and the next the last")
            eventually(lambda: third.engine.vitals.waiting_for is None, "it stands by")
            before = len(taken)
            look_often(third)
            assert (third.engine.partitions, len(taken)) == (set(), before)
            slow.gate.set()


def test_what_was_given_away_while_another_partition_was_taken_is_not_taken(kafka: str) -> None:
    here, taken, gate = ground(kafka, 2), list[int](), threading.Event()

    def assign(partition: int) -> Hand:
        taken.append(partition)
        gate.wait(PATIENCE_S)
        return opened()

    with here.engine(assign, "faust", instance="b") as stand:
        eventually(lambda: taken, "it takes the first")
        left, gone = taken[0], 1 - taken[0]
        name = "c" if gone else "a"  # `range` gives the first partition to the first by name
        with here.engine(lambda partition: opened(), "faust", instance=name) as other:
            eventually(lambda: other.engine.partitions == {gone}, "another has the second")
            gate.set()
            eventually(lambda: stand.engine.partitions == {left}, "it has what was left to it")
            look_often(stand)
            assert gone not in taken


def test_what_faust_has_passed_on_before_a_seek_is_not_held_against_what_comes_after(kafka: str) -> None:
    here, sent = ground(kafka, 1), 10
    (topic,) = here.names
    hand = opened()
    with here.engine(lambda partition: hand, "faust") as stand:
        assert isinstance(stand.engine, FaustEngine)
        eventually(lambda: stand.engine.partitions == {0}, "it has its partition")
        noted = cast(StoreConsumer, stand.engine._app.consumer)._read_offset  # as by a message that was on its way
        noted[TP(topic, 0)] = 10 * sent
        here.put(topic, 0, sent)
        eventually(lambda: values(hand.seen) == list(range(sent)), "all are decided")


def test_of_a_partition_that_stands_nothing_is_fetched_though_it_was_held_back(kafka: str) -> None:
    here, most, hand = ground(kafka, 1), 10, Hand(fails=lambda: TooManyPoisons("it ends each process"))
    here.put(here.names[0], 0, 20 * most)
    with here.engine(lambda partition: hand, "faust", batch=5, most_queued=most) as stand:
        assert isinstance(stand.engine, FaustEngine)
        eventually(lambda: stand.engine.queued(0) > most, "so much is queued that the partition is held back")
        hand.gate.set()
        eventually(lambda: stand.engine.vitals.waiting_for == "it ends each process", "it stands")
        eventually(lambda: not stand.engine.holds_back(0), "nothing is queued any more")
        assert not cast(StoreConsumer, stand.engine._app.consumer)._get_active_partitions()


@each_engine
@pytest.mark.parametrize("sent", [0, 10])
def test_a_store_that_is_newer_than_the_log_is_called_so(kafka: str, kind: str, sent: int) -> None:
    here = ground(kafka, 1)
    (topic,) = here.names
    here.put(topic, 0, sent)
    hand = opened(**{f"{topic}/0": sent + 1})
    with here.engine(lambda partition: hand, kind) as stand:
        eventually(lambda: "newer than the log" in (stand.engine.vitals.waiting_for or ""), "it says what is wrong")
        assert f"ends at {sent}" in str(stand.engine.vitals.waiting_for)
    assert hand.seen == []


@each_engine
def test_added_partitions_end_the_engine(kafka: str, kind: str) -> None:
    here = ground(kafka, 1)
    with here.engine(lambda partition: opened(), kind) as stand:
        eventually(lambda: stand.engine.vitals.waiting_for is None, "it has its partition")
        here.admin.create_partitions([NewPartitions(here.names[0], 2)])[here.names[0]].result(10)
        with pytest.raises(PartitionsChanged):
            stand.ended.result(30)


def test_topics_of_one_role_with_other_partition_counts_are_refused(kafka: str) -> None:
    one, two = ground(kafka, 1), ground(kafka, 2)
    one.names += two.names
    with pytest.raises(PartitionsChanged), one.engine(lambda partition: opened()):
        pass


@each_engine
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_error_that_nobody_expects_ends_the_engine(kafka: str, kind: str) -> None:
    here = ground(kafka, 1)

    def surprise() -> CurrereError | None:
        raise ZeroDivisionError

    hand = opened()
    hand.fails = surprise
    here.put(here.names[0], 0, 1)
    with here.engine(lambda partition: hand, kind) as stand, pytest.raises(BrokerError, match="unexpected"):
        stand.ended.result(30)


@each_engine
def test_a_batch_that_never_ends_does_not_keep_the_engine_from_stopping(kafka: str, kind: str) -> None:
    here, stuck = ground(kafka, 1), Hand()
    here.put(here.names[0], 0, 1)
    with here.engine(lambda partition: stuck, kind, drain_s=0.2) as stand:
        eventually(lambda: stuck.threads, "it is at work")
        stand.end()
        stand.ended.result(0)
    assert not stuck.closed, "who is at work is not closed under its feet"
    stuck.gate.set()


def test_a_role_that_stands_still_is_not_alive_and_ends_with_an_error(
    kafka: str, redis_url: str, tmp_path: Path
) -> None:
    settings = load(
        kafka=kafka,
        redis=redis_url,
        blobs=f"file://{tmp_path}",
        tenant=f"stall-{uuid.uuid4().hex[:8]}",
        stall_s=1.0,
    )

    broker = kafka_of(settings)
    broker.create(topics.ALL, partitions_of(settings))
    sender = Producer({"bootstrap.servers": kafka})
    sender.produce(topics.EXAMPLE.name, b"work", partition=0, headers=[("ce_tenant", settings.tenant.encode())])
    assert sender.flush(10) == 0
    told: list[str] = []
    role = RoleProcess("curate", settings, threading.Event(), own_nothing, give_up=lambda: told.append("stalled"))
    with pytest.raises(Stalled, match="no progress"):
        role.run()
    assert told, "whoever runs it may have to end it"

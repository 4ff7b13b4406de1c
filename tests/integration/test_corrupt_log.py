"""Bytes that are corrupt on the broker's disk are neither read as if they had been sent so, nor passed over."""

from __future__ import annotations

import pytest
from stand import eventually, ground, opened

from deploy.kafka.broker import Broker
from streams.chaos.corrupt import flip_in_segment

pytestmark = pytest.mark.kafka


def test_a_partition_whose_next_bytes_are_corrupt_stands_and_says_so_and_the_others_flow(own_kafka: Broker) -> None:
    here = ground(own_kafka.bootstrap, partitions=2)
    (topic,) = here.names
    here.put(topic, 0, 10)
    here.put(topic, 0, 10, first=10)
    here.put(topic, 1, 20)
    (segment,) = (own_kafka.log.parent / "log" / f"{topic}-0").glob("*.log")
    flip_in_segment(segment, 10)
    hands = [opened(), opened()]
    with here.engine(lambda number: hands[number]) as stand:
        eventually(lambda: "corrupt" in (stand.engine.vitals.waiting_for or ""), "the engine says what it waits for")
        eventually(lambda: len(hands[1].seen) == 20, "the other partition flows")
        sample = stand.metrics.registry.get_sample_value
        eventually(lambda: sample("currere_partitions_stopped", {"role": "stand"}) == 1, "one partition is counted")
    assert [record.origin.offset for record in hands[0].seen] == list(range(10))


def test_a_store_that_is_newer_than_the_log_is_told_from_retention(kafka: str) -> None:
    here = ground(kafka, partitions=1)
    (topic,) = here.names
    here.put(topic, 0, 5)
    hand = opened(**{f"{topic}/0": 99})
    with here.engine(lambda number: hand) as stand:
        eventually(lambda: "beyond the log, which ends at 5" in (stand.engine.vitals.waiting_for or ""), "it says so")
    assert hand.seen == []

"""Two owners share a role's partitions and hand them over, under the classic protocol and under KIP-848."""

from __future__ import annotations

from collections import defaultdict
from itertools import product
from pathlib import Path
from typing import Literal

import pytest
from stand import Ground, Hand, Stand, eventually, ground, opened
from town import empty_town

from schemas import topics
from schemas.errors import ConfigurationError
from streams.health import Limits, verdict
from streams.settings import load

Protocol = Literal["classic", "consumer"]
TIMEOUT_MS: dict[Protocol, int | None] = {"classic": 6_000, "consumer": None}  # under the new one it is the broker's

both_protocols = pytest.mark.parametrize("protocol", ["classic", "consumer"])


def test_a_session_timeout_under_the_new_protocol_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="session_timeout_ms"):
        load(group_protocol="consumer", session_timeout_ms=6_000)


class Shared:
    """Owners that go on where the one before them stopped, as from a store."""

    def __init__(self, here: Ground) -> None:
        self.here, self.sent = here, 0
        self.hands: dict[int, list[Hand]] = defaultdict(list)
        self._offsets: dict[int, dict[str, int]] = defaultdict(dict)

    def assign(self, partition: int) -> Hand:
        hand = opened()
        hand.offsets = self._offsets[partition]
        self.hands[partition].append(hand)
        return hand

    def put_and_wait(self, count: int) -> None:
        for topic, partition in product(self.here.names, range(self.here.partitions)):
            self.here.put(topic, partition, count, first=self.sent)
        self.sent += count
        eventually(lambda: all(len(self.decided(*place)) >= self.sent for place in self.places()), "all is decided")

    def places(self) -> list[tuple[str, int]]:
        return list(product(self.here.names, range(self.here.partitions)))

    def decided(self, topic: str, partition: int) -> list[int]:
        records = [r for hand in self.hands[partition] for r in hand.seen if r.origin.topic == topic]
        return [int(record.value or b"") for record in records]


def parted(one: Stand, two: Stand, partitions: int) -> bool:
    mine, others = one.engine.partitions, two.engine.partitions
    return bool(mine) and bool(others) and sorted([*mine, *others]) == list(range(partitions))


@pytest.mark.kafka
def test_what_belongs_together_is_shared_and_handed_over_whole(kafka: str) -> None:
    """Under KIP-848; of the classic protocol the same is asked in ``test_conformance.py``."""
    shared, protocol = Shared(ground(kafka, 4, topics=2)), "consumer"
    here = shared.here

    with here.engine(shared.assign, group_protocol=protocol) as one:
        shared.put_and_wait(100)
        with here.engine(shared.assign, group_protocol=protocol) as two:
            eventually(lambda: parted(one, two, here.partitions), "two owners share the partitions")
            shared.put_and_wait(100)
            one.end()
            eventually(lambda: len(two.engine.partitions) == here.partitions, "the other takes over")
            shared.put_and_wait(100)
    for place in shared.places():
        assert shared.decided(*place) == list(range(shared.sent)), f"{place}: each once, in order"


@pytest.mark.kafka
@both_protocols
def test_an_owner_for_whom_no_partition_is_left_stands_by_and_is_ready(kafka: str, protocol: Protocol) -> None:
    shared = Shared(ground(kafka, 1))

    def ready(stand: Stand) -> bool:
        return verdict(stand.engine.vitals, stand.engine.vitals.polled, Limits()).ready

    with shared.here.engine(shared.assign, group_protocol=protocol) as one:
        eventually(lambda: one.engine.partitions, "one has it")
        with shared.here.engine(shared.assign, group_protocol=protocol) as two:
            eventually(lambda: ready(one) and ready(two), "both are ready")
            idle = two if one.engine.partitions else one
            assert not idle.engine.partitions


@pytest.mark.kafka
@pytest.mark.redis
@both_protocols
def test_two_session_owners_lose_nothing_and_count_nothing_twice(
    kafka: str, redis_url: str, tmp_path: Path, protocol: Protocol
) -> None:
    chosen = {"group_protocol": protocol, "session_timeout_ms": TIMEOUT_MS[protocol]}
    with empty_town(kafka, redis_url, tmp_path, **chosen) as here:
        one, two, *_ = here.start("session", "session", "curate", "worker")
        eventually(lambda: one.engine.partitions and two.engine.partitions, "two owners share the partitions")
        here.play(100)
        here.wait_for(topics.PREDICTION, lambda record: True, count=50)
        here.stop(one)
        here.play(100, seed=2)

        everything = set(range(here.counts[topics.INTERACTION.name]))
        eventually(lambda: two.engine.partitions == everything, "the other takes over")

        found = here.settle()

        assert (found.events, found.lost, found.duplicated) == (200, 0, 0)
        assert found.ok, found.verdict


@pytest.mark.kafka
@pytest.mark.redis
def test_owners_under_kafka_and_under_faust_share_a_group_and_lose_nothing(
    kafka: str, redis_url: str, tmp_path: Path
) -> None:
    with empty_town(kafka, redis_url, tmp_path) as here:
        (one,) = here.start("session")
        two, *_ = here.start("session", "curate", "worker", engine="faust")
        eventually(lambda: one.engine.partitions and two.engine.partitions, "two owners share the partitions")
        here.play(100)
        here.wait_for(topics.PREDICTION, lambda record: True, count=50)
        here.stop(one)
        here.play(100, seed=2)

        found = here.settle()

        assert (found.events, found.lost, found.duplicated) == (200, 0, 0)
        assert found.ok, found.verdict

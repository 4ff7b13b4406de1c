"""Where the topics that a cluster has differ from those that it should have, and how to mend it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from schemas.topics import Topic
from streams.engines.kafka_broker import topic_settings
from streams.engines.kafka_survey import TopicFound

AT_LEAST = ("max.message.bytes",)  # more is fine


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing about one topic that is not as it should be."""

    topic: str
    what: str
    wanted: str
    found: str
    mend: str


def differences(
    wanted: Iterable[Topic], partitions: Callable[[Topic], int], found: Mapping[str, TopicFound], address: str
) -> list[Difference]:
    """Every difference between ``wanted`` topics and those ``found``, in the order of ``wanted``."""
    told = []
    for topic in wanted:
        there = found.get(topic.name)
        if there is None:
            told.append(Difference(topic.name, "topic", "present", "missing", "currere topics create"))
            continue
        if there.partitions != partitions(topic):
            told.append(_of_partitions(topic, partitions(topic), there.partitions))
        told += _of_settings(topic, there, address)
    return told


def _of_partitions(topic: Topic, wanted: int, found: int) -> Difference:
    if topic.per_session:
        mend = (
            f"if its state was made for {found}, set CURRERE_PARTITIONS={found}; else begin anew with a topic of "
            f"{wanted}: adding partitions would part sessions from their state"
        )
    else:
        mend = "one owner reads it in order: make it anew with one partition, and fold its records in again"
    return Difference(topic.name, "partitions", str(wanted), str(found), mend)


def _of_settings(topic: Topic, found: TopicFound, address: str) -> Iterator[Difference]:
    if found.settings is None:
        mend = "allow DescribeConfigs on the topic, then check again"
        yield Difference(topic.name, "settings", "visible", "not told", mend)
        return
    for name, value in topic_settings(topic).items():
        have = found.settings.get(name, "not told")
        if have == value or (name in AT_LEAST and have.isdecimal() and int(have) >= int(value)):
            continue
        mend = (
            f"kafka-configs.sh --bootstrap-server {address} --alter --entity-type topics --entity-name {topic.name} "
            f"--add-config {name}={value}"
        )
        yield Difference(topic.name, name, value, have, mend)

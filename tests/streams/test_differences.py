"""What is said of topics that are not as they should be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from schemas import topics
from schemas.topics import ALL, MAX_MESSAGE_BYTES, Topic
from streams.differences import Difference, differences
from streams.engines.kafka_broker import topic_settings
from streams.engines.kafka_survey import TopicFound


def partitions(topic: Topic) -> int:
    return 4 if topic.per_session else 1


def right() -> dict[str, TopicFound]:
    """Every topic as it should be."""
    return {topic.name: TopicFound(topic.name, partitions(topic), 1, topic_settings(topic)) for topic in ALL}


def told(topic: Topic, **changed: object) -> list[Difference]:
    """The differences when one topic is found with something ``changed``."""
    found = right()
    found[topic.name] = replace(found[topic.name], **changed)
    return differences(ALL, partitions, found, "kafka:9092")


def with_setting(topic: Topic, name: str, value: str) -> list[Difference]:
    return told(topic, settings={**topic_settings(topic), name: value})


def test_topics_as_they_should_be_differ_in_nothing() -> None:
    assert differences(ALL, partitions, right(), "kafka:9092") == []


@pytest.mark.parametrize("topic", ALL, ids=lambda topic: topic.name)
def test_a_missing_topic_is_to_be_created(topic: Topic) -> None:
    found = right()
    del found[topic.name]
    (difference,) = differences(ALL, partitions, found, "kafka:9092")
    assert (difference.topic, difference.found, difference.mend) == (topic.name, "missing", "currere topics create")


def test_more_partitions_than_set_are_never_mended_by_changing_the_topic() -> None:
    (difference,) = told(topics.FEEDBACK, partitions=6)
    assert (difference.wanted, difference.found) == ("4", "6")
    assert "CURRERE_PARTITIONS=6" in difference.mend


def test_a_topic_of_one_owner_has_one_partition_whatever_the_setting() -> None:
    (difference,) = told(topics.TRAIN_REQUEST, partitions=4)
    assert difference.wanted == "1"
    assert "CURRERE_PARTITIONS" not in difference.mend


@pytest.mark.parametrize("name", topic_settings(topics.DELTA))
def test_another_setting_is_named_with_the_command_that_mends_it(name: str) -> None:
    (difference,) = with_setting(topics.DELTA, name, "1")
    wanted = topic_settings(topics.DELTA)[name]
    assert (difference.what, difference.wanted, difference.found) == (name, wanted, "1")
    assert f"--entity-name {topics.DELTA.name} --add-config {name}={wanted}" in difference.mend


def test_a_topic_may_take_larger_messages_than_it_must() -> None:
    assert with_setting(topics.DELTA, "max.message.bytes", str(MAX_MESSAGE_BYTES + 1)) == []
    assert len(with_setting(topics.DELTA, "max.message.bytes", str(MAX_MESSAGE_BYTES - 1))) == 1


def test_settings_that_the_cluster_hides_are_a_difference_by_themselves() -> None:
    (difference,) = told(topics.DELTA, settings=None)
    assert "DescribeConfigs" in difference.mend

"""What a Kafka cluster says of itself and of our topics: read, never changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._listoffsets import OffsetSpec
from confluent_kafka.admin._resource import ResourceType

from schemas.errors import BrokerError
from schemas.topics import Topic
from streams.engines.kafka_broker import TIMEOUT_S, KafkaBroker

EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]  # confluent-kafka has no types here
LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # as above
NEWEST: OffsetSpec = OffsetSpec.max_timestamp()  # type: ignore[no-untyped-call]  # as above


@dataclass(frozen=True, slots=True)
class TopicFound:
    """A topic as the cluster has it; ``replicas`` is the fewest of any partition, ``settings`` None if not told."""

    name: str
    partitions: int
    replicas: int
    settings: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class ClusterFound:
    """The cluster: how many brokers, and the settings of one of them, None if it does not tell."""

    brokers: int
    settings: Mapping[str, str] | None


def survey_topics(broker: KafkaBroker, wanted: Iterable[Topic]) -> dict[str, TopicFound]:
    """Those of ``wanted`` that exist, by name. Raises BrokerError."""
    try:
        found = broker.admin.list_topics(timeout=TIMEOUT_S).topics
    except KafkaException as error:
        raise BrokerError(f"Kafka at {broker.address} does not answer: {error.args[0].str()}") from error
    names = [topic.name for topic in wanted if topic.name in found]
    settings = _settings(broker, [ConfigResource(ResourceType.TOPIC, name) for name in names])
    return {
        name: TopicFound(
            name,
            len(found[name].partitions),
            min((len(place.replicas) for place in found[name].partitions.values()), default=0),
            settings.get(name),
        )
        for name in names
    }


def survey_cluster(broker: KafkaBroker) -> ClusterFound:
    """The brokers and the settings of the first. Raises BrokerError."""
    try:
        brokers = broker.admin.list_topics(timeout=TIMEOUT_S).brokers
    except KafkaException as error:
        raise BrokerError(f"Kafka at {broker.address} does not answer: {error.args[0].str()}") from error
    name = str(min(brokers, default=0))
    return ClusterFound(len(brokers), _settings(broker, [ConfigResource(ResourceType.BROKER, name)]).get(name))


def ends_of(broker: KafkaBroker, places: Sequence[tuple[str, int]]) -> dict[tuple[str, int], tuple[int, int]]:
    """By topic and partition, the first offset held and the next to be written. Raises BrokerError."""
    starts, ends = (_offsets(broker, places, spec) for spec in (EARLIEST, LATEST))
    return {place: (starts[place][0], ends[place][0]) for place in places}


def newest_ms(broker: KafkaBroker, places: Sequence[tuple[str, int]]) -> int | None:
    """When the log received the newest record of all ``places``, by the brokers' clocks; None if they are empty."""
    stamps = [stamp for _, stamp in _offsets(broker, places, NEWEST).values() if stamp > 0]
    return max(stamps, default=None)


def _offsets(
    broker: KafkaBroker, places: Sequence[tuple[str, int]], spec: OffsetSpec
) -> dict[tuple[str, int], tuple[int, int]]:
    asked = {TopicPartition(*place): spec for place in places}
    try:
        answers = broker.admin.list_offsets(asked, request_timeout=TIMEOUT_S) if asked else {}
        found = {(place.topic, place.partition): future.result() for place, future in answers.items()}
    except KafkaException as error:
        raise BrokerError(f"{broker.address} does not tell offsets: {error.args[0].str()}") from error
    return {place: (result.offset, result.timestamp) for place, result in found.items()}


def _settings(broker: KafkaBroker, resources: Sequence[ConfigResource]) -> dict[str, dict[str, str]]:
    """By name, the settings of those resources that the cluster lets us see."""
    told = {}
    answers = broker.admin.describe_configs(list(resources), request_timeout=TIMEOUT_S) if resources else {}
    for resource, future in answers.items():
        try:
            entries = future.result()
        except KafkaException:
            continue  # access rules may allow to use a topic and not to see its settings
        told[resource.name] = {key: entry.value for key, entry in entries.items() if entry.value is not None}
    return told

"""The servers that the tests lean on are real, serve what the product needs, and do not outlive the tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
import redis
from confluent_kafka import Consumer, KafkaError, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from deploy.kafka.broker import Broker, serves
from deploy.redis.server import RedisServer

ROOT = Path(__file__).parents[2]
TEN_MB = b"x" * 10_000_000


def _make(bootstrap: str, topic: str, **settings: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, 1, 1, config=settings)])[topic].result(10)


def _send(bootstrap: str, topic: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "message.max.bytes": 2 * len(TEN_MB)})
    producer.produce(topic, value)
    assert producer.flush(20) == 0


def _first(bootstrap: str, topic: str, protocol: str) -> bytes | None:
    settings = {"bootstrap.servers": bootstrap, "group.id": f"{topic}-{protocol}", "auto.offset.reset": "earliest"}
    with closing(Consumer({**settings, "group.protocol": protocol})) as consumer:
        consumer.subscribe([topic])
        message = consumer.poll(30)
        assert message is not None
        assert message.error() is None
        return message.value()


@pytest.mark.kafka
@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_record_comes_back_under_both_group_protocols(kafka: str, protocol: str) -> None:
    topic = f"fixtures-{protocol}"
    _make(kafka, topic)
    _send(kafka, topic, b"value")
    assert _first(kafka, topic, protocol) == b"value"


@pytest.mark.kafka
def test_a_topic_may_allow_larger_values_than_the_broker(kafka: str) -> None:
    _make(kafka, "fixtures-large", **{"max.message.bytes": str(2 * len(TEN_MB))})
    _send(kafka, "fixtures-large", TEN_MB)
    assert _first(kafka, "fixtures-large", "consumer") == TEN_MB


@pytest.mark.kafka
def test_a_misspelt_topic_is_an_error_and_does_not_appear(kafka: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka})
    asked = admin.list_topics("fixtures-misspelt", timeout=10).topics["fixtures-misspelt"]
    assert asked.error is not None
    assert asked.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART
    assert "fixtures-misspelt" not in admin.list_topics(timeout=10).topics


@pytest.mark.kafka
def test_what_a_broker_acknowledged_is_there_after_it_was_killed(own_kafka: Broker) -> None:
    _make(own_kafka.bootstrap, "kept")
    _send(own_kafka.bootstrap, "kept", b"value")
    own_kafka.kill()
    own_kafka.start()
    assert _first(own_kafka.bootstrap, "kept", "consumer") == b"value"


@pytest.mark.redis
def test_redis_runs_the_scripts_that_fence_a_commit(redis_url: str) -> None:
    with closing(redis.Redis.from_url(redis_url)) as client:
        assert client.eval("return redis.call('PING')", 0) == b"PONG"


@pytest.mark.redis
def test_what_redis_put_on_disk_is_there_after_it_was_killed(own_redis: RedisServer) -> None:
    with closing(redis.Redis.from_url(own_redis.url)) as client:
        client.config_set("appendfsync", "always")
        client.set("kept", "value")
        own_redis.kill()
        own_redis.start()
        assert client.get("kept") == b"value"


@pytest.mark.kafka
def test_a_broker_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from deploy.kafka.broker import Broker\n"
        "broker = Broker(Path(sys.argv[1])); broker.start(); print(broker.bootstrap, flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        host, port = parent.stdout.readline().strip().split(":")
        assert serves((host, int(port)))
        os.kill(parent.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while serves((host, int(port))) and time.monotonic() < deadline:
        pass
    assert not serves((host, int(port)))

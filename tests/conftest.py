"""Servers for the tests, started at most once a session and dead with it; servers.py says where they come from. And a
worker's bench, which many tests begin with.

In CI a missing server fails the test that asks for it; elsewhere that test is skipped, saying what to install.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
from servers import NoServer, Server, kafka_server, redis_server

from deploy.kafka.broker import QUICK, Broker, BrokerFailed
from deploy.redis.server import RedisFailed, RedisServer

if TYPE_CHECKING:
    from trainlog import Bench

IN_CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}
FOUND = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def running(pytestconfig: pytest.Config) -> Iterator[ExitStack]:
    """The servers that end with the session, last started first."""
    pytestconfig.stash[FOUND] = []
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="session")
def kafka(running: ExitStack, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> str:
    """The bootstrap address of a real Apache Kafka that all tests share: use topics and groups of your own."""
    return _enter("Kafka", kafka_server(tmp_path_factory.mktemp("kafka")), running, pytestconfig)


@pytest.fixture(scope="session")
def redis_url(running: ExitStack, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> str:
    """The URL of a Redis that all tests share: use a key prefix of your own."""
    return _enter("Redis", redis_server(tmp_path_factory.mktemp("redis"), real=IN_CI), running, pytestconfig)


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[Broker]:
    """A started broker of this test's own, to ``kill`` and ``start`` again."""
    yield from _broker(tmp_path / "kafka")


@pytest.fixture(scope="module")
def frail_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """The same for the tests of one module, which leave it running."""
    yield from _broker(tmp_path_factory.mktemp("frail"))


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A started Redis of this test's own, to ``kill`` and ``start`` again."""
    try:
        server = RedisServer(tmp_path / "redis")
    except RedisFailed as failure:
        _missing(str(failure))
    with server:
        yield server


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which servers the tests ran against."""
    for line in config.stash.get(FOUND, []):
        terminalreporter.write_line(line)


def _broker(folder: Path) -> Iterator[Broker]:
    try:
        broker = Broker(folder, settings=QUICK)
    except BrokerFailed as failure:
        _missing(str(failure))
    with broker:
        yield broker


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Fold as the worker does; later tests find torch as it was."""
    import torch

    from learners.fingerprint import fix_threads

    threads = torch.get_num_threads()
    fix_threads()
    yield
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("default")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A log of train requests, and a folder for blobs."""
    from trainlog import Bench

    return Bench(tmp_path)


def _enter(name: str, server: AbstractContextManager[Server], running: ExitStack, config: pytest.Config) -> str:
    try:
        found = running.enter_context(server)
    except NoServer as failure:
        _missing(str(failure))
    config.stash[FOUND].append(f"{name} at {found.address}: {found.how}")
    return found.address


def _missing(why: str) -> NoReturn:
    if IN_CI:
        pytest.fail(why, pytrace=False)
    pytest.skip(why)

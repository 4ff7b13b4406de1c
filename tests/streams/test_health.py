"""Healthy means progress."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from streams.health import HealthServer, Limits, Verdict, Vitals, verdict
from streams.metrics import Metrics

NOW = 1_000.0
LIMITS = Limits(stall_s=30.0, poll_s=15.0, broker_s=20.0, recovery_s=100.0)


def vitals(**more: Any) -> Vitals:
    return Vitals(**{"started": 0.0, "polled": NOW, "progressed": NOW, **more})


@pytest.mark.parametrize(
    ("seen", "alive", "ready", "why"),
    [
        (vitals(), True, True, ()),
        (vitals(lag_records=0, progressed=0.0), True, True, ()),
        (vitals(lag_records=None, progressed=0.0), True, True, ()),
        (vitals(lag_records=5, progressed=NOW - 30), True, True, ()),
        (vitals(lag_records=5, progressed=NOW - 31), False, False, ("no progress for 31 s",)),
        (vitals(polled=NOW - 15), True, True, ()),
        (vitals(polled=NOW - 16), False, False, ("has not polled for 16 s",)),
        (vitals(broker_heard=NOW - 20), True, True, ()),
        (vitals(broker_heard=NOW - 21), False, False, ("the broker has been silent for 21 s",)),
        (vitals(broker_heard=None), True, True, ()),
        (vitals(not_taken="the store: gone"), True, False, ("the store: gone",)),
        (vitals(waiting_for="partitions"), True, False, ("waits for partitions",)),
        (vitals(recovering_since=NOW - 90, polled=NOW - 90), True, True, ()),
        (vitals(recovering_since=NOW - 90, polled=NOW - 90, lag_records=5, progressed=0.0), True, True, ()),
        (vitals(recovering_since=NOW - 101, polled=NOW - 101), False, False, ("has not polled for 101 s",)),
        (
            vitals(polled=NOW - 16, broker_heard=NOW - 21, not_taken="the store: gone"),
            False,
            False,
            ("has not polled", "the broker has been silent", "the store: gone"),
        ),
    ],
)
def test_a_role_is_judged_by_what_it_does(seen: Vitals, alive: bool, ready: bool, why: tuple[str, ...]) -> None:
    found = verdict(seen, NOW, LIMITS)
    assert (found.alive, found.ready) == (alive, ready)
    assert len(found.why) == len(why)
    assert all(said.startswith(expected) for said, expected in zip(found.why, why, strict=True))


@pytest.fixture
def server() -> Iterator[HealthServer]:
    found = HealthServer(
        Metrics(), {"session": lambda: Verdict(True, True), "curate": lambda: Verdict(True, False, ("waits",))}
    )
    yield found
    found.close()


def got(server: HealthServer, path: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_one_role_that_is_not_ready_makes_the_process_unready_and_says_why(server: HealthServer) -> None:
    status, body = got(server, "/healthz")
    assert status == 503
    assert json.loads(body)["curate"] == {"alive": True, "ready": False, "why": ["waits"]}
    server.roles = {"session": lambda: Verdict(True, True)}
    assert got(server, "/healthz")[0] == 200


def test_metrics_hold_the_verdicts(server: HealthServer) -> None:
    server.roles = {"session": lambda: Verdict(False, False), "curate": lambda: Verdict(True, False)}
    status, body = got(server, "/metrics")
    assert status == 200
    assert b'currere_healthy{role="session"} 0.0' in body
    assert b'currere_healthy{role="curate"} 1.0' in body


def test_other_paths_are_not_found(server: HealthServer) -> None:
    assert got(server, "/secrets")[0] == 404


def test_it_listens_on_loopback_alone(server: HealthServer) -> None:
    assert server._server.server_address[0] == "127.0.0.1"


def test_a_gauge_that_is_unknown_has_no_sample() -> None:
    metrics = Metrics()
    labels = {"role": "session", "topic": "t", "partition": "0"}
    metrics.forget("lag_records", **labels)
    metrics.gauge("lag_records", 3.0, **labels)
    assert metrics.registry.get_sample_value("currere_lag_records", labels) == 3.0
    metrics.forget("lag_records", **labels)
    assert metrics.registry.get_sample_value("currere_lag_records", labels) is None


@pytest.mark.parametrize("method", ["count", "gauge", "observe"])
def test_a_metric_that_is_not_listed_is_an_error(method: str) -> None:
    with pytest.raises(KeyError):
        getattr(Metrics(), method)("nonsense", 1.0, role="session")

"""What the doctor says of a cluster, a store, a clock and an installation, each found in some state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builders import MODEL, TENANT
from trainlog import CADENCE, Bench, ask, step

from schemas.topics import ALL, MAX_MESSAGE_BYTES
from state.store import Shard
from state.survey import NodeFound
from streams.checks import APART_S, Check, of_broker_clock, of_clock, of_cluster, of_node, of_state, of_topics
from streams.differences import Difference
from streams.doctor import HOME, OURS, examine, of_blobs, of_names, of_newest_snapshot, of_versions
from streams.engines.kafka_broker import KafkaBroker
from streams.engines.kafka_survey import ClusterFound, TopicFound
from streams.roles import ROLES
from streams.settings import Settings, load

NODE = NodeFound(
    "store",
    {
        "redis_version": "7.4.1", "role": "master", "aof_enabled": 1, "aof_last_write_status": "ok",
        "maxmemory_policy": "noeviction", "maxmemory": 0, "used_memory": 1_000_000, "connected_slaves": 0,
    },
    {"appendonly": "yes", "appendfsync": "always"},
    ahead_s=0.0,
    round_trip_s=0.001,
)  # fmt: skip
BROKER = {
    "message.max.bytes": "1048588",
    "replica.fetch.max.bytes": "1048576",
    "socket.request.max.bytes": "104857600",
    "auto.create.topics.enable": "false",
    "group.coordinator.rebalance.protocols": "classic,consumer",
    "min.insync.replicas": "1",
    "unclean.leader.election.enable": "false",
}


@pytest.fixture
def settings() -> Settings:
    return load()


def states(checks: Sequence[Check]) -> dict[str, str]:
    """The state by name, without what is well."""
    assert all(check.mend for check in checks if check.state != "ok")
    return {check.name: check.state for check in checks if check.state != "ok"}


def node(info: Mapping[str, Any] | None = None, **changed: Any) -> NodeFound:
    return replace(NODE, info={**NODE.info, **(info or {})}, **changed)


def test_a_store_that_keeps_and_never_evicts_is_well(settings: Settings) -> None:
    assert states(list(of_node(settings, NODE))) == {}


@pytest.mark.parametrize(
    ("found", "name", "state"),
    [
        (node({"aof_enabled": 0}), "store persistence", "fail"),
        (node({"aof_last_write_status": "err"}), "store persistence", "fail"),
        (node({"errorstat_MISCONF": {"count": 3}}), "store persistence", "warn"),
        (node(settings={"appendfsync": "no"}), "store persistence", "warn"),
        (node(settings={}), "store persistence", "warn"),
        (node({"redis_version": "7.0.15"}, settings={"appendfsync": "everysec"}), "store persistence", "warn"),
        (node({"maxmemory_policy": "allkeys-lru"}), "store memory", "fail"),
        (node({"maxmemory_policy": "volatile-ttl"}), "store memory", "warn"),
        (node({"maxmemory": 1_100_000}), "store memory", "warn"),
        (node({"role": "slave"}), "store", "fail"),
        (node(ahead_s=-60.0), "store clock", "warn"),
    ],
)
def test_what_a_store_lacks_is_named(settings: Settings, found: NodeFound, name: str, state: str) -> None:
    assert states(list(of_node(settings, found))) == {name: state}


@pytest.mark.parametrize(
    "found",
    [
        node({"redis_version": "7.0.15"}),
        node({"server_name": "valkey", "valkey_version": "9.1.0"}, settings={"appendfsync": "everysec"}),
        node({"maxmemory": 10_000_000}),
    ],
)
def test_other_ways_to_be_well(settings: Settings, found: NodeFound) -> None:
    assert states(list(of_node(settings, found))) == {}


def test_fewer_replicas_than_a_token_waits_for_are_a_failure() -> None:
    wanted = load(redis_replicas=2)
    assert states(list(of_node(wanted, node({"connected_slaves": 1})))) == {"store replicas": "fail"}
    assert states(list(of_node(wanted, node({"connected_slaves": 2})))) == {}


def test_a_broker_as_it_comes_is_well(settings: Settings) -> None:
    assert states(list(of_cluster(settings, ClusterFound(1, BROKER)))) == {}


@pytest.mark.parametrize(
    ("chosen", "brokers", "changed", "expected"),
    [
        ({}, 1, {"auto.create.topics.enable": "true"}, {"topic creation": "warn"}),
        ({}, 1, {"socket.request.max.bytes": str(MAX_MESSAGE_BYTES - 1)}, {"message size": "fail"}),
        ({}, 3, {}, {"message size": "warn"}),
        ({}, 3, {"replica.fetch.max.bytes": str(MAX_MESSAGE_BYTES)}, {}),
        ({"kafka_replication": 3}, 1, {"min.insync.replicas": "2"}, {"kafka": "fail"}),
        ({"kafka_replication": 3}, 1, {}, {"kafka": "fail", "replication": "warn"}),
        ({"group_protocol": "consumer"}, 1, {}, {}),
        (
            {"group_protocol": "consumer"},
            1,
            {"group.coordinator.rebalance.protocols": "classic"},
            {"group protocol": "fail"},
        ),
    ],
)
def test_what_a_broker_lacks_is_named(
    chosen: dict[str, object], brokers: int, changed: dict[str, str], expected: dict[str, str]
) -> None:
    assert states(list(of_cluster(load(**chosen), ClusterFound(brokers, {**BROKER, **changed})))) == expected


def test_a_broker_that_tells_nothing_is_a_warning(settings: Settings) -> None:
    assert states(list(of_cluster(settings, ClusterFound(1, None)))) == {"broker settings": "warn"}


def test_differences_of_topics_are_a_failure_that_names_the_first(settings: Settings) -> None:
    (check,) = of_topics(settings, {}, [Difference("edu.delta.v1", "topic", "present", "missing", "")])
    assert check.state == "fail"
    assert "edu.delta.v1" in check.found


def test_topics_on_fewer_brokers_than_set_are_a_warning() -> None:
    found = {topic.name: TopicFound(topic.name, 1, 1, {}) for topic in ALL}
    assert states(list(of_topics(load(kafka_replication=3), found, []))) == {"replicas": "warn"}


@pytest.mark.parametrize(("ahead_s", "error_s", "state"), [
    (0.0, 0.0, "ok"), (APART_S, 0.0, "ok"), (-APART_S - 0.1, 0.0, "warn"), (APART_S + 1, 1.5, "ok"),
])  # fmt: skip
def test_clocks_are_apart_when_no_error_of_measurement_explains_it(ahead_s: float, error_s: float, state: str) -> None:
    assert of_clock("clock", ahead_s, error_s).state == state


@pytest.mark.parametrize(("newest_ms", "state"), [(None, "ok"), (990_000, "ok"), (1_060_000, "warn")])
def test_a_record_from_the_future_shows_that_the_broker_is_ahead(newest_ms: int | None, state: str) -> None:
    assert of_broker_clock(newest_ms, now=1_000.0).state == state


def shards(count: int, offset: int = 10) -> dict[Shard, dict[str, int]]:
    """The session role's shards, each at ``offset`` of its interactions."""
    return {Shard("default", "session", n): {f"edu.interaction.v1/{n}": offset} for n in range(count)}


def counts(partitions: int) -> dict[str, int]:
    return dict.fromkeys(ROLES["session"].inputs, partitions)


def log(partitions: int, start: int = 0, end: int = 10) -> dict[tuple[str, int], tuple[int, int]]:
    return {("edu.interaction.v1", number): (start, end) for number in range(partitions)}


def test_state_of_as_many_partitions_as_the_topics_and_within_the_log_is_well() -> None:
    assert states(list(of_state(shards(4), counts(4), log(4)))) == {}


def test_an_empty_store_is_well() -> None:
    assert states(list(of_state({}, counts(4), {}))) == {}


@pytest.mark.parametrize(
    ("checks", "expected"),
    [
        (of_state(shards(4), counts(6), log(6)), {"session partitions": "warn"}),
        (of_state(shards(4), counts(4), log(4, end=9)), {"state offsets": "fail"}),
        (of_state(shards(4), counts(4), log(4, start=11, end=20)), {"state offsets": "fail"}),
        (of_state(shards(4), counts(4), log(3)), {"state offsets": "fail"}),
        (of_state(shards(4), counts(3), log(4)), {"session partitions": "fail"}),
        (of_state(shards(4), {**counts(4), "edu.feedback.v1": 5}, log(4)), {"session partitions": "fail"}),
    ],
    ids=["grown", "ahead of the log", "left behind by retention", "a place is gone", "shrunk", "not co-partitioned"],
)
def test_state_that_does_not_fit_the_log_is_named(checks: Any, expected: dict[str, str]) -> None:
    assert states(list(checks)) == expected


def test_another_distribution_with_a_package_of_our_name_is_named() -> None:
    check = of_names({"schemas": ["currere", "plain-schemas"], "state": ["currere"]}, lambda name: HOME)
    assert check.state == "fail"
    assert "plain-schemas" in check.mend


def test_a_package_of_our_name_from_another_folder_is_named() -> None:
    check = of_names({}, lambda name: Path("/elsewhere") if name == "state" else HOME)
    assert check.state == "fail"
    assert "state is imported from /elsewhere" in check.found


def test_our_own_packages_are_ours() -> None:
    assert of_names({name: ["currere"] for name in OURS}, lambda name: HOME).state == "ok"


def test_what_is_installed_here_is_enough() -> None:
    assert states(list(of_versions())) == {}


def test_a_folder_takes_gives_and_removes_a_blob(tmp_path: Path) -> None:
    assert of_blobs(load(blobs=f"file://{tmp_path}")).state == "ok"
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_folder_that_cannot_be_is_a_failure_that_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    check = of_blobs(load(blobs=f"file://{tmp_path}/file/blobs"))
    assert check.state == "fail"
    assert "directory" in check.found


def test_a_blob_store_that_was_not_mounted_is_seen_by_the_snapshot_that_it_lacks(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "mounted")
    ask(bench.log, *map(step, range(CADENCE.snapshot_steps)))
    here = load(tenant=TENANT, model=MODEL, blobs=bench.blobs.url)
    assert list(of_newest_snapshot(here, bench.log)) == []
    bench.fold(bench.worker())
    assert states(list(of_newest_snapshot(here, bench.log))) == {}
    (tmp_path / "mounted").rename(tmp_path / "elsewhere")
    assert of_blobs(here).state == "ok"
    assert states(list(of_newest_snapshot(here, bench.log))) == {"newest snapshot": "warn"}


def test_a_newest_snapshot_that_is_torn_or_in_another_store_is_seen(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "here")
    ask(bench.log, *map(step, range(CADENCE.snapshot_steps)))
    bench.fold(bench.worker())
    elsewhere = load(tenant=TENANT, model=MODEL, blobs=f"file://{tmp_path}/elsewhere")
    (other,) = of_newest_snapshot(elsewhere, bench.log)
    assert (other.state, "which is not in" in other.found) == ("warn", True)
    file = Path(bench.checkpoints()[-1].uri.removeprefix("file://"))
    file.write_bytes(file.read_bytes()[:10])
    (torn,) = of_newest_snapshot(load(tenant=TENANT, model=MODEL, blobs=bench.blobs.url), bench.log)
    assert (torn.state, "has 10 bytes" in torn.found) == ("warn", True)


def test_servers_that_do_not_answer_are_failures_and_the_rest_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.engines.kafka_survey.TIMEOUT_S", 0.5)
    nowhere = load(kafka="127.0.0.1:1", redis="redis://127.0.0.1:1/0", blobs=f"file://{tmp_path}")
    found = list(examine(nowhere, KafkaBroker(nowhere.kafka), lambda: 0.0))
    assert {check.name for check in found if check.state == "fail"} == {"kafka", "store"}
    assert found[-1].name == "blobs"

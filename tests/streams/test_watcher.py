"""Whoever follows a model has what the worker has, whenever it began, and never anything else."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from builders import MODEL, SMALL, TENANT, records
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trainlog import Bench, ask, caught_up, digests, example, reset, step

from learners.delta import delta_parts
from learners.served import Served
from schemas import topics
from streams.blobs import Blobs, BlobUnavailable
from streams.compose import genesis_request
from streams.engines.memory import MemoryLog
from streams.message import Message
from streams.processor import message
from streams.watcher import RETRY_S, ModelWatcher
from streams.worker import Cadence, Worker

pytestmark = pytest.mark.usefixtures("one_thread")

ONLY_GENESIS = Cadence(delta_s=1.0, snapshot_steps=10_000, snapshot_s=1e9)


def learn(bench: Bench, worker: Worker, *steps: int) -> None:
    """Fold these steps and let a delta leave after each."""
    for n in steps:
        ask(bench.log, step(n))
        bench.fold(worker)
        bench.clock.advance(2.0)
        bench.fold(worker)


def begun(bench: Bench) -> Worker:
    worker = bench.worker()
    bench.fold(worker)
    return worker


def test_there_is_no_model_before_there_is_a_checkpoint(bench: Bench) -> None:
    watcher = bench.watcher()
    assert watcher.current is None
    worker = begun(bench)
    assert watcher.step(0.0)
    assert caught_up(watcher) == digests(worker)[1]


def test_a_delta_is_swapped_in_and_told_of_with_its_feedback_s_arrival(bench: Bench) -> None:
    worker = begun(bench)
    swaps: list[tuple[str, list[int]]] = []
    watcher: ModelWatcher[Served] = ModelWatcher(
        bench.log, bench.blobs, TENANT, MODEL, lambda served: served, lambda s, ms: swaps.append((s.version, ms))
    )
    watcher.step(0.0)
    learn(bench, worker, 0)
    assert watcher.step(0.0)
    assert not watcher.step(0.0), "nothing is fresher"
    first, second = swaps
    assert first[1] == []
    assert second == (digests(worker)[0], [example(n).feedback_ms for n in range(2)])


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from(["step", "step", "delta", "watch", "snapshot", "worker"]), max_size=14))
def test_a_watcher_started_at_any_time_reaches_the_worker_s_digest(actions: list[str]) -> None:
    with TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        worker = bench.worker()
        watchers = [bench.watcher()]
        steps = 0
        for action in actions:
            if action == "step":
                ask(bench.log, step(steps))
                steps += 1
                bench.fold(worker)
            elif action == "watch":
                watchers.append(bench.watcher())
            elif action == "worker":
                worker = bench.worker()
                bench.fold(worker)
            else:
                bench.clock.advance(2.0 if action == "delta" else 61.0)
                bench.fold(worker)
            for watcher in watchers[::2]:
                watcher.step(0.0)
        bench.fold(worker)
        worker.close(1.0)
        watchers.append(bench.watcher())
        assert {caught_up(watcher) for watcher in watchers} == {digests(worker)[1]}
        assert [watcher.refused for watcher in watchers] == [0] * len(watchers)


def test_a_watcher_follows_a_reset(bench: Bench) -> None:
    worker = begun(bench)
    watcher = bench.watcher()
    learn(bench, worker, 0, 1)
    ask(bench.log, reset(bench.checkpoints()[0].version))
    learn(bench, worker, 2)
    assert caught_up(watcher) == digests(worker)[1]
    assert watcher.refused == 0


def test_another_model_s_and_another_tenant_s_events_are_not_followed(bench: Bench) -> None:
    worker = begun(bench)
    watcher = bench.watcher()
    for tenant, name in (("elm", MODEL), (TENANT, "another")):
        other = Worker(bench.log, bench.log.producer(), bench.blobs, worker.metrics, bench.clock, tenant, name,
                       bench.cadence, 0)  # fmt: skip
        ask_as(bench.log, tenant, name)
        bench.fold(other)
    before = watcher.current
    assert not watcher.step(0.0)
    assert watcher.current is before


def ask_as(log: MemoryLog, tenant: str, model: str) -> None:
    """The genesis of another model."""
    request = genesis_request(model, SMALL, 1)
    log.append(message(request, tenant, f"/currere/{tenant}/curate", 0, log.partitions()))


# Torn and flipped.


def last(bench: Bench, topic: Any) -> Message:
    record = records(bench.log, topic)[-1]
    headers = tuple((name, content or b"") for name, content in record.headers)
    return Message(topic.name, 0, record.key or b"", record.value or b"", headers)


def instead(log: MemoryLog, topic: Any, value: bytes) -> None:
    """Make ``value`` the value of the last record on ``topic``."""
    held = log._topics[topic.name][0].records
    held[-1] = replace(held[-1], value=value)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_delta_with_a_flipped_bit_changes_nothing_and_a_checkpoint_mends_it(
    tmp_path: Path, data: st.DataObject
) -> None:
    bench = Bench(tmp_path / "blobs", cadence=ONLY_GENESIS)
    worker = begun(bench)
    learn(bench, worker, 0)
    watcher = bench.watcher()
    good = {caught_up(watcher)}
    learn(bench, worker, 1)
    good.add(digests(worker)[1])
    value = bytearray(last(bench, topics.DELTA).value)
    header = 8 + int.from_bytes(value[:8], "little")
    bit = data.draw(st.integers(0, 8 * header - 1) | st.integers(0, 8 * len(value) - 1))
    value[bit // 8] ^= 1 << bit % 8
    instead(bench.log, topics.DELTA, bytes(value))
    assert caught_up(watcher) in good
    learn(bench, worker, 2)
    worker.cadence = Cadence(delta_s=1.0, snapshot_steps=1)
    learn(bench, worker, 3)
    assert caught_up(watcher) == digests(worker)[1]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_flipped_or_cut_snapshot_is_refused_and_the_one_before_serves(tmp_path: Path, data: st.DataObject) -> None:
    bench = Bench(tmp_path / "blobs")
    worker = begun(bench)
    learn(bench, worker, 0, 1, 2)
    newest = bench.checkpoints()[-1]
    path = bench.folder / newest.uri.removeprefix(f"{bench.blobs.url}/")
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        bit = data.draw(st.integers(0, 8 * len(content) - 1))
        content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    watcher = bench.watcher()
    assert caught_up(watcher) == digests(worker)[1], "the older snapshot and the deltas since"
    assert watcher.refused == 1


def test_a_checkpoint_that_claims_what_its_blob_is_not_is_refused(bench: Bench) -> None:
    begun(bench)
    watcher = bench.watcher()
    held = watcher.current
    sent = last(bench, topics.CHECKPOINT)
    claims = {**json.loads(sent.value), "lineage": "another", "version": "another:1"}
    bench.log.append(replace(sent, value=json.dumps(claims).encode()))
    assert not watcher.step(0.0)
    assert (watcher.current, watcher.refused) == (held, 1)


def test_unreadable_events_are_refused_and_the_last_good_model_serves(bench: Bench) -> None:
    worker = begun(bench)
    watcher = bench.watcher()
    for topic in (topics.CHECKPOINT, topics.DELTA):
        bench.log.append(replace(last(bench, topics.CHECKPOINT), topic=topic.name, value=b"garbage"))
    watcher.step(0.0)
    assert watcher.refused == 2
    learn(bench, worker, 0)
    assert caught_up(watcher) == digests(worker)[1]


def test_a_refusal_is_told_of(bench: Bench) -> None:
    begun(bench)
    refusals: list[str] = []
    watcher: ModelWatcher[None] = ModelWatcher(
        bench.log, bench.blobs, TENANT, MODEL, lambda served: None, on_refusal=lambda: refusals.append("refused")
    )
    watcher.step(0.0)
    bench.log.append(replace(last(bench, topics.CHECKPOINT), value=b"garbage"))
    watcher.step(0.0)
    assert len(refusals) == watcher.refused == 1


def test_a_delta_that_ends_elsewhere_than_its_version_says_is_refused(bench: Bench) -> None:
    bench.cadence = ONLY_GENESIS
    worker = begun(bench)
    watcher = bench.watcher()
    learn(bench, worker, 0)
    value = last(bench, topics.DELTA).value
    assert value.count(b'\\"b\\":2') == 1
    instead(bench.log, topics.DELTA, value.replace(b'\\"b\\":2', b'\\"b\\":9'))
    before = watcher.current
    watcher.step(0.0)
    assert (watcher.current, watcher.refused) == (before, 1)


def test_after_a_missing_delta_the_next_checkpoint_serves(bench: Bench) -> None:
    bench.cadence = ONLY_GENESIS
    worker = begun(bench)
    watcher = bench.watcher()
    learn(bench, worker, 0)
    instead(bench.log, topics.DELTA, b"lost")
    learn(bench, worker, 1)
    assert caught_up(watcher) != digests(worker)[1]
    worker.cadence = Cadence(delta_s=1.0, snapshot_steps=1)
    learn(bench, worker, 2)
    assert caught_up(watcher) == digests(worker)[1]
    learn(bench, worker, 3)
    assert caught_up(watcher) == digests(worker)[1]


def test_deltas_that_have_left_retention_do_not_stop_a_watcher(bench: Bench) -> None:
    worker = begun(bench)
    watcher = bench.watcher()
    learn(bench, worker, 0, 1, 2, 3)
    bench.log.expire(topics.DELTA.name, 0, 3)
    assert caught_up(watcher) == digests(worker)[1]


class AwayBlobs(Blobs):
    """A blob store that does not answer while it is ``away``."""

    away = False

    def get(self, uri: str, size: int, sha256: str) -> bytes:
        if self.away:
            raise BlobUnavailable("away")
        return super().get(uri, size, sha256)


def test_while_the_snapshot_store_is_away_deltas_are_enough(bench: Bench) -> None:
    blobs = AwayBlobs(bench.blobs.url)
    bench.blobs = blobs
    worker = begun(bench)
    watcher = bench.watcher()
    blobs.away = True
    learn(bench, worker, 0, 1, 2, 3)
    assert caught_up(watcher) == digests(worker)[1]


def test_a_watcher_that_begins_while_the_snapshot_store_is_away_has_its_model_once_it_is_back(bench: Bench) -> None:
    worker = begun(bench)
    learn(bench, worker, 0)
    blobs = AwayBlobs(bench.blobs.url)
    blobs.away = True
    watcher: ModelWatcher[str] = ModelWatcher(
        bench.log, blobs, TENANT, MODEL, lambda served: served.digest(), clock=bench.clock
    )
    assert not watcher.step(0.0)
    blobs.away = False
    assert not watcher.step(0.0), "it does not ask at every step"
    bench.clock.advance(RETRY_S)
    assert watcher.step(0.0), "though no other checkpoint has come"
    assert caught_up(watcher) == digests(worker)[1]


# Large deltas.


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.worker.delta_parts", partial(delta_parts, max_bytes=2_000))


@pytest.mark.usefixtures("small_parts")
def test_a_delta_in_parts_is_swapped_in_once_and_whole(bench: Bench) -> None:
    bench.cadence = ONLY_GENESIS
    worker = begun(bench)
    swaps: list[str] = []
    watcher: ModelWatcher[Served] = ModelWatcher(
        bench.log, bench.blobs, TENANT, MODEL, lambda served: served, lambda served, _: swaps.append(served.digest())
    )
    learn(bench, worker, 0)
    assert len(records(bench.log, topics.DELTA)) > 1
    watcher.step(0.0)
    assert swaps[1:] == [digests(worker)[1]]


@pytest.mark.usefixtures("small_parts")
def test_a_delta_of_which_a_part_is_missing_is_replaced_by_the_next_worker_s(bench: Bench) -> None:
    bench.cadence = ONLY_GENESIS
    worker = begun(bench)
    watcher = bench.watcher()
    learn(bench, worker, 0)
    bench.log._topics[topics.DELTA.name][0].records.pop()  # the worker ended before it had sent the last part
    before = watcher.current
    assert not watcher.step(0.0)
    again = bench.worker()
    learn(bench, again, 1)
    assert caught_up(watcher) == digests(again)[1]
    assert before is not watcher.current
    assert watcher.refused == 0

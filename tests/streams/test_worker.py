"""The model is a fold over the log, however often the worker ends, and every step of it leaves once."""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import pytest
from builders import MODEL, SMALL, TENANT, records
from hypothesis import given, settings
from hypothesis import strategies as st
from trainlog import CADENCE, PLACE, Bench, ask, digests, example, reset, step, train_log

from learners.model import Table, served_digest
from learners.parameters import EMBED
from learners.request import encode_request
from learners.snapshot import restore
from schemas import topics
from schemas.codec import manifest
from schemas.errors import BrokerError
from schemas.model import Delta
from schemas.training import TrainRequest
from streams.blobs import Blobs, BlobUnavailable
from streams.compose import Chosen, genesis_request, step_request
from streams.engines.broker import Acknowledged
from streams.engines.memory import MemoryProducer
from streams.message import Message
from streams.processor import Output, message
from streams.worker import RETRY_S, Cadence, Worker

pytestmark = pytest.mark.usefixtures("one_thread")

STEPS = 8


@pytest.fixture(scope="module")
def undisturbed() -> tuple[str, str, str]:
    """What the log folds to when nothing goes wrong."""
    with TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        ask(bench.log, *map(step, range(STEPS)))
        worker = bench.worker()
        bench.fold(worker)
        return digests(worker)


# Interruptions.

ACTIONS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([0.0, 2.0, 61.0]), st.sampled_from(["on", "on", "crash", "close"])),
    max_size=8,
)


@settings(max_examples=25, deadline=None)
@given(ACTIONS)
def test_interrupted_anywhere_the_fold_is_the_undisturbed_one(
    undisturbed: tuple[str, str, str], actions: list[tuple[int, float, str]]
) -> None:
    with TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        ask(bench.log, *map(step, range(STEPS)))
        worker = bench.worker()
        for count, seconds, then in actions:
            bench.fold(worker, count)
            bench.clock.advance(seconds)
            bench.fold(worker, 0)
            if then == "close":
                worker.close(1.0)
            if then != "on":
                worker = bench.worker()
        bench.fold(worker)
        assert digests(worker) == undisturbed
        assert [(step.offset, step.applied) for step in bench.steps()] == [(n, True) for n in range(STEPS + 1)]
        assert len({checkpoint.lineage for checkpoint in bench.checkpoints()}) <= 1


def test_a_worker_goes_on_where_its_snapshot_stands(bench: Bench) -> None:
    ask(bench.log, *map(step, range(STEPS)))
    first = bench.worker()
    bench.fold(first)
    first.close(1.0)
    second = bench.worker()
    assert second.offsets == {PLACE: STEPS + 1}
    assert digests(second) == digests(first)


def test_steps_that_are_folded_again_are_not_published_again(bench: Bench) -> None:
    ask(bench.log, *map(step, range(2)))
    bench.fold(bench.worker())
    assert len(bench.steps()) == 3
    again = bench.worker()
    assert again.offsets.get(PLACE, 0) < 3, "there is something to fold again"
    bench.fold(again)
    assert len(bench.steps()) == 3


def test_a_clean_end_leaves_nothing_to_fold_again(bench: Bench) -> None:
    ask(bench.log, *map(step, range(2)))
    worker = bench.worker()
    bench.fold(worker)
    worker.close(1.0)
    assert bench.checkpoints()[-1].next_offset == 3


def test_an_end_while_folding_again_publishes_nothing_half_way(bench: Bench) -> None:
    ask(bench.log, step(0), step(1))
    worker = bench.worker()
    bench.fold(worker)
    bench.clock.advance(2.0)
    bench.fold(worker, 0)
    before = (len(records(bench.log, topics.DELTA)), len(bench.checkpoints()))
    again = bench.worker()
    bench.fold(again, 1)
    again.close(1.0)
    assert (len(records(bench.log, topics.DELTA)), len(bench.checkpoints())) == before


def test_records_that_were_folded_are_passed_over(bench: Bench) -> None:
    ask(bench.log, step(0))
    worker = bench.worker()
    bench.fold(worker)
    before = digests(worker)
    worker.process(records(bench.log, topics.TRAIN_REQUEST), bench.clock())
    assert (digests(worker), len(bench.steps()), bench.dead()) == (before, 2, [])


# Requests that cannot be used, or need not.


def unfit(kind: str) -> Output:
    """A request that is readable and cannot be folded."""
    if kind == "genesis":
        cannot_be = TrainRequest(kind="genesis", model=MODEL, seed=0, reason="test", settings={"hidden": -1})
        good = genesis_request(MODEL, SMALL, 0)
        return Output(topics.TRAIN_REQUEST, MODEL, "bad", good.time, cannot_be, (), encode_request(cannot_be, {}))
    if kind == "reset":
        return reset("lineage:99")
    odd = example(90).model_copy(update={"labels": {"move": "sneezing"}})
    return step_request(MODEL, [Chosen.of(odd)], [], [], 0, step(0).time, ())


@pytest.mark.parametrize("kind", ["garbage", "genesis", "reset", "label"])
def test_a_poison_request_is_a_dead_letter_once_and_the_fold_goes_on(
    bench: Bench, undisturbed: tuple[str, str, str], kind: str
) -> None:
    ask(bench.log, step(0))
    if kind == "garbage":
        bench.log.append_raw(topics.TRAIN_REQUEST.name, 0, MODEL.encode(), b"\x00garbage")
    else:
        ask(bench.log, unfit(kind))
    ask(bench.log, *map(step, range(1, STEPS)))
    bench.fold(bench.worker(), 4)
    worker = bench.worker()
    bench.fold(worker)
    assert bench.dead() == [2]
    assert digests(worker)[1:] == undisturbed[1:]
    assert [found.offset for found in bench.steps()] == [n for n in range(STEPS + 2) if n != 2]


def test_a_repeated_genesis_is_a_no_op(bench: Bench, undisturbed: tuple[str, str, str]) -> None:
    ask(bench.log, *map(step, range(3)), genesis_request(MODEL, SMALL, 7), *map(step, range(3, STEPS)))
    worker = bench.worker()
    bench.fold(worker)
    assert digests(worker)[1:] == undisturbed[1:]
    (no_op,) = [found for found in bench.steps() if not found.applied]
    assert no_op.offset == 4
    ids = [record.header("ce_id") for record in records(bench.log, topics.TRAIN_STEP)]
    assert len(set(ids)) == len(ids)


def test_a_repeated_request_is_a_no_op(bench: Bench, undisturbed: tuple[str, str, str]) -> None:
    ask(bench.log, step(0), step(0), *map(step, range(1, STEPS)), step(3))
    worker = bench.worker()
    bench.fold(worker)
    assert digests(worker)[1:] == undisturbed[1:]


def test_a_step_before_any_genesis_is_a_dead_letter(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.log.expire(topics.TRAIN_REQUEST.name, 0, 1)
    ask(bench.log, step(0), genesis_request(MODEL, SMALL, 7))
    worker = bench.worker()
    worker.process(records(bench.log, topics.TRAIN_REQUEST), bench.clock())
    assert bench.dead() == [1]
    assert digests(worker)[0].endswith(":3")


def test_requests_for_another_model_or_tenant_are_left_to_its_worker(bench: Bench) -> None:
    other = step_request("another", [Chosen.of(example(0))], [], [], 0, step(0).time, ())
    bench.log.append(message(other, TENANT, "/currere/oakfield/curate", 0, bench.log.partitions()))
    bench.log.append(message(step(0), "elm", "/currere/elm/curate", 0, bench.log.partitions()))
    worker = bench.worker()
    bench.fold(worker)
    assert (digests(worker)[0][-2:], bench.dead(), len(bench.steps())) == (":1", [], 1)
    assert worker.offsets[PLACE] == 3


# Resets.


def test_a_reset_goes_back_and_forgets_nothing_that_was_folded(bench: Bench) -> None:
    ask(bench.log, *map(step, range(3)))
    worker = bench.worker()
    bench.fold(worker)
    good = bench.checkpoints()[-1]
    assert good.next_offset == 4
    ask(bench.log, *map(step, range(3, 5)), reset(good.version))
    bench.fold(worker)
    assert worker.model is not None
    assert served_digest(worker.model) == good.digest
    ask(bench.log, step(3))
    bench.fold(worker)
    assert not bench.steps()[-1].applied, "what was folded before the reset is not folded again"


def test_snapshots_go_on_after_a_reset(bench: Bench) -> None:
    ask(bench.log, *map(step, range(8)))
    worker = bench.worker()
    bench.fold(worker)
    ask(bench.log, reset(bench.checkpoints()[0].version), *map(step, range(8, 12)))
    before = len(bench.checkpoints())
    bench.fold(worker)
    assert len(bench.checkpoints()) > before


@pytest.mark.skipif(sys.platform != "linux", reason="it asks the kernel what is resident")
def test_a_worker_has_the_memory_of_its_tables_before_it_learns_and_after_a_reset(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.log = train_log(1, bench.clock, replace(SMALL, buckets=2**18, dim=32))  # too large to lie in what was freed
    worker = bench.worker()
    bench.fold(worker, 1)
    (before,) = (table.packed for name, table in tables_of(worker).items() if name == EMBED)
    assert resident_share(before) > 0.99
    bench.fold(worker)
    ask(bench.log, reset(bench.checkpoints()[0].version))
    bench.fold(worker)
    after = tables_of(worker)[EMBED].packed
    assert after is not before
    assert resident_share(after) > 0.99


def tables_of(worker: Worker) -> Mapping[str, Table]:
    assert worker.model is not None
    return worker.model.tables


def resident_share(array: npt.NDArray[np.float32]) -> float:
    """The share of the pages that lie wholly in ``array`` that the kernel has given memory to."""
    first = -(-array.ctypes.data // mmap.PAGESIZE)
    pages = (ctypes.c_ubyte * ((array.ctypes.data + array.nbytes) // mmap.PAGESIZE - first))()
    where, size = ctypes.c_void_p(first * mmap.PAGESIZE), ctypes.c_size_t(len(pages) * mmap.PAGESIZE)
    assert ctypes.CDLL(None).mincore(where, size, pages) == 0
    return sum(page & 1 for page in pages) / len(pages)


# What leaves.


def test_deltas_leave_no_more_often_than_they_may(bench: Bench) -> None:
    bench.cadence = Cadence(delta_s=1.0, snapshot_steps=100, snapshot_s=1e6)
    worker = bench.worker()
    bench.fold(worker)
    for n in range(6):
        ask(bench.log, step(n))
        bench.fold(worker)
        bench.clock.advance(0.5)
    found = [Delta.model_validate_json(value) for value in manifests(bench)]
    assert [(delta.a, delta.b) for delta in found] == [(1, 4), (4, 6)]


def manifests(bench: Bench) -> list[bytes]:
    return [manifest(record.value) for record in records(bench.log, topics.DELTA)]


def test_deltas_cover_the_log_without_gaps(bench: Bench) -> None:
    ask(bench.log, *map(step, range(STEPS)))
    worker = bench.worker()
    while bench.fold(worker, 2):
        bench.clock.advance(2.0)
    worker.close(1.0)
    found = [Delta.model_validate_json(value) for value in manifests(bench)]
    assert [delta.a for delta in found] == [1, *(delta.b for delta in found[:-1])]
    assert found[-1].b == STEPS + 1


def test_a_snapshot_that_a_new_worker_begins_with_leaves_no_gap_between_deltas(bench: Bench) -> None:
    ask(bench.log, *map(step, range(CADENCE.snapshot_steps)))
    bench.fold(bench.worker())
    assert bench.checkpoints()[-1].next_offset == CADENCE.snapshot_steps + 1
    worker = bench.worker()
    ask(bench.log, step(CADENCE.snapshot_steps))
    bench.fold(worker)
    worker.close(1.0)
    found = [Delta.model_validate_json(value) for value in manifests(bench)]
    assert [delta.a for delta in found] == [1, *(delta.b for delta in found[:-1])]


def test_a_delta_tells_when_the_feedback_arrived_that_it_learned_from(bench: Bench) -> None:
    ask(bench.log, step(0), step(1))
    worker = bench.worker()
    bench.fold(worker)
    worker.close(1.0)
    (record,) = records(bench.log, topics.DELTA)
    assert record.header("ce_arrivals") == ",".join(str(example(n).feedback_ms) for n in range(4))


def test_a_snapshot_leaves_by_steps_and_by_time(bench: Bench) -> None:
    worker = bench.worker()
    bench.fold(worker)
    assert [c.next_offset for c in bench.checkpoints()] == [1], "a lineage begins with a snapshot"
    ask(bench.log, *map(step, range(4)))
    bench.fold(worker)
    assert [c.next_offset for c in bench.checkpoints()] == [1, 1 + CADENCE.snapshot_steps]
    bench.clock.advance(CADENCE.snapshot_s)
    bench.fold(worker)
    assert [c.next_offset for c in bench.checkpoints()] == [1, 4, 5]
    bench.clock.advance(CADENCE.snapshot_s)
    bench.fold(worker)
    assert len(bench.checkpoints()) == 3, "without steps there is nothing new"


def test_a_checkpoint_tells_what_lies_in_its_blob(bench: Bench) -> None:
    worker = bench.worker()
    bench.fold(worker)
    (found,) = bench.checkpoints()
    model = restore(bench.blobs.get(found.uri, found.size, found.sha256))
    assert (model.version, served_digest(model)) == (found.version, found.digest) == digests(worker)[:2]


# Faults.


class AwayBlobs(Blobs):
    """A blob store that does not answer while it is ``away``."""

    away = False

    def put(self, path: str, content: bytes) -> str:
        if self.away:
            raise BlobUnavailable("away")
        return super().put(path, content)

    def get(self, uri: str, size: int, sha256: str) -> bytes:
        if self.away:
            raise BlobUnavailable("away")
        return super().get(uri, size, sha256)


def test_while_the_snapshot_store_is_away_deltas_go_on_and_a_snapshot_follows(bench: Bench) -> None:
    blobs = AwayBlobs(bench.blobs.url)
    bench.blobs = blobs
    worker = bench.worker()
    bench.fold(worker)
    blobs.away = True
    ask(bench.log, *map(step, range(4)))
    while bench.fold(worker, 1):
        bench.clock.advance(1.0)
    assert len(records(bench.log, topics.DELTA)) >= 3
    assert [c.next_offset for c in bench.checkpoints()] == [1]
    blobs.away = False
    bench.clock.advance(RETRY_S)
    bench.fold(worker)
    assert [c.next_offset for c in bench.checkpoints()] == [1, 5]


def test_a_genesis_whose_snapshot_was_not_stored_is_tried_again(bench: Bench) -> None:
    blobs = AwayBlobs(bench.blobs.url)
    bench.blobs, blobs.away = blobs, True
    worker = bench.worker()
    bench.fold(worker)
    blobs.away = False
    assert bench.checkpoints() == []
    bench.clock.advance(RETRY_S)
    bench.fold(worker)
    assert [c.next_offset for c in bench.checkpoints()] == [1]


def test_a_reset_whose_snapshot_cannot_be_fetched_now_stops_the_fold_and_is_no_dead_letter(bench: Bench) -> None:
    blobs = AwayBlobs(bench.blobs.url)
    bench.blobs = blobs
    worker = bench.worker()
    bench.fold(worker)
    ask(bench.log, step(0), reset(bench.checkpoints()[0].version))
    blobs.away = True
    with pytest.raises(BlobUnavailable):
        bench.fold(worker)
    blobs.away = False
    bench.fold(bench.worker())
    assert (bench.dead(), [found.offset for found in bench.steps()]) == ([], [0, 1, 2])


def torn(bench: Bench, version: str) -> None:
    """Flip a bit in the middle of a snapshot."""
    (path,) = (p for p in bench.folder.rglob("*.safetensors") if p.stem == version.split(":")[1])
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_torn_snapshot_is_passed_over_for_the_one_before(bench: Bench, undisturbed: tuple[str, str, str]) -> None:
    ask(bench.log, *map(step, range(STEPS)))
    bench.fold(bench.worker())
    torn(bench, bench.checkpoints()[-1].version)
    worker = bench.worker()
    assert worker.offsets[PLACE] == bench.checkpoints()[-2].next_offset
    bench.fold(worker)
    assert digests(worker) == undisturbed
    assert len(bench.steps()) == STEPS + 1


def test_without_any_snapshot_the_fold_begins_with_the_log(bench: Bench, undisturbed: tuple[str, str, str]) -> None:
    ask(bench.log, *map(step, range(STEPS)))
    bench.fold(bench.worker())
    for path in bench.folder.rglob("*.safetensors"):
        path.unlink()
    worker = bench.worker()
    bench.fold(worker)
    assert digests(worker) == undisturbed
    assert len(bench.steps()) == STEPS + 1


def test_a_fold_that_does_not_reach_what_was_published_begins_a_lineage(bench: Bench) -> None:
    ask(bench.log, step(0), step(1))
    worker = bench.worker()
    bench.fold(worker)
    bench.clock.advance(2.0)
    bench.fold(worker)
    assert worker.model is not None
    lineage = worker.model.lineage
    (record,) = records(bench.log, topics.DELTA)
    value = (record.value or b"").replace(served_digest(worker.model).encode(), b"0" * 64)
    headers = tuple((name, content or b"") for name, content in record.headers)
    bench.log.append(Message(topics.DELTA.name, 0, MODEL.encode(), value, headers))
    again = bench.worker()
    bench.fold(again)
    assert again.model is not None
    assert again.model.lineage != lineage
    assert bench.checkpoints()[-1].version == again.model.version, "with a snapshot, so that consumers can begin"
    assert served_digest(again.model) == served_digest(worker.model)


class RefusingProducer(MemoryProducer):
    def send(self, message: Message, on_ack: Acknowledged) -> None:
        on_ack(None, "message too large")


def test_an_output_that_the_log_does_not_accept_stops_the_worker(bench: Bench) -> None:
    worker = bench.worker(RefusingProducer(bench.log))
    bench.fold(worker)
    with pytest.raises(BrokerError, match="message too large"):
        worker.beat()

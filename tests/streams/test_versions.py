"""The weights of any published version, from snapshots and deltas as a worker leaves them in the log."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from learners.delta import delta_parts, no_changes
from learners.fingerprint import fingerprint
from learners.fold import fold
from learners.model import Model, served_digest, trained_digest
from learners.snapshot import snapshot
from schemas import codec, topics
from schemas.envelope import Envelope
from schemas.event import Data
from schemas.model import Checkpoint, Delta
from schemas.topics import Topic
from streams.blobs import Blobs
from streams.checkpoints import NoSuchVersion, history, kept_as
from streams.engines.memory import ManualClock, MemoryLog
from streams.message import Message
from streams.versions import served_at
from tests.learners.cases import begun, moves, ones, step_request

TENANT, NAME = "oakfield", "main"
SNAPSHOTS, DELTAS = (1, 6), ((1, 3), (3, 4), (4, 6), (6, 9))


@dataclass
class Published:
    """A log and blobs, and the digest that the worker served at each offset."""

    log: MemoryLog
    blobs: Blobs
    lineage: str
    digests: dict[int, str]

    def version(self, offset: int) -> str:
        return f"{self.lineage}:{offset}"

    def at(self, version: str) -> str:
        return served_at(self.log, self.blobs, TENANT, NAME, version).digest()


def publish(folder: Path, snapshots: Sequence[int] = SNAPSHOTS, deltas: Sequence[tuple[int, int]] = DELTAS,
            part_bytes: int = 850_000) -> Published:  # fmt: skip
    """A model folded to the end of the last delta, with snapshots at these offsets and deltas over these ranges."""
    log = MemoryLog(ManualClock())
    log.create((topics.CHECKPOINT, topics.DELTA), lambda topic: 1)
    blobs, model = Blobs(f"file://{folder}"), begun()
    changes = {begins: no_changes(begins) for begins, _ in deltas}
    digests = {}
    while True:
        digests[model.next_offset] = served_digest(model)
        for a, b in deltas:
            if b == model.next_offset:
                put_delta(log, model, delta_parts(model, changes[a], a, b, NAME, part_bytes))
        if model.next_offset in snapshots:
            put_snapshot(log, blobs, model)
        if model.next_offset == deltas[-1][1]:
            return Published(log, blobs, model.lineage, digests)
        offset = model.next_offset
        request = step_request(moves(4 * offset, 4))
        model, report = fold(model, request, ones(request), f"request-{offset}", offset)
        changes = {a: change.and_then(report.touched) if a <= offset else change for a, change in changes.items()}


def put_snapshot(log: MemoryLog, blobs: Blobs, model: Model) -> None:
    content = snapshot(model)
    data = Checkpoint(
        model=NAME,
        lineage=model.lineage,
        version=model.version,
        next_offset=model.next_offset,
        uri=blobs.put(f"{model.next_offset}", content),
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        digest=served_digest(model),
        trained_digest=trained_digest(model),
        fingerprint=fingerprint(),
        settings=model.settings.to_dict(),
    )
    put(log, topics.CHECKPOINT, data, codec.encode(data))


def put_delta(log: MemoryLog, model: Model, parts: Sequence[bytes]) -> None:
    for part in parts:
        put(log, topics.DELTA, codec.decode_data(Delta, codec.manifest(part)), part)


def put(log: MemoryLog, topic: Topic, data: Data, value: bytes) -> None:
    time = datetime(2026, 3, 2, tzinfo=UTC)
    envelope = Envelope(str(log.ends(topic.name, 0)[1]), "/currere/worker", data.TYPE, time, NAME, data.VERSION, TENANT,
                        codec.content_type(topic))  # fmt: skip
    log.append(Message(topic.name, 0, NAME.encode(), value, envelope.headers()))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return publish(tmp_path_factory.mktemp("blobs"))


@pytest.mark.parametrize("offset", [1, 3, 4, 6, 9])
def test_every_version_that_was_served_is_what_it_was(published: Published, offset: int) -> None:
    assert published.at(published.version(offset)) == published.digests[offset]


def test_latest_goes_beyond_the_last_snapshot(published: Published) -> None:
    assert published.at("latest") == published.digests[9]


@pytest.mark.parametrize("offset", [0, 2, 5, 7, 10])
def test_a_version_that_nobody_served_is_not_made_up(published: Published, offset: int) -> None:
    with pytest.raises(NoSuchVersion, match="model list"):
        published.at(published.version(offset))


@pytest.mark.parametrize("version", ["", "6", "main", ":6", "main:", "other:6"])
def test_what_is_no_version_of_this_model_is_an_error(published: Published, version: str) -> None:
    with pytest.raises(NoSuchVersion):
        published.at(version)


def test_a_delta_in_many_parts_is_applied_whole(tmp_path: Path) -> None:
    published = publish(tmp_path, part_bytes=6_000)
    assert published.log.ends(topics.DELTA.name, 0)[1] > len(DELTAS)
    assert published.at("latest") == published.digests[9]


def test_deltas_that_overlap_as_after_a_restart_lead_to_the_same_version(tmp_path: Path) -> None:
    published = publish(tmp_path, snapshots=(1,), deltas=((1, 3), (1, 5), (3, 6)))
    for offset in (3, 5, 6):
        assert published.at(published.version(offset)) == published.digests[offset]


def test_an_older_snapshot_and_its_deltas_stand_in_for_one_that_is_lost(tmp_path: Path) -> None:
    published = publish(tmp_path)
    (tmp_path / "6").unlink()
    assert published.at(published.version(6)) == published.digests[6]
    assert published.at("latest") == published.digests[9]


def test_a_torn_snapshot_is_never_used(tmp_path: Path) -> None:
    published = publish(tmp_path, snapshots=(1,))
    whole = (tmp_path / "1").read_bytes()
    (tmp_path / "1").write_bytes(bytes([whole[0]]) + whole[:-1])
    with pytest.raises(NoSuchVersion, match="sha256"):
        published.at("latest")


def test_a_gap_in_the_deltas_is_not_jumped(tmp_path: Path) -> None:
    published = publish(tmp_path, snapshots=(1,), deltas=((1, 3), (4, 6)))
    assert published.at("latest") == published.digests[3]
    with pytest.raises(NoSuchVersion):
        published.at(published.version(6))


def test_history_is_newest_first_and_of_one_tenant(published: Published) -> None:
    assert [kept.checkpoint.next_offset for kept in history(published.log, TENANT, NAME)] == sorted(SNAPSHOTS)[::-1]
    assert list(history(published.log, "elsewhere", NAME)) == []


def test_a_checkpoint_is_found_by_its_version_and_latest_is_the_newest(published: Published) -> None:
    for offset in SNAPSHOTS:
        found = kept_as(published.log, TENANT, NAME, published.version(offset))
        assert found.checkpoint.next_offset == offset
    assert kept_as(published.log, TENANT, NAME, "latest").checkpoint.next_offset == max(SNAPSHOTS)
    with pytest.raises(NoSuchVersion):
        kept_as(published.log, TENANT, NAME, published.version(3))

"""The audit finds each of these violations, planted by itself in what a whole run left in topics, store and blobs."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lesson import MODEL, TENANT, Lesson, copied, held, records
from plants import OF_THE_MODEL, PLANTED, REQUESTS, Scene, let_retention_overtake, manifest, saying, whole_of

from learners.request import encode_request
from schemas import topics
from schemas.codec import decode
from schemas.model import Checkpoint
from state.inventory import in_memory
from streams.audit import audit, audit_of
from streams.books import Books
from streams.engines.memory import MemoryLog
from streams.quotes import Quotes

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def lesson(tmp_path_factory: pytest.TempPathFactory) -> Lesson:
    return held(tmp_path_factory.mktemp("blobs"))


@pytest.fixture
def scene(lesson: Lesson) -> Scene:
    return Scene(
        lesson.log, sorted(in_memory(lesson.store, TENANT), key=lambda h: str(h.shard)), lesson.blobs.look, lesson
    )


def test_nothing_is_found_where_nothing_is_planted(scene: Scene) -> None:
    found = scene.audit()
    assert found.ok, found.findings
    assert (found.proven, found.unproven) == (found.deltas + found.checkpoints, 0)
    assert found.snapshots == found.checkpoints
    assert found.shards == len(scene.holdings)
    assert found.waiting == 1


@pytest.mark.parametrize("planted", PLANTED)
def test_the_audit_finds(planted: str, scene: Scene) -> None:
    plant, expected = PLANTED[planted]
    scene.log = copied(scene.log)
    plant(scene)
    found = scene.audit(fold=bool(expected & OF_THE_MODEL))
    assert not found.ok
    assert expected <= {finding.kind for finding in found.findings}


@pytest.mark.parametrize("fingerprint", [None, {"torch": "another"}], ids=["this machine's", "another's"])
def test_a_model_that_is_not_what_its_log_folds_to_is_a_fault_unless_another_machine_made_it(
    fingerprint: dict[str, str] | None, scene: Scene
) -> None:
    genesis = records(scene.log, REQUESTS)[0]
    seeded = manifest(genesis).model_copy(update={"seed": 99})
    scene.change(genesis, replace(genesis, value=encode_request(seeded, {})))
    for record in records(scene.log, topics.CHECKPOINT) if fingerprint else ():
        scene.change(record, saying(record, fingerprint=fingerprint))
    found = scene.audit()
    assert (found.proven, found.ok) == (0, fingerprint is not None)
    assert found.unproven == (found.deltas + found.checkpoints if fingerprint else 0)


class Growing:
    """A log that is written while it is read: what is asked later, topic or partition, is seen as it was later, and
    what is asked again as it is in the end."""

    def __init__(self, log: MemoryLog, first_s: float, step_s: float, skew_s: float) -> None:
        self.log, self.first_s, self.step_s, self.skew_s = log, first_s, step_s, skew_s
        self.asked: dict[str, float] = {}
        self.places: set[tuple[str, int]] = set()

    def __getattr__(self, name: str) -> object:
        return getattr(self.log, name)

    def ends(self, topic: str, partition: int) -> tuple[int, int]:
        if (topic, partition) in self.places:
            return self.log.ends(topic, partition)
        self.places.add((topic, partition))
        at_s = self.asked.setdefault(topic, self.first_s + self.step_s * len(self.asked)) + self.skew_s * partition
        start, _ = self.log.ends(topic, partition)
        return start, self.log.offset_at(topic, partition, int(at_s * 1000))


@settings(max_examples=8, deadline=None)
@given(st.floats(0, 1), st.floats(0, 0.05), st.floats(0, 2))
def test_an_audit_of_roles_at_work_calls_nothing_wrong_that_only_came_later(
    lesson: Lesson, begin: float, step: float, skew_s: float
) -> None:
    times = [record.timestamp_ms / 1000 for topic in topics.ALL for record in records(lesson.log, topic)]
    whole_s = max(times) - min(times)
    growing = Growing(lesson.log, min(times) + begin * whole_s, step * whole_s, skew_s)
    held = in_memory(lesson.store, TENANT)
    found = audit(growing, TENANT, MODEL, at_rest=False, holdings=held, fetch=lesson.blobs.look)  # type: ignore[arg-type]  # a log but for its ends
    assert found.ok or found.is_empty, found.findings


def test_a_role_that_has_not_begun_has_no_state_and_that_is_a_fault_only_at_rest(lesson: Lesson) -> None:
    sent = {topics.INTERACTION.name, topics.FEEDBACK.name}
    log = copied(lesson.log, lambda record: record if record.origin.topic in sent else None)
    begun, ended = (audit(log, TENANT, MODEL, at_rest=at_rest, holdings=[]) for at_rest in (False, True))
    assert (begun.ok, begun.pending) == (True, begun.inputs), begun.findings
    assert "store-offset" in {finding.kind for finding in ended.findings}


def test_a_shard_that_is_lost_is_found_while_roles_are_at_work(scene: Scene) -> None:
    left = [held for held in scene.holdings if held.shard.role != "curate"]
    found = audit(scene.log, TENANT, MODEL, at_rest=False, holdings=left)
    assert {finding.kind for finding in found.findings} == {"store-offset"}


@pytest.mark.parametrize("at_rest", [True, False])
def test_what_retention_takes_while_the_log_is_read_has_overtaken_only_who_is_at_rest(
    scene: Scene, at_rest: bool
) -> None:
    scene.log = copied(scene.log)
    books = Books(scene.log, TENANT, MODEL)
    let_retention_overtake(scene)  # who is at work was there when the store was read, and is further now
    found = audit_of(books, at_rest=at_rest, holdings=scene.holdings)
    assert ("overtaken" in {finding.kind for finding in found.findings}) == at_rest


def test_snapshots_that_operators_have_deleted_are_counted_and_no_fault(scene: Scene) -> None:
    oldest = decode(topics.CHECKPOINT, *whole_of(records(scene.log, topics.CHECKPOINT)[0])).data
    assert isinstance(oldest, Checkpoint)
    scene.fetch = lambda uri: None if uri == oldest.uri else scene.lesson.blobs.look(uri)
    found = scene.audit()
    assert found.ok, found.findings
    assert found.snapshots_gone == 1


@pytest.mark.parametrize(
    ("said", "quoted", "wrong"), [(1, 1.0, False), (1, 2, True), (["a", "b"], ["a", "b"], False), ("x", "y", True)]
)
def test_a_label_is_quoted_by_its_value_not_by_its_spelling(said: object, quoted: object, wrong: bool) -> None:
    quotes, who = Quotes(), {"interaction": "i", "rater": "ann"}
    judgement = {"kind": "label", "task": "depth", "value": said}
    quotes.feedback("f", json.dumps({**who, "judgement": judgement}).encode())
    found = quotes.example(1, {**who, "kind": "label", "feedback": "f", "labels": {"depth": quoted}})
    assert (found is not None) == wrong

"""The audit finds what is planted in a run's topics, and nothing in a run that nobody touched."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lesson import EVENTS, MODEL, TENANT, Lesson, copied, held, instead, put, records, with_header, without

from learners.request import NEW, encode_request, read_weights
from schemas import codec, topics
from schemas.codec import decode, encode
from schemas.envelope import Origin
from schemas.model import Checkpoint
from schemas.topics import Topic
from schemas.training import TrainRequest, TrainStep
from streams.audit import HORIZON_S, Audit, audit, audit_of
from streams.books import Books
from streams.engines.memory import ManualClock, MemoryLog
from streams.ledger import MOST_FINDINGS, Findings
from streams.message import Record
from streams.quality import quality

FIELDS = ("id", "kind", "model", "new", "labels", "predicted", "probabilities", "predicted_by", "applied", "judgement",
          "feedback", "interaction", "cohort", "task", "a", "b", "replayed")  # fmt: skip
CAUSES = ("", "nonsense", "edu.example.v1/0/0", "edu.feedback.v1/0/0,edu.feedback.v1/7/3", "edu.train-request.v1/0/1")


@pytest.fixture(scope="module")
def lesson(tmp_path_factory: pytest.TempPathFactory) -> Lesson:
    return held(tmp_path_factory.mktemp("blobs"))


def of(log: MemoryLog, **more: bool) -> Audit:
    return audit(log, TENANT, MODEL, **more)


def kinds(found: Audit) -> set[str]:
    return {finding.kind for finding in found.findings}


def step_records(log: MemoryLog) -> list[Record]:
    """The requests of steps, without the genesis."""
    return [r for r in records(log, topics.TRAIN_REQUEST) if manifest(r).kind == "step"]


def manifest(record: Record) -> TrainRequest:
    data = decode(topics.TRAIN_REQUEST, record.headers, record.value).data
    assert isinstance(data, TrainRequest)
    return data


def label_of(log: MemoryLog) -> Record:
    """The record of a label's example that is in the first request."""
    (first, *_) = manifest(step_records(log)[0]).new
    return next(r for r in records(log, topics.EXAMPLE) if r.header("ce_id") == first.id)


def changed(record: Record, **fields: object) -> Record:
    """``record`` with other data under the same envelope."""
    assert record.value is not None
    return replace(record, value=json.dumps({**json.loads(record.value), **fields}).encode())


def test_a_run_that_nobody_touched_has_lost_nothing_and_doubled_nothing(lesson: Lesson) -> None:
    found = of(lesson.log)
    assert (found.lost, found.duplicated, found.faults, found.peeked) == (0, 0, 0, 0)
    assert found.ok, found.findings


def test_the_counts_are_those_of_the_topics(lesson: Lesson) -> None:
    found, log = of(lesson.log), lesson.log
    of_topic: dict[Topic, int] = {
        topics.INTERACTION: found.events,
        topics.FEEDBACK: found.feedback,
        topics.PREDICTION: found.predictions,
        topics.EXAMPLE: found.examples,
        topics.TRAIN_REQUEST: found.requests,
        topics.TRAIN_STEP: found.steps,
        topics.CHECKPOINT: found.checkpoints,
    }
    assert of_topic == {topic: len(records(log, topic)) for topic in of_topic}
    assert found.events == EVENTS + 2  # one came twice, one is no event
    assert found.deltas > 1


def test_what_came_twice_has_a_fate_and_what_is_no_event_is_a_dead_letter(lesson: Lesson) -> None:
    found = of(lesson.log)
    assert found.fates["duplicate"] == 1
    assert found.dead_letters == {"undecodable": 1}


def test_feedback_on_what_never_came_waits_and_is_not_lost(lesson: Lesson) -> None:
    said = {r.header("ce_id") for r in records(lesson.log, topics.INTERACTION)}
    judged = [json.loads(r.value or b"")["interaction"] for r in records(lesson.log, topics.FEEDBACK)]
    assert of(lesson.log).waiting == sum(interaction not in said for interaction in judged)


@pytest.mark.parametrize("after_s", [HORIZON_S, HORIZON_S + 1])
def test_feedback_that_comes_after_the_horizon_waits_and_is_not_lost(lesson: Lesson, after_s: float) -> None:
    log = copied(lesson.log)
    said = records(log, topics.INTERACTION)[0]
    about = next(r for r in records(log, topics.FEEDBACK) if r.origin.partition == said.origin.partition)
    late = replace(about, timestamp_ms=said.timestamp_ms + round(1000 * after_s))
    put(log, changed(with_header(late, "ce_id", "late"), interaction=said.header("ce_id")))
    before, found = of(lesson.log), of(log)
    waits = after_s > HORIZON_S
    assert (found.lost, found.waiting) == (1 - waits, before.waiting + waits)


def test_the_digest_is_that_of_the_last_model_published(lesson: Lesson) -> None:
    last = decode(topics.CHECKPOINT, *_whole(records(lesson.log, topics.CHECKPOINT)[-1])).data
    assert isinstance(last, Checkpoint)
    assert (of(lesson.log).version, of(lesson.log).digest) == (last.version, last.digest)


def test_an_interaction_whose_prediction_is_gone_is_lost(lesson: Lesson) -> None:
    gone = records(lesson.log, topics.PREDICTION)[EVENTS // 2]
    found = of(copied(lesson.log, without(gone)))
    assert found.lost == 1
    assert [f.where for f in found.findings] == [gone.header("ce_causes")]


def test_an_example_that_is_in_no_request_is_lost(lesson: Lesson) -> None:
    log = copied(lesson.log)
    put(log, changed(with_header(label_of(log), "ce_causes", "edu.feedback.v1/0/999999"), feedback="another"))
    put(log, with_header(records(log, topics.EXAMPLE)[-1], "ce_id", "example-nobody-took"))
    assert "lost" in kinds(of(log))


def test_a_feedback_with_two_examples_is_counted_twice(lesson: Lesson) -> None:
    log = copied(lesson.log)
    example = label_of(log)
    put(log, with_header(example, "ce_id", "example-again"))
    found = of(log)
    assert found.duplicated == 1
    assert ("two-outcomes", example.header("ce_causes")) in [(f.kind, f.where) for f in found.findings]


def test_other_content_under_a_prediction_s_id_is_counted_twice(lesson: Lesson) -> None:
    log = copied(lesson.log)
    put(log, changed(records(log, topics.PREDICTION)[3], importance=0.123))
    found = of(log)
    assert (found.duplicated, kinds(found)) == (1, {"two-contents"})


def test_one_prediction_for_two_interactions_is_found(lesson: Lesson) -> None:
    log = copied(lesson.log)
    put(log, with_header(records(log, topics.PREDICTION)[3], "ce_causes", "edu.interaction.v1/0/0"))
    assert kinds(of(log)) == {"two-contents"}


@pytest.mark.parametrize("topic", [topics.PREDICTION, topics.EXAMPLE, topics.TRAIN_REQUEST, topics.DELTA], ids=str)
def test_a_record_that_was_sent_again_counts_once(lesson: Lesson, topic: Topic) -> None:
    log = copied(lesson.log)
    put(log, records(log, topic)[1])
    found = of(log)
    assert (found.lost, found.duplicated, found.faults) == (0, 0, 0)
    assert found.resent == 1


def second_request(log: MemoryLog) -> TrainStep:
    """Put an example of the first request into another one; returns the step that the fold would report of it."""
    first, last = step_records(log)[0], records(log, topics.TRAIN_STEP)[-1]
    old = manifest(first)
    new = old.model_copy(update={"new": old.new[:1], "replayed": ()})
    weights = {
        name: array[:1] if name == NEW else array[:0] for name, array in read_weights(old, first.value or b"").items()
    }
    example = next(r for r in records(log, topics.EXAMPLE) if r.header("ce_id") == old.new[0].id)
    again = with_header(with_header(first, "ce_id", "request-again"), "ce_causes", str(example.origin))
    put(log, replace(again, value=encode_request(new, weights)))
    step = decode(topics.TRAIN_STEP, last.headers, last.value).data
    assert isinstance(step, TrainStep)
    offset = log.ends(topics.TRAIN_REQUEST.name, 0)[1] - 1
    return step.model_copy(update={"request": "request-again", "offset": offset, "applied": False, "new": ()})


def put_step(log: MemoryLog, step: TrainStep) -> None:
    last = records(log, topics.TRAIN_STEP)[-1]
    origin = Origin(topics.TRAIN_REQUEST.name, 0, step.offset)
    named = with_header(with_header(last, "ce_id", "step-again"), "ce_causes", str(origin))
    put(log, replace(named, value=encode(step)))


def test_an_example_in_a_second_request_is_reported_and_harmless_where_the_fold_passed_it_over(lesson: Lesson) -> None:
    log = copied(lesson.log)
    put_step(log, second_request(log))
    found = of(log)
    assert (found.repeated_examples, found.duplicated, found.lost) == (1, 0, 0)
    assert kinds(found) == {"repeated-example"}


def test_an_example_that_a_second_step_took_is_counted_twice(lesson: Lesson) -> None:
    log = copied(lesson.log)
    step = second_request(log)
    put_step(log, step.model_copy(update={"applied": True, "new": (manifest(step_records(log)[0]).new[0].id,)}))
    found = of(log)
    assert found.duplicated == 1
    assert "applied-twice" in kinds(found)


def test_an_example_that_a_step_left_out_is_lost(lesson: Lesson) -> None:
    steps = [(r, decode(topics.TRAIN_STEP, r.headers, r.value).data) for r in records(lesson.log, topics.TRAIN_STEP)]
    last, step = next((r, step) for r, step in reversed(steps) if isinstance(step, TrainStep) and step.new)
    shorter = replace(last, value=encode(step.model_copy(update={"new": step.new[1:]})))
    found = of(copied(lesson.log, instead(last, shorter)))
    assert (found.lost, kinds(found)) == (1, {"not-applied"})


def test_a_request_without_a_step_is_lost_at_rest_and_pending_before(lesson: Lesson) -> None:
    log = copied(lesson.log, without(records(lesson.log, topics.TRAIN_STEP)[-1]))
    assert of(log).lost == 1
    before = of(log, at_rest=False)
    assert (before.lost, before.pending) == (0, 1 + of(log).waiting)  # what waits lies at the end, too
    assert before.ok


def test_a_request_with_an_example_from_nowhere_is_a_fault(lesson: Lesson) -> None:
    gone = label_of(lesson.log)
    found = of(copied(lesson.log, without(gone)))
    assert "unfounded" in kinds(found)
    assert found.faults >= 1


def test_a_prediction_by_a_model_that_knew_the_label_is_found(lesson: Lesson) -> None:
    example, request = label_of(lesson.log), step_records(lesson.log)[0]
    late = changed(example, predicted_by=f"lineage:{request.origin.offset + 1}")
    found = of(copied(lesson.log, instead(example, late)))
    assert (found.peeked, found.ok) == (1, False)


def test_a_delta_that_is_missing_is_a_gap(lesson: Lesson) -> None:
    gone = records(lesson.log, topics.DELTA)[1]
    found = of(copied(lesson.log, without(gone)))
    assert (found.faults, kinds(found)) == (1, {"gap"})
    assert found.deltas == of(lesson.log).deltas - 1


def test_a_delta_whose_parts_did_not_all_come_is_torn(lesson: Lesson) -> None:
    last = records(lesson.log, topics.DELTA)[-1]
    assert last.value is not None
    old = codec.manifest(last.value)
    new = old.replace(b'"parts":1', b'"parts":2')
    torn = replace(last, value=_with_manifest(last.value, old, new))
    found = of(copied(lesson.log, instead(last, torn)))
    assert "torn-delta" in kinds(found)


def test_two_digests_for_one_version_are_a_fault(lesson: Lesson) -> None:
    last = records(lesson.log, topics.CHECKPOINT)[-1]
    other = changed(last, digest="0" * 64)
    found = of(copied(lesson.log, instead(last, other)))
    assert (found.faults, kinds(found)) == (1, {"digest"})


def test_a_step_that_never_left_the_worker_is_a_fault_at_rest(lesson: Lesson) -> None:
    delta, checkpoint = records(lesson.log, topics.DELTA)[-1], records(lesson.log, topics.CHECKPOINT)[-1]
    log = copied(lesson.log, lambda record: None if record.origin in (delta.origin, checkpoint.origin) else record)
    assert kinds(of(log)) == {"unpublished"}
    assert of(log, at_rest=False).ok


def test_deltas_without_a_checkpoint_to_begin_with_are_a_fault(lesson: Lesson) -> None:
    log = copied(lesson.log, lambda record: None if record.origin.topic == topics.CHECKPOINT.name else record)
    assert kinds(of(log)) == {"no-checkpoint"}


def test_an_input_whose_outcome_may_have_left_retention_is_forgotten_and_not_lost(lesson: Lesson) -> None:
    log = copied(lesson.log)
    place = next(p for p in range(2) if log.ends(topics.PREDICTION.name, p)[1] > 3)
    log.expire(topics.PREDICTION.name, place, 3)
    found = of(log)
    assert (found.lost, found.forgotten) == (0, 3)


def test_another_tenant_s_records_are_not_looked_at(lesson: Lesson) -> None:
    log = copied(lesson.log)
    for topic in (topics.INTERACTION, topics.FEEDBACK, topics.EXAMPLE, topics.TRAIN_REQUEST, topics.DELTA):
        put(log, with_header(with_header(records(log, topic)[2], "ce_tenant", "elsewhere"), "ce_id", "other"))
    assert replace(of(log), findings=()) == replace(of(lesson.log), findings=())


def test_of_a_tenant_whom_nobody_knows_there_is_nothing(lesson: Lesson) -> None:
    empty = audit(lesson.log, "misspelled", MODEL)
    assert (empty.is_empty, empty.ok, empty.verdict[:18]) == (True, False, "Nothing was proven")
    assert not of(lesson.log).is_empty


def test_what_stood_in_the_topics_before_the_tenant_s_roles_began_is_not_looked_at(lesson: Lesson) -> None:
    log = copied(lesson.log)
    since = {f"{topic.name}/{place}": log.ends(topic.name, place)[1] for topic in topics.ALL
             for place in range(log.partitions()[topic.name])}  # fmt: skip
    put(log, records(log, topics.INTERACTION)[0])
    found = audit(log, TENANT, MODEL, since=since)
    assert (found.events, found.lost, found.feedback) == (1, 1, 0)


def test_an_outcome_that_no_role_wrote_is_none(lesson: Lesson) -> None:
    one = records(lesson.log, topics.PREDICTION)[0]
    found = of(copied(lesson.log, instead(one, with_header(one, "ce_source", "/apps/x"))))
    assert (found.lost, "foreign" in kinds(found)) == (1, True)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.sampled_from(topics.ALL), st.sampled_from(CAUSES), ANYTHING), max_size=12))
def test_whatever_stands_in_the_topics_the_audit_says_something(planted: list[tuple[Topic, str, object]]) -> None:
    log = MemoryLog(ManualClock())
    log.create(topics.ALL, lambda topic: 1)
    for number, (topic, causes, data) in enumerate(planted):
        value = json.dumps(data).encode()
        headers = (("ce_id", b"%d" % (number // 2)), ("ce_source", f"/currere/{TENANT}/x".encode()))
        bulk = wrapped(value) if topic.bulk else value
        log.append_raw(topic.name, 0, b"k", bulk, (*headers, ("ce_causes", causes.encode())))
    books = Books(log, TENANT, MODEL)
    found = audit_of(books)
    assert found.inputs >= found.lost - found.examples
    assert quality(books.heard) is not None


def test_the_verdict_says_what_is_wrong(lesson: Lesson) -> None:
    assert of(lesson.log).verdict.startswith("Nothing was lost")
    found = of(copied(lesson.log, without(records(lesson.log, topics.PREDICTION)[0])))
    assert found.verdict.startswith("1 lost")


def test_an_audit_is_plain_json(lesson: Lesson) -> None:
    found = of(lesson.log)
    assert json.loads(json.dumps(found.to_dict()))["events"] == found.events


def test_a_kind_that_is_found_often_is_counted_and_hides_no_other() -> None:
    found, others = Findings(), Findings()
    for n in range(2 * MOST_FINDINGS):
        (found if n % 3 else others).add("lost", n, "has no outcome")
    others.add("gap", "4", "is missing")
    found.include(others)
    assert found.counts == {"lost": 2 * MOST_FINDINGS, "gap": 1}
    assert Counter(one.kind for one in found.shown) == {"lost": MOST_FINDINGS, "gap": 1}


def _whole(record: Record) -> tuple[tuple[tuple[str, bytes | None], ...], bytes | None]:
    return record.headers, record.value


def _with_manifest(value: bytes, old: bytes, new: bytes) -> bytes:
    """A safetensors value with another manifest: eight bytes of header length, the header, the tensors."""
    size = int.from_bytes(value[:8], "little")
    header = json.loads(value[8 : 8 + size])
    assert header["__metadata__"]["manifest"].encode() == old
    return wrapped(new, header) + value[8 + size :]


def wrapped(manifest: bytes, header: dict[str, object] | None = None) -> bytes:
    """A safetensors value up to its tensors."""
    text = json.dumps({**(header or {}), "__metadata__": {"manifest": manifest.decode()}}).encode()
    return len(text).to_bytes(8, "little") + text

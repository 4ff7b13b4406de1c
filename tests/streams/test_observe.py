"""Freshness, lag and quality against what the topics of a run say by themselves."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from lesson import MODEL, TENANT, Lesson, copied, held, instead, put, records, with_header

from learners.confusion import matthews
from learners.metrics import Prequential, scores
from schemas import topics
from schemas.codec import decode_data
from schemas.drift import Drift
from schemas.envelope import Origin
from schemas.prediction import Example
from streams.books import Books
from streams.engines.memory import MemoryLog
from streams.message import Record
from streams.observe import LONGEST_S, Swap, freshness, pace
from streams.quality import FEWEST, confusion, quality


@pytest.fixture(scope="module")
def lesson(tmp_path_factory: pytest.TempPathFactory) -> Lesson:
    return held(tmp_path_factory.mktemp("blobs"))


@pytest.fixture(scope="module")
def books(lesson: Lesson) -> Books:
    return Books(lesson.log, TENANT, MODEL)


def example(record: Record) -> Example:
    return decode_data(Example, record.value or b"")


def labels(log: MemoryLog) -> list[Example]:
    """The label examples, in log order."""
    return [e for e in map(example, records(log, topics.EXAMPLE)) if e.kind == "label"]


def fed_s(log: MemoryLog) -> list[float]:
    """When the feedback of each label example that was not refused came, epoch seconds."""
    arrived = {str(r.origin): r.timestamp_ms / 1000 for r in records(log, topics.FEEDBACK)}
    refused = {r.header("ce_causes") for r in records(log, topics.FATE)}
    kept = [r for r in records(log, topics.EXAMPLE) if example(r).kind == "label" and str(r.origin) not in refused]
    return [arrived[r.header("ce_causes") or ""] for r in kept]


def nearest_rank(values: Sequence[float], share: float) -> float:
    return sorted(values)[math.ceil(share * len(values)) - 1]


def test_the_observer_serves_what_was_published_and_notes_when(lesson: Lesson) -> None:
    swaps, served = lesson.observer.swaps, lesson.observer.watcher.current
    assert served is not None
    assert swaps[-1].next_offset == served.served.next_offset == lesson.log.ends(topics.TRAIN_REQUEST.name, 0)[1]
    assert [s.next_offset for s in swaps] == sorted(s.next_offset for s in swaps)
    assert [s.at for s in swaps] == sorted(s.at for s in swaps)


def test_every_accepted_label_is_measured_from_its_feedback_s_receipt(lesson: Lesson, books: Books) -> None:
    at = max(fed_s(lesson.log)) + 1.0
    found = freshness(books, [Swap(at, 1_000_000)])
    taken = [min(at - came, LONGEST_S) for came in fed_s(lesson.log)]
    assert found.n == len(taken)
    assert found.unserved == 0
    assert (found.p50, found.p99) == pytest.approx((nearest_rank(taken, 0.5), nearest_rank(taken, 0.99)))
    assert found.longest == pytest.approx(max(taken))


def test_a_run_s_own_observer_has_served_everything(lesson: Lesson, books: Books) -> None:
    found = freshness(books, lesson.observer.swaps)
    assert (found.n, found.unserved) == (len(fed_s(lesson.log)), 0)
    assert found.p50 is not None
    assert 0 < found.p50 < LONGEST_S


def test_feedback_that_no_model_has_learned_from_counts_sixty_seconds(lesson: Lesson, books: Books) -> None:
    found = freshness(books, [])
    assert (found.unserved, found.p50, found.p99) == (found.n, LONGEST_S, LONGEST_S)


def test_feedback_that_was_served_after_sixty_seconds_counts_sixty(lesson: Lesson, books: Books) -> None:
    found = freshness(books, [Swap(max(fed_s(lesson.log)) + 2 * LONGEST_S, 1_000_000)])
    assert (found.unserved, found.p50, found.longest) == (0, LONGEST_S, LONGEST_S)


def test_only_a_model_beyond_the_request_has_learned_from_it(lesson: Lesson, books: Books) -> None:
    at, requests = max(fed_s(lesson.log)), records(lesson.log, topics.TRAIN_REQUEST)
    first_step = min(r.origin.offset for r in requests if r.header("ce_causes"))
    causes = next(r.header("ce_causes") or "" for r in requests if r.origin.offset == first_step)
    not_yet = freshness(books, [Swap(at, first_step)])
    served = freshness(books, [Swap(at, first_step), Swap(at + 1, first_step + 1)])
    assert not_yet.unserved == not_yet.n
    assert served.n - served.unserved == len(causes.split(","))


def test_a_model_that_was_served_before_is_not_served_later(books: Books, lesson: Lesson) -> None:
    at = max(fed_s(lesson.log)) + 1.0
    once = freshness(books, [Swap(at, 1_000_000)])
    assert freshness(books, [Swap(at, 1_000_000), Swap(at + 9, 1), Swap(at + 10, 1_000_000)]) == once


def test_an_example_with_a_fate_is_not_measured(lesson: Lesson) -> None:
    log = copied(lesson.log)
    request = records(log, topics.TRAIN_REQUEST)[-1]
    orphans = (request.header("ce_causes") or "").split(",")
    log = copied(log, lambda record: None if record.origin == request.origin else record)
    before = freshness(Books(log, TENANT, MODEL), []).n
    fate = with_header(records(log, topics.FATE)[0], "ce_causes", orphans[0])
    put(log, with_header(fate, "ce_id", "fate-of-it"))
    assert freshness(Books(log, TENANT, MODEL), []).n == before - 1


def test_the_histogram_and_the_series_hold_each_feedback_once(lesson: Lesson, books: Books) -> None:
    found = freshness(books, lesson.observer.swaps)
    assert sum(count for _, count in found.histogram) == found.n
    assert sum(moment.n for moment in found.series) == found.n
    assert found.histogram[-1][0] == LONGEST_S


def test_nothing_measured_is_nothing(lesson: Lesson) -> None:
    empty = copied(lesson.log, lambda record: None)
    assert freshness(Books(empty, TENANT, MODEL), []).p50 is None
    assert all(stage.n == 0 and stage.p50 is None for stage in pace(Books(empty, TENANT, MODEL)))
    assert quality(Books(empty, TENANT, MODEL).heard) == {}


def test_lag_is_what_has_come_and_has_no_outcome_yet(lesson: Lesson) -> None:
    log = copied(lesson.log, lambda record: None if record.origin.topic == topics.PREDICTION.name else record)
    scored = pace(Books(log, TENANT, MODEL))[0]
    decided_otherwise = 2  # one came twice, one is no event
    assert scored.lag[-1][1] == len(records(log, topics.INTERACTION)) - decided_otherwise


def test_at_rest_no_role_lags_but_for_feedback_that_waits(lesson: Lesson, books: Books) -> None:
    last = {stage.does: stage.lag[-1][1] for stage in pace(books)}
    undecided = list(books.ledgers[topics.FEEDBACK.name].undecided())
    assert last == {"scores interactions": 0, "joins feedback": len(undecided), "requests steps": 0, "takes steps": 0}


def test_a_stage_s_pace_is_from_receipt_to_receipt(lesson: Lesson, books: Books) -> None:
    came = {r.origin: r.timestamp_ms for r in records(lesson.log, topics.TRAIN_REQUEST)}
    took = [(r.timestamp_ms - came[Origin.parse(r.header("ce_causes") or "")]) / 1000
            for r in records(lesson.log, topics.TRAIN_STEP)]  # fmt: skip
    began = records(lesson.log, topics.INTERACTION)[0].timestamp_ms
    assert min(came.values()) >= began
    worker = pace(books)[-1]
    assert (worker.n, worker.p50) == (len(took), pytest.approx(nearest_rank(took, 0.5)))


def test_quality_is_that_of_the_predictions_made_then(lesson: Lesson, books: Books) -> None:
    for task, found in quality(books.heard).items():
        judged = [(e.labels[task], e.predicted[task].probabilities) for e in labels(lesson.log)
                  if task in e.labels and task in e.predicted]  # fmt: skip
        names = list(judged[0][1] or ())
        expected = scores(
            [names.index(str(label)) for label, _ in judged],
            [[(given or {})[name] for name in names] for _, given in judged],
            names,
        )
        assert found.labels == len(judged)
        assert found.model.mcc == pytest.approx(expected["mcc"])
        assert found.model.accuracy == pytest.approx(expected["accuracy"])
        assert found.model.macro_f1 == pytest.approx(expected["macro_f1_besides"])
        assert found.calibration_error == pytest.approx(expected["ece"])


def test_the_last_quarter_is_of_labels(lesson: Lesson, books: Books) -> None:
    found = quality(books.heard)["teacher_move"]
    judged = [e for e in labels(lesson.log) if "teacher_move" in e.labels and "teacher_move" in e.predicted]
    prequential = Prequential()
    for e in judged[-(len(judged) // 4) :]:
        prequential.update("teacher_move", e.labels["teacher_move"], e.predicted["teacher_move"], e.delay_s)
    assert found.model.last_quarter_mcc == pytest.approx(prequential.summary()["teacher_move"]["all"]["mcc"])


def test_the_majority_baseline_says_what_was_most_frequent_before_each_label(lesson: Lesson, books: Books) -> None:
    found = quality(books.heard)["student_move"]
    truth = [str(e.labels["student_move"]) for e in labels(lesson.log) if "student_move" in e.labels]
    said = [max(dict.fromkeys(truth[:n]), key=truth[:n].count) if n else "none" for n in range(len(truth))]
    assert found.majority.accuracy == pytest.approx(np.mean([a == b for a, b in zip(truth, said, strict=True)]))


def test_the_untrained_baseline_says_one_class_and_so_correlates_with_nothing(books: Books) -> None:
    for found in quality(books.heard).values():
        assert found.untrained.mcc == 0
        assert found.untrained.last_quarter_mcc == 0
        assert found.untrained.accuracy == pytest.approx(found.classes.get("none", 0) / found.labels)


def test_a_curve_ends_with_the_window_that_ends_at_the_last_label(lesson: Lesson, books: Books) -> None:
    found = quality(books.heard)["teacher_move"]
    assert found.labels < FEWEST == found.window  # so the last window is everything
    assert found.model.curve[-1] == (found.labels, pytest.approx(found.model.mcc, abs=1e-5))


def test_an_example_that_was_sent_again_is_judged_once(lesson: Lesson, books: Books) -> None:
    log = copied(lesson.log)
    put(log, next(r for r in records(log, topics.EXAMPLE) if example(r).kind == "label"))
    assert quality(Books(log, TENANT, MODEL).heard) == quality(books.heard)


def test_a_drift_stands_at_the_label_at_which_it_was_seen(lesson: Lesson) -> None:
    log = copied(lesson.log)
    with_task = [r for r in records(log, topics.EXAMPLE) if "teacher_move" in example(r).labels]
    chosen = with_task[40]
    seen = Drift(model=MODEL, task="teacher_move", cohort="all", detector="adwin", before=0.8, after=0.4, examples=1,
                 advice="", example=chosen.header("ce_id") or "")  # fmt: skip
    origin = replace(chosen.origin, topic=topics.DRIFT.name)
    put(log, replace(chosen, origin=origin, value=seen.model_dump_json().encode()))
    (mark,) = quality(Books(log, TENANT, MODEL).heard)["teacher_move"].drifts
    assert mark == (41, "adwin", 0.8, 0.4)


def test_an_example_that_cannot_be_read_is_passed_over(lesson: Lesson, books: Books) -> None:
    log = copied(lesson.log)
    one = next(r for r in records(log, topics.EXAMPLE) if "teacher_move" in example(r).labels)
    broken = copied(log, instead(one, replace(one, value=b"{}")))
    assert (
        quality(Books(broken, TENANT, MODEL).heard)["teacher_move"].labels
        == quality(books.heard)["teacher_move"].labels - 1
    )


def test_a_confusion_counts_each_pair() -> None:
    truth, said = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0])
    found = confusion(truth, said, ["a", "b", "c"])
    assert found == {"a": {"a": 1, "b": 1}, "b": {"b": 1}, "c": {"a": 1}}
    assert matthews(found) == pytest.approx(matthews(json.loads(json.dumps(found))))

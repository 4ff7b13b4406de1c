"""Split-Digits: a stream that is met once, a net that is the plain MLP, and figures that are what they are called."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from benchmarks import digits
from benchmarks.digits import NAMES, Score, row
from benchmarks.digits_methods import METHODS, REFERENCES, Figure
from benchmarks.digits_run import Curated, Plain, accuracies, begun
from benchmarks.digits_slda import StreamingLda
from benchmarks.digits_stream import CAPACITY, PIXELS, SCENARIOS, TASKS, TOGETHER, Reservoir, Stream, stream
from learners.fold import fold
from learners.model import Model, served_view
from learners.request import NEW, REPLAYED
from learners.retention import Retention
from schemas.training import TrainRequest

CLASSES = stream("class_incremental", 0)
PARITY = stream("domain_incremental", 0)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Steps as small as these take longest where threads wait for one another."""
    threads, mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode(mode)


def stepped(model: Model, met: Stream) -> Model:
    new = tuple(met.examples[at] for at in next(met.batches(0)))
    request = TrainRequest(kind="step", model="digits", seed=0, reason="test", new=new)
    weights = {NEW: np.ones(len(new), dtype=np.float32), REPLAYED: np.ones(0, dtype=np.float32)}
    return fold(model, request, weights, "step", 1)[0]


def test_a_digit_is_met_once_or_never_and_none_of_the_probe() -> None:
    met = np.concatenate(CLASSES.parts)
    assert len(np.unique(met)) == len(met)
    assert not np.isin(np.concatenate(CLASSES.probes), met).any()


@pytest.mark.parametrize("met", [CLASSES, PARITY], ids=SCENARIOS)
def test_a_task_and_its_probe_hold_its_two_classes(met: Stream) -> None:
    for part, probe, pair in zip(met.parts, met.probes, TASKS, strict=True):
        assert set(met.digits.classes[part]) == set(met.digits.classes[probe]) == set(pair)


def test_the_shuffled_stream_holds_the_same_digits() -> None:
    shuffled = stream("class_incremental", 0, iid=True)
    assert sorted(np.concatenate(shuffled.parts)) == sorted(np.concatenate(CLASSES.parts))
    assert len(set(shuffled.digits.classes[shuffled.parts[0]])) == 10


@pytest.mark.parametrize("part", range(len(TASKS)))
def test_batches_are_the_part_in_order_and_alike_in_size(part: int) -> None:
    batches = list(CLASSES.batches(part))
    sizes = [len(ids) for ids in batches]
    assert np.concatenate(batches).tolist() == CLASSES.parts[part].tolist()
    assert max(sizes) <= TOGETHER
    assert max(sizes) - min(sizes) <= 1
    assert len(batches) == np.ceil(len(CLASSES.parts[part]) / TOGETHER)


def test_pixels_have_mean_0_and_variance_1_where_they_are_learned_from() -> None:
    learned = CLASSES.digits.pixels[CLASSES.digits.learn]
    assert learned.mean() == pytest.approx(0, abs=1e-9)
    assert learned.var() == pytest.approx(1)


def test_the_label_is_the_digit_or_its_parity() -> None:
    ids, kinds = CLASSES.digits.learn, CLASSES.digits.classes[CLASSES.digits.learn]
    assert [CLASSES.examples[at].labels["digit"] for at in ids] == [str(kind) for kind in kinds]
    assert [PARITY.examples[at].labels["digit"] for at in ids] == [("even", "odd")[kind % 2] for kind in kinds]


@pytest.mark.parametrize("met", [CLASSES, PARITY], ids=SCENARIOS)
def test_an_answer_is_the_place_of_the_label(met: Stream) -> None:
    ids = met.digits.probe
    labels = [met.examples[at].labels["digit"] for at in ids]
    assert [met.task.classes[at] for at in met.answers(ids)] == labels


def test_the_reservoir_keeps_a_uniform_sample() -> None:
    kept = np.zeros(4 * CAPACITY)
    for seed in range(200):
        reservoir = Reservoir(np.random.default_rng(seed))
        reservoir.put(np.arange(len(kept)))
        assert len(set(reservoir.held)) == CAPACITY
        kept[reservoir.held] += 1
    quarters = kept.reshape(4, -1).sum(axis=1)  # each holds a quarter of 200 · CAPACITY, give or take sqrt(npq) < 62
    assert np.abs(quarters - 50 * CAPACITY).max() < 5 * 62


@pytest.mark.parametrize("memory", [Plain(0), Curated(CLASSES, 0)], ids=["plain", "curated"])
def test_a_draw_is_of_different_digits_among_those_met(memory: Plain | Curated) -> None:
    for ids in CLASSES.batches(0):
        memory.put(ids)
    again, weights = memory.draw()
    assert len(set(again.tolist())) == len(weights) == TOGETHER
    assert np.isin(again, CLASSES.parts[0]).all()


def test_curated_memory_holds_as_many_of_every_class() -> None:
    memory = Curated(CLASSES, 0)
    for part in range(len(TASKS)):
        for ids in CLASSES.batches(part):
            memory.put(ids)
    held = [int(CLASSES.digits.classes[int(id)]) for id in memory.memory.entries]
    assert np.bincount(held).tolist() == [CAPACITY // 10] * 10


def test_a_step_is_plain_gradient_descent_on_the_net() -> None:
    model, ids = begun(METHODS["finetune"], "class_incremental", 0), next(CLASSES.batches(0))
    before = {name: held.packed[0].astype(np.float64) for name, held in model.dense.items()}
    x, truth = CLASSES.digits.pixels[ids], np.eye(10)[CLASSES.answers(ids)]
    hidden = np.maximum(x @ before["trunk.weight"][-PIXELS - 1 : -1] + before["trunk.bias"], 0)
    raised = np.exp(hidden @ before["head.digit.weight"] + before["head.digit.bias"])
    away = truth - raised / raised.sum(axis=1, keepdims=True)
    after = stepped(model, CLASSES).dense["head.digit.weight"].packed[0]
    rate = model.settings.dense_rate
    assert np.allclose(after, before["head.digit.weight"] + rate * hidden.T @ away / TOGETHER, atol=1e-5)


def test_the_net_begins_as_the_references_net_whatever_else_the_trunk_could_see() -> None:
    dense = begun(METHODS["er"], "class_incremental", 0).dense
    trunk = dense["trunk.weight"].packed[0]
    assert not trunk[: -PIXELS - 1].any()
    assert not trunk[-1].any()
    assert trunk.std() * np.sqrt(len(trunk) / PIXELS) == pytest.approx(1 / np.sqrt(3 * PIXELS), rel=0.05)
    assert np.abs(dense["head.digit.weight"].packed[0]).max() <= 1 / np.sqrt(128)


def test_text_without_a_word_says_nothing() -> None:
    arrays = served_view(stepped(begun(METHODS["er"], "class_incremental", 0), CLASSES)).arrays
    assert not arrays["embed"].any()
    assert not arrays["linear.digit"].any()


def test_every_method_is_measured_and_all_but_the_default_have_a_reference() -> None:
    assert set(NAMES) == {*METHODS, "slda"}
    assert set(REFERENCES["class_incremental"]) == set(NAMES) - {"default"}


def test_streaming_lda_has_the_means_and_of_one_class_the_covariance_of_the_batch() -> None:
    x = np.random.default_rng(0).normal(size=(50, 3)) @ np.array([[1, 0.5, 0], [0, 1, 0], [0, 0, 2.0]])
    model = StreamingLda(2, 3)
    for each in x:
        model.learn(each, 0)
    assert np.allclose(model.means[0], x.mean(axis=0))
    assert np.allclose(model.covariance, np.cov(x.T, bias=True))


def test_streaming_lda_says_no_class_that_it_never_met() -> None:
    model = StreamingLda(3, 2)
    for n, each in enumerate(np.random.default_rng(0).normal(size=(20, 2))):
        model.learn(each + 5 * (n % 2), n % 2)
    assert set(model.predict(np.random.default_rng(1).normal(size=(50, 2), scale=9))) <= {0, 1}


def test_a_run_measures_every_task_after_every_part() -> None:
    parts, probes = ([ids[:20] for ids in some] for some in (CLASSES.parts, CLASSES.probes))
    few = Stream(CLASSES.task, CLASSES.digits, CLASSES.examples, parts, probes)
    found = np.array(list(accuracies(METHODS["ewc"], few, "class_incremental", 0)))
    assert found.shape == (5, 5)
    assert ((found >= 0) & (found <= 1)).all()


def test_a_score_is_in_percent_points_over_runs() -> None:
    runs = [Retention(np.array(matrix)) for matrix in ([[1, 0], [0.5, 0.7]], [[1, 0], [0.9, 0.9]])]
    score = Score.of(runs)
    assert score.acc == pytest.approx((60 + 90) / 2)
    assert score.forgetting == pytest.approx((50 + 10) / 2)
    assert score.sd == pytest.approx(30 / np.sqrt(2))


def test_a_row_says_how_far_a_score_is_from_its_reference() -> None:
    assert row("er", Score(85, 15, 1), Figure(86.5, 13.9))[4:] == ["86.5", "-1.5", "13.9", "+1.1"]
    assert row("iid", Score(94, 1, 1), Figure(93.6, None))[4:] == ["93.6", "+0.4", None, None]
    assert row("default", Score(94, 1, 1), None)[4:] == [None] * 4


def test_the_last_line_holds_both_settings_of_the_stream(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["digits", "--methods", "slda", "--seeds", "1", "--processes", "1", "--json"])
    digits.main()
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(found) == set(SCENARIOS)
    assert set(found["class_incremental"]["slda"]) == {"acc", "forgetting", "sd"}

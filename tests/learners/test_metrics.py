"""Prequential metrics and the formulas behind them."""

from __future__ import annotations

import math
import random
from itertools import pairwise
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learners.confusion import Matrix, calibration_error, cohen_kappa, f1_by_class, macro, matthews
from learners.metrics import MOST_POINTS, MetricsSettings, Prequential, Record, delay_bucket, scores
from learners.tally import ClassTally, NumberTally
from schemas.feedback import LabelValue
from schemas.prediction import Output

counts = st.integers(0, 50)
CLASSES = ("none", "closed", "open")
SMALL = MetricsSettings(window=40, every=10)


def says(name: str, confidence: float = 1.0) -> Output:
    """An output sure of ``name`` by ``confidence``, the rest spread evenly."""
    rest = (1 - confidence) / (len(CLASSES) - 1)
    return Output(probabilities={each: confidence if each == name else rest for each in CLASSES})


def judgements(n: int, seed: int = 1) -> list[tuple[str, Output, float]]:
    draw = random.Random(seed)
    return [
        (draw.choice(CLASSES), says(draw.choice(CLASSES), draw.uniform(0.4, 1.0)), draw.expovariate(1 / 3_000))
        for _ in range(n)
    ]


@given(tp=counts, fp=counts, fn=counts, tn=counts)
def test_r_k_of_two_classes_is_matthews_binary_coefficient(tp: int, fp: int, fn: int, tn: int) -> None:
    matrix = {"yes": {"yes": tp, "no": fn}, "no": {"yes": fp, "no": tn}}
    spread = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    assert matthews(matrix) == pytest.approx((tp * tn - fp * fn) / sqrt(spread) if spread else 0)


@given(cells=st.lists(counts, min_size=9, max_size=9))
def test_r_k_is_the_correlation_of_the_one_hot_columns(cells: list[int]) -> None:
    """Gorodkin (2004), equation 2: the covariance of the two indicator matrices over the root of their own."""
    matrix = {a: {b: cells[3 * i + j] for j, b in enumerate("xyz")} for i, a in enumerate("xyz")}
    pairs = [(i, j) for i in range(3) for j in range(3) for _ in range(cells[3 * i + j])]
    if not pairs:
        assert matthews(matrix) == 0
        return
    true, predicted = (np.eye(3)[[pair[side] for pair in pairs]] for side in (0, 1))
    true, predicted = true - true.mean(0), predicted - predicted.mean(0)
    spread = float(np.sqrt((true**2).sum() * (predicted**2).sum()))
    assert matthews(matrix) == pytest.approx(float((true * predicted).sum()) / spread if spread else 0, abs=1e-9)


@given(tp=st.integers(1, 50), fp=counts, fn=counts, tn=counts)
def test_f1_is_the_harmonic_mean_of_precision_and_recall(tp: int, fp: int, fn: int, tn: int) -> None:
    matrix = {"yes": {"yes": tp, "no": fn}, "no": {"yes": fp, "no": tn}}
    precision, recall = tp / (tp + fp), tp / (tp + fn)
    assert f1_by_class(matrix)["yes"] == pytest.approx(2 * precision * recall / (precision + recall))


def test_macro_f1_can_leave_out_a_class() -> None:
    values = {"none": 0.9, "open": 0.5, "closed": 0.1}
    assert macro(values, "none") == pytest.approx((0.5 + 0.1) / 2)
    assert macro(values) == pytest.approx((0.9 + 0.5 + 0.1) / 3)


def test_kappa_is_agreement_beyond_chance() -> None:
    matrix: Matrix = {"a": {"a": 20, "b": 5}, "b": {"a": 10, "b": 15}}
    observed, chance = 35 / 50, (25 * 30 + 25 * 20) / 50**2
    assert cohen_kappa(matrix) == pytest.approx((observed - chance) / (1 - chance))


@pytest.mark.parametrize("hundredths", [40, 55, 75, 90])
def test_a_calibrated_predictor_has_no_calibration_error(hundredths: int) -> None:
    tally = ClassTally()
    for i in range(100):
        tally.add("open" if i < hundredths else "closed", says("open", hundredths / 100))
    assert calibration_error(tally.bins) == pytest.approx(0)


def test_a_predictor_that_is_too_sure_by_a_quarter_has_that_calibration_error() -> None:
    tally = ClassTally()
    for i in range(100):
        tally.add("open" if i < 50 else "closed", says("open", 0.75))
    assert calibration_error(tally.bins) == pytest.approx(0.25)


def test_brier_and_log_loss_follow_their_formulas() -> None:
    tally = ClassTally()
    tally.add("closed", Output(probabilities={"none": 0.2, "closed": 0.3, "open": 0.5}))
    assert tally.summary("none")["brier"] == pytest.approx(0.2**2 + (1 - 0.3) ** 2 + 0.5**2)
    assert tally.summary("none")["log_loss"] == pytest.approx(-math.log(0.3))


def test_the_baselines_are_those_of_the_labels_alone() -> None:
    tally = ClassTally()
    for label, times in (("none", 60), ("closed", 30), ("open", 10)):
        for i in range(times):
            tally.add(label, says(CLASSES[i % 3]))
    found = tally.summary("none")
    assert found["majority_accuracy"] == pytest.approx(60 / 100)
    assert found["majority_macro_f1"] == pytest.approx((2 * 60 / (60 + 100)) / 3)
    assert found["uniform_accuracy"] == pytest.approx(1 / 3)
    by_class = [2 * (n / 3) / (n + 100 / 3) for n in (60, 30, 10)]
    assert found["uniform_macro_f1"] == pytest.approx(sum(by_class) / 3)


def test_concordance_is_quadratic_kappa_of_whole_numbers() -> None:
    pairs = [(1, 2), (2, 2), (3, 5), (7, 6), (4, 4), (6, 3), (5, 5), (2, 1)]
    tally = NumberTally()
    for value, label in pairs:
        tally.add(float(label), Output(value=float(value)))
    observed = sum((v - y) ** 2 for v, y in pairs)
    chance = sum((v - y) ** 2 for v, _ in pairs for _, y in pairs) / len(pairs)
    assert tally.summary("none")["concordance"] == pytest.approx(1 - observed / chance)


def test_the_error_of_a_number_stands_beside_that_of_the_best_constant() -> None:
    tally = NumberTally()
    for value, label in ((2.0, 1.0), (2.0, 3.0), (5.0, 5.0)):
        tally.add(label, Output(value=value))
    found = tally.summary("none")
    assert found["mae"] == pytest.approx((1 + 1 + 0) / 3)
    assert found["rmse"] == pytest.approx(sqrt((1 + 1 + 0) / 3))
    assert found["constant_rmse"] == pytest.approx(float(np.std([1, 3, 5])))


def test_several_classes_are_judged_one_by_one_and_averaged() -> None:
    metrics = Prequential(SMALL)
    for label in (("hint", "praise"), ("hint",), ()):
        metrics.update("scaffolding", label, Output(probabilities={"hint": 0.9, "praise": 0.2}), 1.0)
    found = metrics.summary()["scaffolding"]["all"]
    assert found["macro_f1"] == pytest.approx((2 * 2 / (2 * 2 + 1) + 0) / 2)
    assert found["accuracy"] == pytest.approx((2 / 3 + 2 / 3) / 2)


@pytest.mark.parametrize(
    ("delay_s", "bucket"),
    [(-5, "60"), (60, "60"), (60.1, "300"), (1_800, "1800"), (7_200, "7200"), (86_400, "86400"), (1e7, "inf")],
)
def test_a_delay_belongs_to_the_first_edge_that_it_does_not_pass(delay_s: float, bucket: str) -> None:
    assert delay_bucket(delay_s) == bucket


def test_every_label_is_counted_in_one_delay_bucket_and_in_all() -> None:
    metrics = Prequential(SMALL)
    for label, output, delay_s in judgements(300):
        metrics.update("question", label, output, delay_s)
    found = metrics.summary()["question"]
    assert sum(one["n"] for name, one in found.items() if name.startswith("delay_")) == found["all"]["n"] == 300


@pytest.mark.parametrize("labels", [10, 40, 70, 200])
def test_a_point_of_the_curve_is_the_window_that_ends_there(labels: int) -> None:
    metrics, seen = Prequential(SMALL), judgements(labels)
    for label, output, delay_s in seen:
        metrics.update("question", label, output, delay_s)
    window = ClassTally()
    for label, output, _ in seen[-SMALL.window :]:
        window.add(label, output)
    curve = metrics.curve("question")
    assert curve["n"][-1] == labels
    assert {name: values[-1] for name, values in curve.items() if name != "n"} == pytest.approx(
        {name: value for name, value in window.summary("none").items() if name != "n"}, abs=1e-5
    )


def test_a_curve_grows_no_longer_than_its_limit_and_stays_evenly_spaced() -> None:
    metrics = Prequential(MetricsSettings(window=4, every=2))
    for _ in range(4 * 2 * MOST_POINTS):
        metrics.update("depth", 0.5, Output(value=0.5), 0)
    labels = metrics.curve("depth")["n"]
    assert len(labels) <= MOST_POINTS
    assert len({b - a for a, b in pairwise(labels)}) == 1


def test_a_label_without_a_prediction_is_unscored() -> None:
    metrics = Prequential(SMALL)
    metrics.update("question", "open", None, 1.0)
    metrics.update("question", "open", Output(), 1.0)
    metrics.update("question", 3.0, says("open"), 1.0)
    metrics.update("question", "open", says("open"), 1.0)
    assert metrics.summary()["question"]["all"]["unscored"] == 3
    assert metrics.summary()["question"]["all"]["n"] == 1


def test_a_task_that_nobody_judged_has_no_curve() -> None:
    assert Prequential(SMALL).curve("question") == {}


@settings(deadline=None)
@given(n=st.integers(0, 60), cut=st.integers(0, 60))
def test_bytes_restore_metrics_that_go_on_as_if_never_stored(n: int, cut: int) -> None:
    stored, whole = Prequential(SMALL), Prequential(SMALL)
    for i, (label, output, delay_s) in enumerate(judgements(n)):
        if i == cut:
            stored = Prequential.from_bytes(stored.to_bytes(), SMALL)
        labels: dict[str, LabelValue] = {"a": label, "b": (label, "open"), "c": float(i % 7)}
        for task, value in labels.items():
            both = Output(probabilities=output.probabilities, value=delay_s)
            stored.update(task, value, both, delay_s)
            whole.update(task, value, both, delay_s)
    assert stored.to_bytes() == whole.to_bytes()
    assert stored.summary() == whole.summary()
    for record in whole.records.values():
        assert Record.from_bytes(record.to_bytes()) == record


def test_scores_over_arrays_are_the_prequential_ones() -> None:
    seen = judgements(500)
    metrics = Prequential(SMALL)
    for label, output, _ in seen:
        metrics.update("question", label, output, 0.0)
    table = [list((output.probabilities or {}).values()) for _, output, _ in seen]
    found = scores([CLASSES.index(label) for label, _, _ in seen], table, CLASSES)
    expected = metrics.summary()["question"]["all"]
    for name in ("n", "accuracy", "mcc", "macro_f1", "macro_f1_besides", "ece", "brier", "log_loss"):
        assert found[name] == pytest.approx(expected[name])
    assert {name: one["support"] for name, one in found["per_class"].items()} == {
        name: sum(label == name for label, _, _ in seen) for name in CLASSES
    }


def test_scores_refuse_shapes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="probabilities"):
        scores([0, 1], [[0.5, 0.5]])

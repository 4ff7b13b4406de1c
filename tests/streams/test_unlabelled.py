"""What operators see of predictions that nobody has labelled: how many, and how right they probably are."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from schemas import topics
from schemas.event import Data
from schemas.prediction import Example, Prediction
from schemas.prediction import Output as Answer
from streams.metrics import GAUGES, Metrics, RoleMetrics
from streams.processor import Output

SURE = {"move": Answer(probabilities={"none": 0.0, "press": 1.0}), "depth": Answer(value=0.5)}


def out(data: Data) -> Output:
    topic = topics.PREDICTION if isinstance(data, Prediction) else topics.EXAMPLE
    return Output(topic, "s", "id", datetime(2026, 1, 1, tzinfo=UTC), data, ())


def predicted() -> Output:
    return out(
        Prediction(session="s", interaction="i", model="m", version="v:1", outputs=SURE, importance=0, reasons={})
    )


def labelled(value: str, revises: str | None = None, contradicts: tuple[str, ...] = ()) -> Output:
    return out(Example(kind="label", model="m", session="s", interaction="i", feedback="f", rater="r", predicted=SURE,
                       labels={"move": value}, revises=revises, contradicts=contradicts))  # fmt: skip


def gauge(metrics: Metrics, name: str, **labels: str) -> float | None:
    assert name in GAUGES
    return metrics.registry.get_sample_value(f"currere_{name}", labels)


def test_coverage_is_the_share_of_predictions_with_a_label_over_all_partitions() -> None:
    metrics = Metrics()
    RoleMetrics(metrics, "session").batch([], [predicted()] * 6, [])
    RoleMetrics(metrics, "session").batch([], [*[predicted()] * 2, labelled("press"), labelled("none")], [])
    assert gauge(metrics, "label_coverage", task="move") == 2 / 8
    assert gauge(metrics, "label_coverage", task="depth") == 0


def test_a_revision_and_another_rater_s_word_cover_nothing_more() -> None:
    metrics = Metrics()
    more = [labelled("none", revises="f"), labelled("none", contradicts=("f",))]
    RoleMetrics(metrics, "session").batch([], [*[predicted()] * 4, labelled("press"), *more], [])
    assert gauge(metrics, "label_coverage", task="move") == 1 / 4


@pytest.mark.parametrize("method", ["calibrated", "thresholded"])
def test_all_predictions_are_estimated_as_right_as_equally_sure_ones_were(method: str) -> None:
    metrics = Metrics()
    labels = [labelled("press" if n % 4 else "none") for n in range(400)]
    RoleMetrics(metrics, "session").batch([], [*[predicted()] * 1_000, *labels], [])
    assert gauge(metrics, "estimated_accuracy", task="move", method=method) == pytest.approx(0.75, abs=0.005)
    assert gauge(metrics, "estimated_accuracy_error", task="move", method=method) == pytest.approx(0, abs=0.02)


def test_where_nobody_labels_there_is_no_estimate() -> None:
    metrics = Metrics()
    RoleMetrics(metrics, "session").batch([], [predicted()], [])
    assert gauge(metrics, "estimated_accuracy", task="move", method="calibrated") is None

"""Late labels: what has come by now is no fair sample, and by how much not is learned from the delays themselves."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learners.delays import EDGES_S, Delays, DelaySettings

LATE_SHARE = 0.3
DELAY_S = {"soon": 100.0, "late": 400.0}  # means of exponential delays
NOW_S, WINDOW_S = 6_000.0, 1_000.0
Label = tuple[str, float, float]  # class, when its item was, delay


def stream(seed: int, until_s: float = NOW_S) -> Iterator[Label]:
    """Items at random moments, some four seconds apart, in the order in which their labels come by ``until_s``."""
    draw = np.random.default_rng(seed)
    at = np.sort(draw.uniform(0, until_s, int(until_s / 4)))
    names = np.where(draw.random(len(at)) < LATE_SHARE, "late", "soon")
    delays = draw.exponential([DELAY_S[name] for name in names])
    order = np.argsort(at + delays)
    come = order[(at + delays)[order] <= until_s]
    return zip(names[come].tolist(), at[come].tolist(), delays[come].tolist(), strict=True)


def heard(labels: Iterator[Label]) -> Delays:
    delays = Delays()
    for name, at_s, delay_s in labels:
        delays.update("move", name, at_s, delay_s)
    return delays


def test_the_corrected_share_of_a_late_class_is_unbiased_where_the_naive_one_is_not() -> None:
    naive, corrected = [], []
    for seed in range(40):
        recent = [name for name, at_s, _ in stream(seed) if at_s >= NOW_S - WINDOW_S]
        naive.append(recent.count("late") / len(recent))
        corrected.append(heard(stream(seed)).rates("move", NOW_S, NOW_S - WINDOW_S)["late"])
    error = {name: np.std(found, ddof=1) / len(found) ** 0.5 for name, found in
             (("naive", naive), ("corrected", corrected))}  # fmt: skip
    assert abs(np.mean(corrected) - LATE_SHARE) < 3 * error["corrected"]
    assert abs(np.mean(naive) - LATE_SHARE) > 10 * error["naive"]


def test_the_share_that_has_come_by_an_age_is_the_distribution_of_the_delays_though_long_ones_are_cut_off() -> None:
    """Of an exponential delay, 1 - exp(-age / mean); no delay past an hour and a half can have been seen."""
    shares = heard(stream(1, 60_000.0)).shares("move", 60_000.0)
    for name, mean_s in DELAY_S.items():
        ages = np.array([30.0, 100.0, 300.0, 1_000.0])
        assert shares.arrived(name, ages) == pytest.approx(1 - np.exp(-ages / mean_s), abs=0.03)


def test_a_cut_sample_of_old_and_young_items_gives_the_same_as_one_of_old_items_alone() -> None:
    """Half of all delays are 20 s and half 500 s, and most items are younger than 500 s."""
    delays = Delays(DelaySettings(prior=0.0))
    old = [("a", 10.0 * n, delay_s) for n in range(50) for delay_s in (20.0, 500.0)]
    young = [("a", 9_800.0 + n, 20.0) for n in range(100)]
    for name, at_s, delay_s in sorted(old + young, key=lambda label: label[1] + label[2]):
        delays.update("move", name, at_s, delay_s)
    assert delays.shares("move", 10_000.0).arrived("a", 100.0) == pytest.approx(0.5)


@given(st.lists(st.floats(-100, 5_000), min_size=1, max_size=60), st.floats(0, 10_000))
def test_shares_rise_with_age_from_none_to_all(delays_s: list[float], age_s: float) -> None:
    delays = Delays()
    for n, delay_s in enumerate(delays_s):
        delays.update("move", "ab"[n % 2], 10.0 * n, delay_s)
    shares = delays.shares("move", delays.now)
    for name in shares.classes:
        assert 0 <= shares.arrived(name, age_s) <= shares.arrived(name, age_s * 1.5 + 1) <= 1 + 1e-12
        assert shares.arrived(name, EDGES_S[-1]) == pytest.approx(1)


def test_long_after_the_beginning_no_class_weighs_more() -> None:
    delays = heard(stream(2, 40_000.0))
    assert delays.weights("move") == pytest.approx({"soon": 1.0, "late": 1.0}, abs=0.02)


def test_soon_after_a_change_the_late_class_weighs_more_and_the_mean_weight_of_labels_is_one() -> None:
    delays, began = heard(stream(3)), NOW_S - 300  # where a pane begins
    delays.restart(began)
    weights = delays.weights("move")
    since = [name for name, at_s, _ in stream(3) if at_s >= began]
    assert weights["late"] > 1.3 * weights["soon"]
    assert np.mean([weights[name] for name in since]) == pytest.approx(1)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 100), cut=st.integers(0, 300))
def test_restored_delays_go_on_as_if_never_stored(seed: int, cut: int) -> None:
    labels = list(stream(seed, 1_500.0))
    whole, halved = heard(iter(labels)), heard(iter(labels[:cut]))
    halved = Delays.from_bytes(halved.to_bytes())
    for name, at_s, delay_s in labels[cut:]:
        halved.update("move", name, at_s, delay_s)
    assert halved.to_bytes() == whole.to_bytes()


def test_panes_grow_with_the_logarithm_of_time_and_no_label_is_lost_before_the_horizon() -> None:
    delays = Delays(DelaySettings(pane_s=10.0, horizon_s=100_000.0))
    for n in range(5_000):
        delays.update("move", "a", 10.0 * n, 5.0)
    panes = delays.tasks["move"].panes
    assert len(panes) < 8 * np.log2(5_000)
    assert sum(count for classes in panes.values() for bins in classes.values() for count in bins.values()) == 5_000


def test_items_past_the_horizon_are_forgotten() -> None:
    delays = Delays(DelaySettings(pane_s=10.0, horizon_s=1_000.0))
    delays.update("move", "a", 0.0, 5.0)
    delays.update("move", "b", 5_000.0, 5.0)
    delays.update("move", "a", 10.0, 5_200.0)
    assert [list(classes) for classes in delays.tasks["move"].panes.values()] == [["b"]]


def test_before_any_label_there_is_neither_rate_nor_weight() -> None:
    assert Delays().rates("move", 10.0, 0.0) == {} == Delays().weights("move")

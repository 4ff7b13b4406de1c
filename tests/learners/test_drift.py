"""Drift: alarms after a change and not without one; stored detectors cannot run code."""

from __future__ import annotations

import os
import pickle
import random
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river.drift import ADWIN
from river.drift.binary import HDDMW

from learners.drift import ALL, DriftMonitor, DriftSeen, DriftSettings, DriftStateRefused, Rise, sealed, unsealed

RULES = DriftSettings()


def errors(rate: float, n: int, seed: int) -> list[float]:
    draw = random.Random(seed)
    return [float(draw.random() < rate) for _ in range(n)]


def shown(monitor: DriftMonitor, stream: Iterable[float], cohort: str | None = None) -> list[DriftSeen]:
    return [seen for i, e in enumerate(stream) for seen in monitor.update("question", cohort, e, f"example-{i}")]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("detector", ["adwin", "hddm_w"])
def test_a_detector_fires_soon_after_an_abrupt_change_and_tells_where_and_how_much(seed: int, detector: str) -> None:
    stream = errors(0.2, 2_000, seed) + errors(0.6, 500, seed + 100)
    found = [seen for seen in shown(DriftMonitor(RULES), stream) if seen.detector == detector]
    assert found
    assert 2_000 < found[0].n <= 2_200
    assert found[0].example == f"example-{found[0].n - 1}"
    assert found[0].before == pytest.approx(0.2, abs=0.1)
    assert found[0].after > found[0].before + 0.05


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5])
def test_no_detector_fires_on_a_steady_stream(rate: float, seed: int) -> None:
    assert shown(DriftMonitor(RULES), errors(rate, 3_000, seed)) == []


def test_adwin_sees_the_mean_before_the_change_exactly_where_the_window_holds_nothing_else() -> None:
    """Of a step from 0 to 1 what is cut off is zeros; what is kept has all the ones that came."""
    (seen, *_) = [one for one in shown(DriftMonitor(RULES), [0.0] * 500 + [1.0] * 100) if one.detector == "adwin"]
    assert seen.before == 0
    assert 0 < seen.after <= 1


@given(st.lists(st.floats(0, 0.4), max_size=80), st.lists(st.floats(0.6, 1), max_size=80), st.integers(0, 160))
def test_a_rise_is_what_river_s_one_sided_test_finds(before: list[float], after: list[float], stored_at: int) -> None:
    ours, river = Rise(0.01, 0.1, 0.05), HDDMW(0.01, 0.1, 0.05)
    for n, error in enumerate((*before, *after, *before)):
        if n == stored_at:
            (ours,) = unsealed(sealed([ours]))
        ours.update(error)
        river.update(error)
        assert (ours.drift_detected, ours.warning_detected) == (river.drift_detected, river.warning_detected)
        if ours.drift_detected:
            assert (ours._s1_incr.ewma, ours._s2_incr.ewma) == (river._s1_incr.ewma, river._s2_incr.ewma)


def test_a_change_in_one_cohort_is_seen_there() -> None:
    monitor = DriftMonitor(RULES)
    found = []
    for i, (calm, moved) in enumerate(
        zip(errors(0.2, 2_000, 1), errors(0.2, 1_500, 2) + errors(0.8, 500, 3), strict=True)
    ):
        found += monitor.update("question", "calm", calm, f"c{i}") + monitor.update("question", "moved", moved, f"m{i}")
    assert "moved" in {seen.cohort for seen in found}
    assert "calm" not in {seen.cohort for seen in found}


def test_a_flood_of_new_cohorts_drives_out_no_active_one() -> None:
    few = DriftSettings(cohorts=3, idle=50)
    monitor = DriftMonitor(few)
    for i in range(2_000):
        monitor.update("question", "ours" if i % 10 == 0 else f"flood-{i}", 0.0, str(i))
        assert len(monitor.watches["question"]) <= 3 + 1
    assert monitor.watches["question"]["ours"].n == 2_000 / 10


def test_a_cohort_that_went_silent_gives_up_its_place() -> None:
    few = DriftSettings(cohorts=1, idle=50)
    monitor = DriftMonitor(few)
    monitor.update("question", "last year", 0.0, "a")
    for i in range(52):
        monitor.update("question", "this year", 0.0, str(i))
    assert set(monitor.watches["question"]) == {ALL, "this year"}


@settings(max_examples=20, deadline=None)
@given(cut=st.integers(1, 900), seed=st.integers(0, 1_000))
def test_restored_detectors_go_on_as_if_never_stored(cut: int, seed: int) -> None:
    stream = errors(0.2, 600, seed) + errors(0.7, 300, seed)
    whole = DriftMonitor(RULES)
    expected = shown(whole, stream, "a")
    halved = DriftMonitor(RULES)
    before = shown(halved, stream[:cut], "a")
    halved = DriftMonitor.restored(RULES, {"question": halved.task_bytes("question")})
    after = [
        seen for i, e in enumerate(stream[cut:], cut) for seen in halved.update("question", "a", e, f"example-{i}")
    ]
    assert before + after == expected
    assert halved.task_bytes("question") == whole.task_bytes("question")


class Hostile:
    """A pickle of it asks for ``os.system``."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("exit 1",)


@pytest.mark.parametrize(
    "state",
    [
        Hostile(),
        {ALL: (ADWIN(), Hostile(), 1, 1)},  # type: ignore[no-untyped-call]  # river's detectors are untyped
        eval,
        random.Random(1),
        pickle.loads,
    ],
)
def test_a_pickle_that_asks_for_anything_but_a_detector_is_refused(state: object) -> None:
    with pytest.raises(DriftStateRefused, match="which no detector needs"):
        unsealed(sealed(state))


@pytest.mark.parametrize(
    "state",
    [[], {}, {ALL: 1}, {1: 2}, {ALL: ("a", "b", 1, 1)}, "text"],
)
def test_a_pickle_of_something_else_is_refused(state: object) -> None:
    with pytest.raises(DriftStateRefused):
        DriftMonitor.restored(RULES, {"question": sealed(state)})


@given(cut=st.integers(0, 400), flip=st.integers(0, 255))
def test_damaged_bytes_are_refused_before_native_code_sees_them(cut: int, flip: int) -> None:
    monitor = DriftMonitor(RULES)
    monitor.update("question", None, 1.0, "a")
    value = bytearray(monitor.task_bytes("question"))
    value[cut % len(value)] ^= flip or 1
    with pytest.raises(DriftStateRefused, match="damaged"):
        DriftMonitor.restored(RULES, {"question": bytes(value)})


def test_bytes_without_a_seal_are_refused() -> None:
    with pytest.raises(DriftStateRefused):
        unsealed(pickle.dumps({}))

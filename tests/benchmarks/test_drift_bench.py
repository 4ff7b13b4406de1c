"""The detectors that curation runs, beside river's: quieter where nothing changes, soon where something does."""

from __future__ import annotations

import json

import pytest

from benchmarks import drift

OURS, RIVERS = "curate", ("river ADWIN", "river HDDM_W")


def runs(name: str, stream: drift.Stream, seeds: int = 3) -> list[drift.Heard]:
    return [drift.heard(drift.DETECTORS[name](), list(stream.errors(seed)), stream.turn) for seed in range(seeds)]


@pytest.mark.parametrize("rate", drift.STEADY)
def test_on_a_steady_stream_ours_ring_no_more_often_than_river_s_together(rate: float) -> None:
    stream = drift.steady(rate, 4_000)
    ours, theirs = (sum(run.false for name in names for run in runs(name, stream)) for names in ((OURS,), RIVERS))
    assert ours <= theirs
    assert ours == 0, "about one alarm in 100,000 labels is expected"


@pytest.mark.parametrize(("rates", "most"), [((0.1, 0.3), 400), ((0.2, 0.4), 400), ((0.2, 0.6), 100)])
def test_an_abrupt_rise_is_found_within_a_bound(rates: tuple[float, float], most: int) -> None:
    for run in runs(OURS, drift.turning(*rates, 1)):
        assert run.delay is not None
        assert run.delay <= most


def test_a_gradual_rise_is_found_before_it_has_ended_twice_over() -> None:
    width = 1_000
    for run in runs(OURS, drift.turning(0.2, 0.6, width), seeds=2):
        assert run.delay is not None
        assert run.delay <= 2 * width


def test_what_is_heard_counts_alarms_before_the_turn_and_the_first_after_it() -> None:
    errors = [float(n in (3, 8, 9)) for n in range(10)]
    assert drift.heard(lambda error: error == 1, errors, 5) == drift.Heard(false=1, quiet=5, delay=4)
    assert drift.heard(lambda error: error == 1, errors, None) == drift.Heard(false=3, quiet=10, delay=None)
    assert drift.figures([drift.Heard(1, 5, 4), drift.Heard(0, 5, 2), drift.Heard(0, 5)]) == {
        "delay": 3,
        "found": 2 / 3,
        "false": 1e4 / 15,
    }


@pytest.mark.parametrize(("name", "width"), [("SEA", 1), ("Agrawal", 1), ("SEA", 100)])
def test_the_learned_streams_err_more_after_the_turn(name: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "BEFORE", 1_000)
    monkeypatch.setattr(drift, "AFTER", 500)
    errors = list(drift.learned(name, width).errors(0))
    before, after = errors[500 : drift.BEFORE], errors[drift.BEFORE + width :]
    assert len(errors) == drift.BEFORE + drift.AFTER + width
    assert sum(after) / len(after) > sum(before) / len(before)


def test_it_prints_one_object_and_draws(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(drift, "BEFORE", 300)
    monkeypatch.setattr(drift, "AFTER", 300)
    monkeypatch.setattr(drift, "streams", lambda width: [drift.steady(0.5, 200), drift.turning(0.0, 1.0, 1)])
    assert drift.main(["--seeds", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])["streams"]
    assert set(found["abrupt 0 > 1"]) == set(drift.DETECTORS)
    assert all(each["found"] == 1 for each in found["abrupt 0 > 1"].values())

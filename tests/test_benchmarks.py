"""The benchmarks run, and their figures are what their names say."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median

import pytest

from benchmarks import score
from benchmarks.arms import Spent
from deploy.kafka.broker import Broker
from schemas.errors import ConfigurationError
from streams.cli import bench


def test_the_ratio_is_the_median_of_the_rounds_ratios_of_rates() -> None:
    walls = [(4.0, 1.0), (3.0, 2.0), (5.0, 4.0)]  # seconds of session and bare
    rounds = [score.Round(600, Spent(session, 1.0), Spent(bare, 0.5)) for session, bare in walls]

    found = score.result(rounds)

    ratios = [bare / session for session, bare in walls]
    assert found["ratio"]["median"] == round(median(ratios), 3)
    assert (found["ratio"]["min"], found["ratio"]["max"]) == (round(min(ratios), 3), round(max(ratios), 3))
    assert found["session"]["events_per_s"] == 600 / median(session for session, _ in walls)
    assert found["session"]["cpu_us_per_event"] == round(1e6 * 1.0 / 600, 1)


@pytest.mark.timeout(400)  # three processes import torch, one after the other
def test_both_arms_publish_a_prediction_for_each_interaction(
    own_kafka: Broker, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    servers = ["--kafka", own_kafka.bootstrap, "--redis", redis_url]
    sizes = ["--interactions", "60", "--rounds", "1", "--batch", "25"]

    assert score.main([*servers, *sizes, "--json"]) == 0  # it refuses any other number of predictions

    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(found) == {"session", "bare", "ratio", "setup"}
    assert found["session"]["events_per_s"] > 0
    assert found["bare"]["cpu_us_per_event"] > 0


def test_the_command_lists_the_programs_of_a_folder_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "fast.py").write_text('if __name__ == "__main__":\n    pass\n')
    (tmp_path / "shared.py").write_text("A = 1\n")

    assert list(bench.entries(tmp_path)) == ["fast"]
    assert {"score", "talkmoves"} <= set(bench.entries())


def test_without_a_checkout_the_command_says_where_benchmarks_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.entries, "__defaults__", (tmp_path,))

    with pytest.raises(ConfigurationError, match="checkout"):
        bench.bench(None, None)  # type: ignore[arg-type]  # there is nothing to run, so no context is asked for

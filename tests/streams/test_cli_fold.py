"""``currere fold`` over a file of requests: what is compared, saved, plotted and refused."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from builders import MODEL, TENANT
from test_cli_app import run
from trainlog import train_log

from learners.snapshot import served_from_snapshot
from streams.cli import MISUSE
from streams.requests import in_file, in_log, save

STEPS = 8


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("CURRERE_") and "_TEST_" not in name]:
        monkeypatch.delenv(name)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("default")


@pytest.fixture
def requests(tmp_path: Path) -> str:
    path = tmp_path / "requests.jsonl.gz"
    save(path, in_log(train_log(STEPS), TENANT, MODEL))
    return str(path)


def test_both_ways_and_their_difference_are_told_as_json(requests: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "fold", "--from", requests, "--set", "learning.dim=2", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["ways"]["changed"]["changes"] == {"dim": 2}
    assert found["tasks"]["move"]["recorded"]["all"]["n"] == 2 * STEPS
    assert set(found["tasks"]["move"]["mcc_difference"]) == {"value", "low", "high", "shows"}


def test_people_get_a_table_and_what_it_shows(requests: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "fold", "--from", requests, "--set", "learning.dim=2")
    assert code == 0
    assert "changed: dim=2" in out
    assert "move: no difference shown" in out


def test_a_limit_folds_the_first_requests_alone(requests: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "fold", "--from", requests, "--limit", "4", "--set", "learning.dim=2", "--json")
    assert json.loads(out)["requests"] == 4


def test_saving_writes_the_requests_and_compares_nothing(
    requests: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.jsonl.gz"
    code, out, _ = run(capsys, "fold", "--from", requests, "--save", str(other))
    assert (code, out) == (0, "")
    assert [one.id for one in in_file(other)] == [one.id for one in in_file(Path(requests))]


def test_no_model_is_written_without_somebody_whom_the_log_does_not_know(
    requests: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "without.safetensors"
    code, _, error = run(capsys, "fold", "--from", requests, "--without", "learner:typo", "--out", str(out))
    assert code != 0
    assert "learner:typo" in error
    assert not out.exists()


def test_a_fold_without_somebody_says_what_moved_and_writes_the_model_that_it_comes_to(
    requests: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "without.safetensors"
    code, told, _ = run(capsys, "fold", "--from", requests, "--without", "event:e3", "--out", str(out), "--json")
    found = json.loads(told)
    assert (code, found["clean"], found["same"], found["examples"]) == (0, True, False, {"event:e3": 1})
    assert served_from_snapshot(out.read_bytes()).digest() == found["digest"]


def test_people_are_told_who_was_left_out_and_that_nothing_is_left(
    requests: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, "fold", "--from", requests, "--without", "event:e3", "--without", "learner:nobody")
    assert code == 0
    assert "event:e3: 1 examples left out" in out
    assert "learner:nobody: nothing in the log" in out
    assert "folded 0, probe 0, met 0" in out


def test_a_version_is_explained_from_a_file_of_requests(requests: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "model", "explain", "latest", "--from", requests, "--top", "3", "--json")
    found = json.loads(out)
    assert (code, found["events"], len(found["top"])) == (0, 2 * STEPS, 3)
    assert found["by"]["rater"] == [{"rater": "ann", "events": 2 * STEPS, "share": 1.0}]


def test_people_get_the_events_of_a_version_in_a_table(requests: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "model", "explain", "latest", "--from", requests)
    assert code == 0
    assert f"{2 * STEPS} events in {STEPS} steps" in out


@pytest.mark.parametrize(("since", "why"), [("latest", "nothing was folded since"), ("a:999", "ends before")])
def test_a_version_is_not_explained_since_one_that_is_not_before_it(
    since: str, why: str, requests: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, "model", "explain", "latest", "--since", since, "--from", requests)
    assert code != 0
    assert why in err


def test_a_version_that_never_was_cannot_be_explained(requests: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "model", "explain", "another:3", "--from", requests)
    assert code == 1
    assert "not another" in err


@pytest.mark.parametrize(
    "arguments",
    [("--set", "learning.dims=2"), ("--set", "memory.capacity=9"), ("--limit", "3"), ("--set", "learning.dim=zero"),
     ("--without", "ann"), ("--without", "rater:bo", "--set", "learning.dim=2"), ("--out", "plain.safetensors")],
)  # fmt: skip
def test_what_cannot_be_asked_is_misuse(
    requests: str, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    code, _, err = run(capsys, "fold", "--from", requests, *arguments)
    assert code == MISUSE
    assert err.startswith("currere: ")

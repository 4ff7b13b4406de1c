"""The page of all settings: complete, with sources, without secrets, and there when a setting is wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_cli_app import run

from streams.cli import MISUSE
from streams.cli.settings import MASK, masked, plain, unit
from streams.settings import Settings


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("CURRERE_") and "_TEST_" not in name]:
        monkeypatch.delenv(name)


def rows(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    code, out, _ = run(capsys, "settings", "--json")
    assert code == 0
    return {row["setting"]: row for row in json.loads(out)}


def test_every_setting_is_on_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert {name.partition(".")[0] for name in rows(capsys)} == set(Settings.model_fields)


def test_the_environment_goes_over_the_file_and_both_are_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "currere.toml").write_text("partitions = 6\nbatch = 7\n[learning]\ndim = 8\n")
    monkeypatch.setenv("CURRERE_BATCH", "9")
    found = rows(capsys)
    assert (found["partitions"]["value"], found["partitions"]["source"]) == (6, "currere.toml")
    assert (found["batch"]["value"], found["batch"]["source"]) == (9, "CURRERE_BATCH")
    assert (found["learning.dim"]["value"], found["learning.dim"]["source"]) == (8, "currere.toml")
    assert found["learning.hidden"]["source"] == found["kafka"]["source"] == "default"


def test_a_wrong_setting_is_an_error_below_the_page_that_lists_all(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CURRERE_PARTITION", "4")
    code, out, err = run(capsys, "settings")
    assert code == MISUSE
    assert "partitions" in out
    assert err.startswith("currere: unknown setting CURRERE_PARTITION")


@pytest.mark.parametrize(
    ("variable", "value", "file"),
    [("CURRERE_LEARNING", "{", ""), ("CURRERE_BATCH", "1", "batch = "), ("CURRERE_BATCH", "many", "")],
)
def test_a_setting_that_cannot_be_read_is_an_error_not_a_traceback(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    variable: str,
    value: str,
    file: str,
) -> None:
    (tmp_path / "currere.toml").write_text(file)
    monkeypatch.setenv(variable, value)
    code, _, err = run(capsys, "settings", "--json")
    assert code == MISUSE
    assert err.count("\n") == 1


@pytest.mark.parametrize(("part", "value"), [("learning", '"none at all"'), ("memory", "-1")])
def test_a_wrong_value_says_of_which_part_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, part: str, value: str
) -> None:
    monkeypatch.setenv(f"CURRERE_{part.upper()}", f'{{"replay": {value}}}')
    code, _, err = run(capsys, "settings", "--json")
    assert code == MISUSE
    assert err.startswith(f"currere: {part}: replay is ")


def test_no_secret_is_shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURRERE_REDIS", "rediss://ada:s3cr@t@cache:6380/0?ssl_keyfile_password=s3cr")
    monkeypatch.setenv("CURRERE_KAFKA_OPTIONS", json.dumps({"sasl.password": "s3cr", "sasl.username": "ada"}))
    _, out, _ = run(capsys, "settings", "--json")
    assert "s3cr" not in out
    found = {row["setting"]: row["value"] for row in json.loads(out)}
    assert found["redis"] == f"rediss://ada:{MASK}@cache:6380/0?ssl_keyfile_password={MASK}"
    assert found["kafka_options"] == {"sasl.password": MASK, "sasl.username": "ada"}


words = st.text(
    st.characters(codec="ascii", exclude_characters=" \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f"), min_size=12, max_size=20
)


@given(secret=words.filter(lambda word: word.isprintable()))
def test_a_password_in_a_url_is_never_shown(secret: str) -> None:
    shown = masked(f"redis://user:{secret}@host:6379/0")
    assert shown.startswith(f"redis://user:{MASK}@")
    assert secret not in shown


@pytest.mark.parametrize(
    ("option", "secret"),
    [
        ("sasl.password", True),
        ("ssl.key.password", True),
        ("ssl.key.pem", True),
        ("sasl.oauthbearer.client.secret", True),
        ("sasl.jaas.config", True),
        ("ssl.key.location", False),
        ("ssl.keystore.location", False),
        ("sasl.username", False),
        ("security.protocol", False),
    ],
)
def test_options_that_hold_secrets_are_masked_and_others_shown(option: str, secret: bool) -> None:
    assert plain("kafka_options", {option: "value"}) == {option: MASK if secret else "value"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("delta_s", "s"),
        ("delta_bytes_per_s", "bytes/s"),
        ("session_timeout_ms", "ms"),
        ("snapshot_minutes", "minutes"),
        ("new_per_request", "examples"),
        ("kafka", ""),
    ],
)
def test_a_unit_is_the_end_of_a_name(name: str, expected: str) -> None:
    assert unit(name) == expected


@pytest.mark.parametrize("given", ['{"dim": 0}', '{"dim": "many"}', '{"replay": "everything"}'])
def test_a_value_inside_learning_that_cannot_be_is_an_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("CURRERE_LEARNING", given)
    code, _, err = run(capsys, "settings", "--json")
    assert code == MISUSE
    assert next(iter(json.loads(given))) in err

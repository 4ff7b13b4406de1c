"""Every setting has one name, one unit and one place in an order of precedence; anything else is an error."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.errors import ConfigurationError
from streams.settings import FILE, PREFIX, Settings, load

Write = Callable[[str], None]


@pytest.fixture(autouse=True)
def toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes the settings file of a working directory of the test's own, under an environment without settings."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def write(text: str) -> None:
        (tmp_path / FILE).write_text(text)

    return write


def test_without_anything_there_are_defaults() -> None:
    assert load() == Settings()
    assert load().horizon_s == load().horizon_days * 86_400


def test_the_file_beats_the_default(toml: Write) -> None:
    toml("batch = 7")
    assert load().batch == 7


def test_the_environment_beats_the_file(toml: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    toml("batch = 7\nnew_per_request = 5")
    monkeypatch.setenv(f"{PREFIX}BATCH", "8")
    assert (load().batch, load().new_per_request) == (8, 5)


def test_an_argument_beats_the_environment_unless_it_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}BATCH", "8")
    assert load(batch=9).batch == 9
    assert load(batch=None).batch == 8


@pytest.mark.parametrize("name", ["BATCHES", "KAFKA_ADDRESS", ""])
def test_an_unknown_key_in_the_environment_is_an_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}{name}", "8")
    with pytest.raises(ConfigurationError, match=f"{PREFIX}{name}"):
        load()


def test_an_unknown_key_in_the_file_is_an_error_that_names_file_and_nearest(toml: Write) -> None:
    toml("batches = 7")
    with pytest.raises(ConfigurationError, match=r"unknown setting batches in currere\.toml; did you mean batch\?"):
        load()


def test_an_unknown_argument_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="batches"):
        load(batches=7)


@pytest.mark.parametrize(
    ("name", "value"),
    [("batch", 0), ("batch", "many"), ("horizon_days", 0), ("consent", "maybe"), ("replayed_per_request", -1)],
)
def test_a_value_out_of_range_is_an_error_that_names_its_setting(name: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=name):
        load(**{name: value})


@pytest.mark.parametrize("value", ["not json", "[1]"])
def test_a_table_in_the_environment_is_json(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}LEARNING", value)
    with pytest.raises(ConfigurationError, match=r"(?i)learning"):
        load()
    monkeypatch.setenv(f"{PREFIX}LEARNING", '{"dim": 4}')
    assert load().learning == {"dim": 4}


def test_a_file_that_cannot_be_read_is_an_error(toml: Write) -> None:
    toml("batch = ")
    with pytest.raises(ConfigurationError, match=FILE):
        load()


def test_settings_that_contradict_one_another_are_an_error() -> None:
    with pytest.raises(ConfigurationError, match="session_timeout_ms"):
        load(group_protocol="consumer", session_timeout_ms=6_000)


def test_every_setting_says_what_it_is() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().batch = 3  # type: ignore[misc]  # that is the point

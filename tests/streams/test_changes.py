"""Settings given by hand are read as they are meant, or refused by name before anything begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.errors import ConfigurationError
from streams.changes import check_names, read_changes
from streams.settings import FILE, load


def test_a_value_is_json_or_else_text() -> None:
    given = ["learning.dim=32", "learning.replay=der++", "learning.dense_rate = 1e-3"]
    assert read_changes(given) == {"dim": 32, "replay": "der++", "dense_rate": 1e-3}


def test_an_entry_of_a_table_is_named_after_it() -> None:
    given = ["learning.group_rates.question=2", "learning.group_rates.rest=0.1"]
    assert read_changes(given) == {"group_rates": {"question": 2, "rest": 0.1}}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("learning.dims=32", "did you mean learning.dim"),
        ("learning.qqq=32", "known: .*dim"),
        ("dim=32", "expected learning.NAME=VALUE"),
        ("learning.dim", "expected learning.NAME=VALUE"),
        ("memory.capacity=10", "what was replayed"),
        ("kafka.address=here", "only learning"),
        ("learning.tasks=[]", "its own tasks"),
    ],
)
def test_what_cannot_be_changed_is_refused_and_told_why(given: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        read_changes([given])


@pytest.mark.parametrize(("part", "name"), [("learning", "dims"), ("memory", "capacities")])
def test_names_inside_a_setting_are_checked_when_settings_are_loaded(
    part: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / FILE).write_text(f"[{part}]\n{name} = 8\n")
    with pytest.raises(ConfigurationError, match=f"unknown setting {part}.{name}; did you mean"):
        load()


def test_known_names_are_accepted() -> None:
    check_names("learning", ["dim", "replay"])
    check_names("memory", ["capacity"])

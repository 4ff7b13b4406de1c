"""Benchmarks show tables, plots and one JSON object in one way."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from benchmarks.output import arguments, cell, count, finish, program, progress, table
from schemas.errors import ConfigurationError
from streams.charts import Interval, bars, curves, intervals

ROWS = [Interval("replay & more", 0.04, 0.03, 0.05), Interval("guidance", -0.01, -0.02, 0.01), Interval("ewc", 0.0)]
SVG = "{http://www.w3.org/2000/svg}"


def circles(svg: str) -> list[float]:
    return [float(circle.get("cx", "nan")) for circle in ElementTree.fromstring(svg).iter(f"{SVG}circle")]


def test_with_json_the_last_line_is_what_was_found(capsys: pytest.CaptureFixture[str]) -> None:
    given = arguments("A bench.", "currere bench digits --json").parse_args(["--json"])
    table(("method", "acc"), [("er", 0.5), ("none", None)], "Accuracy")
    finish({"er": {"acc": 0.5}}, given)
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"er": {"acc": 0.5}}


def test_without_json_and_a_folder_there_is_the_table_alone(capsys: pytest.CaptureFixture[str]) -> None:
    finish({}, arguments("A bench.", "currere bench digits").parse_args([]), {"plot": bars("ACC", "%", ROWS)})
    assert capsys.readouterr().out == ""


def test_plots_are_files_of_the_folder(tmp_path: Path) -> None:
    given = arguments("A bench.", "currere bench digits").parse_args(["--plots", str(tmp_path / "new")])
    finish({}, given, {"bars": bars("ACC", "%", ROWS), "forest": intervals("Parts", "MCC", ROWS)})
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"bars.svg", "forest.svg"}


def test_the_help_has_the_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments("A bench.", "currere bench digits --json").parse_args(["--help"])
    assert "Example: currere bench digits --json" in capsys.readouterr().out


def test_a_count_is_at_least_one(capsys: pytest.CaptureFixture[str]) -> None:
    parser = arguments("A bench.", "currere bench digits")
    parser.add_argument("--seeds", type=count)
    assert parser.parse_args(["--seeds", "1"]).seeds == 1
    for wrong in ("0", "-3", "some"):
        with pytest.raises(SystemExit):
            parser.parse_args(["--seeds", wrong])
        assert "--seeds" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "says"),
    [(ConfigurationError("too few"), "too few"), (FileNotFoundError(2, "No such file", "a.jsonl"), "a.jsonl")],
)
def test_what_was_asked_wrongly_is_one_line_and_status_2(
    error: Exception, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        program(main)
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert says in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("status", [None, 0, 1])
def test_a_program_ends_with_its_own_status(status: int | None) -> None:
    with pytest.raises(SystemExit) as ended:
        program(lambda: status)
    assert ended.value.code == status


def test_a_forest_plot_is_in_the_order_of_its_values() -> None:
    positions = circles(intervals("Parts", "MCC", ROWS))
    assert sorted(range(3), key=positions.__getitem__) == sorted(range(3), key=lambda n: ROWS[n].value)


def test_every_chart_is_xml_with_the_names_that_it_was_given() -> None:
    points = {"plain": [(0.0, 0.1), (100.0, 0.5)], "default <1>": [(0.0, 0.1), (100.0, 0.6)]}
    for svg, names in (
        (curves("A & B", "steps", "MCC", points), points),
        (bars("A & B", "%", ROWS), [row.name for row in ROWS]),
    ):
        texts = {found.text for found in ElementTree.fromstring(svg).iter(f"{SVG}text")}
        assert {"A & B", *names} <= texts


def test_a_curve_that_stands_still_is_drawn() -> None:
    drawn = curves("Still", "steps", "MCC", {"plain": [(1.0, 0.5), (1.0, 0.5)]})
    assert not re.search("nan|inf", drawn)


def test_cells_are_short() -> None:
    assert [cell(value) for value in (None, 1_234, 0.5, "er")] == ["", "1,234", "0.5000", "er"]


def test_progress_is_silent_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("runs", 3) as advance:
        advance()
        advance(2)
    assert capsys.readouterr().err == ""

"""The documents say what the code does: they leave nothing out that has a name, and name nothing that is not there."""

from __future__ import annotations

import ast
import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import typer

from schemas.errors import BadEvent
from schemas.feedback import FlagName, Judgement
from schemas.prediction import FateKind
from streams.cli import COMMANDS, GROUPS, build
from streams.cli.settings import Row, described
from streams.metrics import COUNTERS, GAUGES, HISTOGRAMS
from streams.roles import ROLES

ROOT = Path(__file__).parents[1]
DOCUMENTS = (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")))
CODE = {path: path.read_text() for package in ("schemas", "streams") for path in (ROOT / package).rglob("*.py")}
NOT_SET = "nothing sets it yet"

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^ {4}\S.*$", re.MULTILINE)
SPAN = re.compile(r"`([^`\n]+)`")
COMMAND = re.compile(r"(?<![\w/-])currere ([a-z]+)(?: ([a-z]+))?")
FILE = re.compile(r"[\w./-]*\w\.(?:py|lua|toml|json|yml|svg|md)|(?:[a-z]+/)+")


def text(name: str) -> str:
    """The document ``name``, from the root."""
    return (ROOT / name).read_text()


def rows(document: str) -> dict[str, list[str]]:
    """The rows of a document's tables by what their first cell names, without the backticks; all cells."""
    cells = [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in document.splitlines() if line[:2] == "| "
    ]
    return {row[0].strip("| `"): row for row in cells}


def words(document: str) -> str:
    """What a document shows as code: spans, fenced and indented lines."""
    return "\n".join((*SPAN.findall(document), *(m[1] for m in FENCED.findall(document)), *INDENTED.findall(document)))


def reasons() -> set[str]:
    """Every reason that a dead letter may have: of the errors that end as one, and those that are given by hand."""
    classes, found = [*BadEvent.__subclasses__()], set[str]()
    for each in classes:
        classes += each.__subclasses__()
        found.add(each.reason)
    for source in CODE.values():
        for call in ast.walk(ast.parse(source)):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "BadEvent":
                given = [*call.args[1:], *(keyword.value for keyword in call.keywords if keyword.arg == "reason")]
                found |= {str(value.value) for value in given if isinstance(value, ast.Constant)}
    return found


def commands(of: typer.Typer) -> Iterator[str]:
    """Every command of ``of``, as it is typed."""
    for command in of.registered_commands:
        yield command.name or str(getattr(command.callback, "__name__", ""))
    for group in of.registered_groups:
        if group.typer_instance is not None:
            yield from (f"{group.name} {name}" for name in commands(group.typer_instance))


def there_are() -> list[str]:
    """Every command that this version has."""
    return sorted(commands(build()))


def sets(metric: str) -> bool:
    """Whether any code gives ``metric`` a value."""
    named = re.compile(rf'\(\s*"{metric}"|f"{metric.rpartition("_")[0]}_\{{\w+\}}"')
    sources = {path: source.partition("class Metrics")[2] if path.name == "metrics.py" else source
               for path, source in CODE.items()}  # fmt: skip
    return any(named.search(source) for source in sources.values())


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def settings_rows() -> list[Row]:
    """Every setting with its unit and default."""
    return list(described(None, {}, {}))


@pytest.mark.parametrize("row", settings_rows(), ids=lambda row: row.setting)
def test_every_setting_is_on_the_page_of_settings_with_its_unit_and_default(row: Row) -> None:
    default = (
        "none" if row.default is None else row.default if isinstance(row.default, str) else json.dumps(row.default)
    )
    assert rows(text("docs/settings.md"))[row.setting][1:3] == [row.unit, f"`{default}`"]


def test_the_page_of_settings_names_no_setting_that_is_not_there() -> None:
    known = {row.setting for row in settings_rows()} | {"setting", "---"}
    assert {name for name in rows(text("docs/settings.md")) if not name.startswith("---")} - known == set()


@pytest.mark.parametrize("name", [*COUNTERS, *GAUGES, *HISTOGRAMS])
def test_every_metric_is_explained_to_operators_under_the_name_that_prometheus_has(name: str) -> None:
    row = rows(text("docs/operators.md"))[f"currere_{name}{'_total' if name in COUNTERS else ''}"]
    assert len(row) == 3
    assert (NOT_SET in row[2]) != sets(name), f"{name}: the page and the code differ on whether anything sets it"


def test_every_role_is_explained_to_operators_in_its_own_words() -> None:
    table = rows(text("docs/operators.md"))
    assert {name: table[name][2] for name in ROLES} == {name: role.does for name, role in ROLES.items()}


@pytest.mark.parametrize("command", there_are())
def test_every_command_is_listed_for_operators(command: str) -> None:
    assert f"currere {command}" in rows(text("docs/operators.md"))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_shows_no_command_that_is_not_there(path: Path) -> None:
    known = {*COMMANDS, *GROUPS, *there_are()}
    shown = {(first, second) for first, second in COMMAND.findall(words(path.read_text()))}
    assert {pair for pair in shown if pair[0] not in known} == set()
    assert {pair for pair in shown if pair[0] in GROUPS and pair[1] and " ".join(pair) not in known} == set()


@pytest.mark.parametrize("reason", sorted(reasons()))
def test_every_reason_of_a_dead_letter_is_explained_to_app_engineers(reason: str) -> None:
    assert len(rows(text("docs/app-engineers.md"))[reason]) == 3


@pytest.mark.parametrize("fate", get_args(FateKind))
def test_every_fate_is_explained_to_app_engineers(fate: str) -> None:
    assert len(rows(text("docs/app-engineers.md"))[fate]) == 2


def test_every_kind_of_judgement_and_every_flag_is_explained_to_experts() -> None:
    kinds = {get_args(kind.model_fields["kind"].annotation)[0] for kind in get_args(get_args(Judgement)[0])}
    table = rows(text("docs/experts.md"))
    assert kinds - set(table) == set()
    assert {flag for flag in get_args(FlagName) if f"`{flag}`" not in table["flag"][1]} == set()


def test_every_alert_is_named_to_operators() -> None:
    alerts = set(re.findall(r"- alert: (\w+)", text("deploy/prometheus/alerts.yml")))
    assert {alert for alert in alerts if not re.search(rf"\b{alert}\b", text("docs/operators.md"))} == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    for link in LINK.findall(path.read_text()):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert anchor in set(map(slug, headings)), link


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_a_document_names_by_its_path_is_there(path: Path) -> None:
    names = {name for span in SPAN.findall(path.read_text()) if "/" in span and FILE.fullmatch(span) for name in [span]}
    absent = {name for name in names if not (ROOT / name).exists()}
    assert absent - {"report.html"} == set()


@pytest.mark.parametrize("package", ["schemas", "state", "learners", "streams"])
def test_the_architecture_names_every_package(package: str) -> None:
    assert f"{package}/" in rows(text("ARCHITECTURE.md"))


def examples() -> list[tuple[str, str]]:
    """The Python that the documents show, with where."""
    return [
        (path.name, code) for path in DOCUMENTS for kind, code in FENCED.findall(path.read_text()) if kind == "python"
    ]


@pytest.mark.parametrize(("where", "code"), examples(), ids=lambda value: value[:20])
def test_a_python_example_compiles_and_imports_what_is_there(where: str, code: str) -> None:
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.module:
            module = importlib.import_module(node.module)
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)
                    and not (ROOT / node.module.replace(".", "/") / f"{alias.name}.py").exists()] == []  # fmt: skip


@pytest.mark.parametrize("path", sorted((ROOT / "docs").glob("*.svg")), ids=lambda path: path.name)
def test_a_picture_reads_in_light_and_dark_and_refers_to_nothing_outside(path: Path) -> None:
    picture = path.read_text()
    assert "prefers-color-scheme: dark" in picture
    assert "<title" in picture
    assert set(re.findall(r"https?://[^\"]+", picture)) == {"http://www.w3.org/2000/svg"}


def test_a_picture_names_only_files_that_are_there() -> None:
    named = re.findall(r">((?:schemas|state|learners|streams)/[\w/]+\.py)<", text("docs/flow.svg"))
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []

"""The command line as a whole: quick to start, helpful, and never a traceback."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from schemas.errors import BrokerError, ConfigurationError, CurrereError
from streams import advice, cli
from streams.cli import FAILURE, MISUSE, bench, build, main

ROOT = Path(__file__).parents[2]
# What takes long to import; a command imports it when it runs.
HEAVY = ("torch", "river", "scipy", "confluent_kafka", "redis", "obstore", "numpy")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a command in this process."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    told = capsys.readouterr()
    code = ended.value.code
    return code if isinstance(code, int) else 0, told.out, told.err


def commands() -> list[tuple[str, ...]]:
    """Every command, by the words that call it."""
    found = []
    for name, command in get_command(build()).commands.items():
        inner = getattr(command, "commands", None)
        found += [(name, each) for each in inner] if inner else [(name,)]
    return found


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys\nfrom streams.cli import main\ntry:\n    main(['--help'])\nfinally:\n"
        f"    print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "topics" in done.stdout


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_has_help_with_an_example(capsys: pytest.CaptureFixture[str], words: Sequence[str]) -> None:
    code, out, _ = run(capsys, *words, "--help")
    assert code == 0
    assert f"Example: currere {' '.join(words)}" in " ".join(out.split()) or f"currere {words[-1]}" in out


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("play",), ("topics", "create", "--partitions", "0"), ("--what",)]
)
def test_misuse_is_status_two_and_says_what(capsys: pytest.CaptureFixture[str], arguments: Sequence[str]) -> None:
    code, out, err = run(capsys, *arguments)
    assert code == MISUSE
    assert "Error:" in err
    assert not out


class _Fails:
    """A command line whose one command raises."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __call__(self) -> typer.Typer:
        app = typer.Typer()

        @app.command()
        def fail() -> None:
            raise self.error

        return app


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (CurrereError("a\n  long\nstory"), FAILURE),
        (BrokerError("gone"), FAILURE),
        (ConfigurationError("wrong"), MISUSE),
        (KeyboardInterrupt(), 130),
    ],
)
def test_an_error_is_one_line_and_a_status(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int
) -> None:
    monkeypatch.setattr(cli, "build", _Fails(error))
    code, out, err = run(capsys)
    assert (code, out) == (status, "")
    assert err == ("" if status == 130 else f"currere: {' '.join(str(error).split())}\n")


def test_a_silent_broker_is_one_line_and_librdkafka_adds_none(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.engines.kafka_broker.TIMEOUT_S", 0.5)
    code, out, err = run(capfd, "dlq", "list", "--kafka", "127.0.0.1:1")
    assert (code, out) == (FAILURE, "")
    assert err.startswith("currere: Kafka at 127.0.0.1:1 does not answer")
    assert err.endswith(f"{advice.KAFKA}\n")
    assert err.count("\n") == 1


def test_a_silent_store_says_what_to_do_next(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "audit", "--redis", "redis://127.0.0.1:1/0", "--kafka", "127.0.0.1:1")
    assert code == FAILURE
    assert err.endswith(f"{advice.STORE}\n")


def test_benchmarks_are_listed_when_there_are_some(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "bench")
    assert code == 0
    assert all(name in out for name in bench.entries())


def test_a_folder_without_programs_has_no_benchmarks(tmp_path: Path) -> None:
    (tmp_path / "notes.py").write_text('"""Only words."""\n')
    assert bench.entries(tmp_path) == {}
    assert bench.entries(tmp_path / "absent") == {}


def test_an_unknown_benchmark_names_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "bench", "nonsense")
    assert code == MISUSE
    assert all(name in err for name in bench.entries())


def test_a_benchmark_is_run_with_its_own_options(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = 'import sys\nif __name__ == "__main__":\n    sys.exit(len(sys.argv[1:]))\n'
    (tmp_path / "counting.py").write_text(program)
    monkeypatch.setattr(bench, "entries", lambda: {"counting": tmp_path / "counting.py"})
    assert run(capsys, "bench", "counting", "--one", "--help", "three")[0] == 3


def test_the_contract_is_written_where_one_says(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = run(capsys, "schemas", "export", str(tmp_path / "contract"))
    published = {path.relative_to(ROOT / "schemas/published") for path in (ROOT / "schemas/published").rglob("*.json")}
    assert code == 0
    assert {path.relative_to(tmp_path / "contract") for path in tmp_path.rglob("*.json")} == published
    assert f"{len(published)} documents" in out


def test_a_folder_that_cannot_be_written_is_an_error(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    code, _, err = run(capsys, "schemas", "export", str(tmp_path / "file"))
    assert code == MISUSE
    assert err.startswith("currere: ")


def test_a_file_that_is_no_recording_is_an_error(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "lessons.jsonl").write_text('{"who": "knows"}\n')
    code, _, err = run(capsys, "play", str(tmp_path / "lessons.jsonl"), "--kafka", "127.0.0.1:1")
    assert code == MISUSE
    assert "TalkMoves" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("retry",),
        ("drop",),
        ("retry", "--all", "edu.feedback.v1/0/1"),
        ("drop", "edu.feedback.v1/0/1", "--reason", "conflict"),
        ("show", "nowhere"),
    ],
)
def test_letters_that_are_not_well_named_are_misuse(
    capsys: pytest.CaptureFixture[str], arguments: Sequence[str]
) -> None:
    code, _, err = run(capsys, "dlq", *arguments, "--kafka", "127.0.0.1:1")
    assert code == MISUSE
    assert "currere dlq list" in err or "leave them out" in err

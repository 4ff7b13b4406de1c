"""``currere bench``: side-by-side measurements, each a program under ``benchmarks`` beside the packages."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from schemas.errors import ConfigurationError
from streams.cli.options import show_table

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"  # of a checkout; a wheel has none
OPTIONS = {"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False}


def entries(folder: Path = FOLDER) -> dict[str, Path]:
    """The benchmarks by name: those files of ``folder`` that are programs."""
    return {path.stem: path for path in sorted(folder.glob("[a-z]*.py")) if '"__main__"' in path.read_text("utf-8")}


def bench(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="which one, then its own options; default: list them")] = None,
) -> None:
    """Run a benchmark, or list them.

    Example: currere bench talkmoves --help
    """
    found = entries()
    if not found:
        raise ConfigurationError(f"benchmarks are in a checkout, not in a wheel, and {FOLDER} holds none")
    if name is None:
        show_table(("name", "what it measures"), [(entry, _purpose(path)) for entry, path in found.items()])
        return
    if name not in found:
        raise ConfigurationError(f"there is no benchmark {name!r}; there are {', '.join(found)}")
    done = subprocess.run([sys.executable, str(found[name]), *context.args], check=False)
    raise typer.Exit(done.returncode)


def _purpose(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return text.partition("\n")[0]

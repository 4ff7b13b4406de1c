"""The next version of this code: a copy whose schemas have each a minor version and an optional field more."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from schemas.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("schemas", "state", "learners", "streams")
RAISED = ("prediction.py", "training.py", "model.py", "drift.py")  # what roles write
VERSION = re.compile(r'^( +)VERSION: ClassVar\[str\] = "(\d+)\.(\d+)"$', re.MULTILINE)
FUTURE = "from __future__ import annotations\n"
# A default that is made, so that writers of that version write it.
FIELD = 'added_next: str | None = Field(default_factory=lambda: "next")'


def next_tree(folder: Path) -> Path:
    """Copy this checkout's packages to ``folder`` and raise what roles write. Raises ConfigurationError."""
    for package in PACKAGES:
        if not (ROOT / package).is_dir():
            raise ConfigurationError(f"an upgrade needs a checkout, and {ROOT} has no {package}/")
        shutil.copytree(ROOT / package, folder / package)  # with what is compiled, which is most of the start
    for name in RAISED:
        path = folder / "schemas" / name
        path.write_text(raised(path.read_text("utf-8")), "utf-8")
    return folder


def raised(source: str) -> str:
    """``source`` of a module of schemas, each event's minor version one more, with a field that is optional to read."""

    def more(found: re.Match[str]) -> str:
        indent, major, minor = found.groups()
        return f'{indent}VERSION: ClassVar[str] = "{major}.{int(minor) + 1}"\n{indent}{FIELD}'

    return VERSION.sub(more, source).replace(FUTURE, f"{FUTURE}from pydantic import Field\n", 1)

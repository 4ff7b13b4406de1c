"""Settings given as ``learning.NAME=VALUE``, read and checked by name before anything long begins."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from difflib import get_close_matches

from learners.entry import MemorySettings
from learners.settings import LearningSettings
from schemas.errors import ConfigurationError

PARTS: Mapping[str, type[LearningSettings] | type[MemorySettings]] = {
    "learning": LearningSettings,
    "memory": MemorySettings,
}


def read_changes(given: Iterable[str]) -> dict[str, object]:
    """The learning settings among ``given``, each ``learning.NAME=VALUE`` or ``learning.TABLE.KEY=VALUE``.

    A value is JSON, or else the text itself. Raises ConfigurationError, naming what is known, for anything else.
    """
    found: dict[str, object] = {}
    for text in given:
        path, equals, value = text.partition("=")
        part, _, rest = path.strip().partition(".")
        name, _, key = rest.partition(".")
        if not equals or not name:
            raise ConfigurationError(f"--set {text}: expected learning.NAME=VALUE, as learning.dim=32")
        _check_part(part, text)
        check_names(part, [name])
        _put(found, name, key, _value(value))
    return found


def _check_part(part: str, text: str) -> None:
    if part == "memory":
        raise ConfigurationError(
            f"--set {text}: the log already says what was replayed; only learning.* can be changed"
        )
    if part != "learning":
        raise ConfigurationError(f"--set {text}: {part!r} does not change a fold; only learning.* does")


def _put(found: dict[str, object], name: str, key: str, value: object) -> None:
    if name == "tasks":
        raise ConfigurationError("learning.tasks cannot be set here: labels of the log are of its own tasks")
    if key:
        before = found.get(name)
        found[name] = {**(before if isinstance(before, dict) else {}), key: value}
    else:
        found[name] = value


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text.strip()


def check_names(part: str, names: Iterable[str]) -> None:
    """Raise ConfigurationError unless all ``names`` are settings of ``part``, learning or memory."""
    known = sorted(field.name for field in fields(PARTS[part]))
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            meant = f"; did you mean {part}.{near[0]}?" if near else ""
            raise ConfigurationError(f"unknown setting {part}.{name}{meant}; known: {', '.join(known)}")

"""``currere settings``: every setting with its unit, default, value, and where the value comes from."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from schemas.errors import ConfigurationError
from streams.cli.options import Json, show_json, show_table

if TYPE_CHECKING:
    from streams.settings import Settings

UNITS = {  # by the end of a name
    "_bytes_per_s": "bytes/s",
    "_per_request": "examples",
    "_minutes": "minutes",
    "_days": "days",
    "_steps": "steps",
    "_ms": "ms",
    "_s": "s",
    "batch": "records",
    "probe_size": "examples",
    "poison_limit": "records",
}
SECRET = re.compile(r"password|passwd|secret|token|jaas|key(?!store\.location|\.location)", re.IGNORECASE)
IN_URL = re.compile(r"(?P<scheme>[a-z0-9+]+://)(?P<user>[^:@/\s]*):(?P<secret>\S*)@")
IN_QUERY = re.compile(r"(?P<name>[?&][^=&]*(?:password|secret|token|key)[^=&]*=)[^&\s]*", re.IGNORECASE)
MASK = "***"


class Row(NamedTuple):
    """One setting as the page shows it."""

    setting: str
    unit: str
    default: object
    value: object
    source: str
    what: str


def settings(as_json: Json = False) -> None:
    """List all settings. Environment variables (`CURRERE_` and the name in capitals) go over `currere.toml`.

    Example: CURRERE_PARTITIONS=8 currere settings
    """
    from streams.settings import FILE, load

    problem: ConfigurationError | None = None
    found: Settings | None = None
    try:
        found = load()
        _check(found)
    except ConfigurationError as error:  # the page that lists what there is must help here, too
        problem = error
    rows = list(described(found, os.environ, _in_file(Path(FILE))))
    if as_json and problem is None:
        show_json([row._asdict() for row in rows])
    elif not as_json:
        cells = [
            (r.setting, r.unit, _text(r.default), "?" if found is None else _text(r.value), r.source, r.what)
            for r in rows
        ]
        show_table(("setting", "unit", "default", "value", "from", "what it is"), cells)
    if problem is not None:
        raise problem


def _check(found: Settings) -> None:
    """Raise ConfigurationError where a value of learning or memory cannot be; ``load`` knows their names alone."""
    from streams.assembly import learning_of
    from streams.curating import memory_of

    learning_of(found)
    memory_of(found)


def described(found: Settings | None, environment: Mapping[str, str], file: Mapping[str, object]) -> Iterator[Row]:
    """A row for every setting, those of learning and memory by their parts; values are None where none are known."""
    from learners.entry import PRESETS, MemorySettings
    from learners.settings import LearningSettings
    from streams.settings import PREFIX, Settings

    given = {name.upper() for name in environment}
    parts: dict[str, Any] = {"learning": LearningSettings, "memory": MemorySettings}
    for name, field in Settings.model_fields.items():
        variable = f"{PREFIX}{name.upper()}"
        source = variable if variable in given else "currere.toml" if name in file else "default"
        value = getattr(found, name, None)
        if name not in parts:
            default = field.get_default(call_default_factory=True)
            yield Row(name, unit(name), plain(name, default), plain(name, value), source, field.description or "")
            continue
        inner, defaults = value if isinstance(value, dict) else {}, parts[name]()
        preset = PRESETS[found.memory_preset] if found and name == "memory" else {}
        for part in fields(defaults):
            if part.name == "tasks":
                continue  # settings of their own: tasks, task_names
            default = getattr(defaults, part.name)
            here = source if part.name in inner else "memory_preset" if part.name in preset else "default"
            kept = inner.get(part.name, preset.get(part.name, default)) if found else None
            yield Row(f"{name}.{part.name}", unit(part.name), default, plain(part.name, kept), here, "")


def unit(name: str) -> str:
    """The unit of a setting, which its name ends in; empty if it has none."""
    return next((unit for end, unit in UNITS.items() if name.endswith(end)), "")


def plain(name: str, value: object) -> object:
    """``value`` as JSON can hold it, without its secrets."""
    if isinstance(value, Mapping):
        return {str(key): MASK if SECRET.search(str(key)) else plain(str(key), part) for key, part in value.items()}
    if isinstance(value, str | Path):
        return masked(str(value))
    return list(value) if isinstance(value, tuple) else value


def masked(text: str) -> str:
    """``text`` without the passwords of the URLs in it."""
    return IN_QUERY.sub(rf"\g<name>{MASK}", IN_URL.sub(rf"\g<scheme>\g<user>:{MASK}@", text))


def _in_file(path: Path) -> Mapping[str, object]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError):
        return {}  # absent, or ``load`` says what is wrong with it


def _text(value: object) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)

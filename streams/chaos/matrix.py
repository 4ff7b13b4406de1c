"""The fault matrix: what each row injects, what must hold, and on which servers it is played."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from schemas.errors import ConfigurationError
from streams.audit import Audit
from streams.chaos.servers import Servers, shared
from streams.chaos.stand import Stand

ROOMS = (  # modules of this package, each with its ROWS
    "rows_process", "rows_group", "rows_broker", "rows_redis", "rows_storage", "rows_world", "rows_log",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One fault. ``play`` injects it while ``Stand`` is at work, measures the recovery, and checks the row's own claim.

    It raises DoesNotHold when the claim fails. It may return the audit that decides, where the roles cannot come to
    rest; otherwise the runner lets them settle and audits. ``on`` opens the servers; rounds of consecutive rows with
    the same ``on`` share them, unless the row leaves them ``spoiled``. ``settings`` go over ``stand.SETTINGS``.
    """

    name: str
    injects: str
    claims: str
    play: Callable[[Stand], Audit | None]
    settings: Mapping[str, object] = field(default_factory=dict)
    on: Callable[[Path], AbstractContextManager[Servers]] = shared
    spoiled: bool = False


def matrix() -> dict[str, Row]:
    """Every row by its name, in the order in which they are played: those that share servers together."""
    rows: list[Row] = []
    for room in ROOMS:
        found: Sequence[Row] = import_module(f"streams.chaos.{room}").ROWS
        rows += found
    return {row.name: row for row in sorted(rows, key=lambda row: row.on.__name__ != shared.__name__)}


def chosen(names: Sequence[str]) -> list[Row]:
    """The rows of these names, or all. Raises ConfigurationError for a name that is none."""
    rows = matrix()
    if unknown := [name for name in names if name not in rows]:
        raise ConfigurationError(f"there is no row {unknown[0]!r}; `currere chaos --list` shows all {len(rows)}")
    return [rows[name] for name in rows if not names or name in names]

"""The fenced Lua scripts and the arguments that they take. Each begins with ``fence.lua``, which refuses strangers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import chain

from state.keys import KNOWN, OFFSET
from state.store import Commit, Delete, Offsets, Put, last_writes

Argument = bytes | str | int | float
SCAN_COUNT = 1000  # entries a page: a page of 1 kB values keeps the server busy for about a millisecond


@dataclass(frozen=True, slots=True)
class Script:
    """One script and the name under which the server caches it."""

    text: str
    sha: str


def _script(*names: str) -> Script:
    text = "\n".join(files("state").joinpath(f"{name}.lua").read_text(encoding="utf-8") for name in names)
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


TAKE = _script("take")
READ = _script("fence", "read")
SCAN = _script("fence", "scan")
COMMIT = _script("fence", "commit")


def fence_arguments(token: str, commits: int | None, offsets: Offsets) -> list[Argument]:
    """What ``fence.lua`` compares; ``commits`` is None where the caller has not seen how many there are."""
    return [token, "" if commits is None else commits, len(offsets), *_prefixed("", offsets)]


def read_arguments(keys: Sequence[str], due_before: float | None, due_limit: int) -> list[Argument]:
    """What ``read.lua`` takes after the fence."""
    return ["" if due_before is None else due_before, due_limit, len(keys), *keys]


def commit_arguments(commit: Commit) -> list[Argument]:
    """What ``commit.lua`` takes after the fence. Raises ValueError as ``last_writes`` does."""
    fields: list[Argument] = [*_prefixed(OFFSET, commit.offsets), *_prefixed(KNOWN, commit.known)]
    plain: list[Argument] = []
    timed: list[Argument] = []
    dues: list[Argument] = []
    deletes: list[Argument] = []
    for key, write in last_writes(commit).items():
        match write:
            case Put(value=value, due=None):
                plain += key, value
            case Put(value=value, due=float() | int() as due):
                timed += key, value
                dues += due, key
            case Delete():
                deletes.append(key)
    lists = (fields, plain, timed, dues, deletes, commit.outbox)
    return [commit.trim, *map(len, lists), *chain.from_iterable(lists)]


def _prefixed(prefix: str, offsets: Offsets) -> Iterable[Argument]:
    return chain.from_iterable((prefix + place, offset) for place, offset in offsets.items())

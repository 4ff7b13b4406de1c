"""Rounds of the matrix: played on running servers, judged, and kept by commit, so that a run goes on where it ended."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from random import Random

from confluent_kafka import KafkaException
from redis.exceptions import RedisError

from learners.fingerprint import fix_threads
from schemas.errors import ConfigurationError, CurrereError
from streams.audit import Audit
from streams.chaos.matrix import Row
from streams.chaos.recovery import Recovery
from streams.chaos.servers import Servers, shared
from streams.chaos.stand import Stand
from streams.nursery import Nursery

LOG = logging.getLogger("streams.chaos")
ROOT = Path(__file__).resolve().parents[2]
FAILURES = (CurrereError, KafkaException, RedisError, OSError, RuntimeError)  # the last: a server does not come back
UNKNOWN = "no-commit"
RENEWED = 60  # rounds after which servers are opened anew: roles of a new tenant pass over what the others have left


@dataclass(frozen=True, slots=True)
class Round:
    """What one round came to. ``why`` says what did not hold; ``logs`` is where its logs were kept, if it did not."""

    row: str
    seed: int
    number: int
    holds: bool
    why: str
    seconds: float
    recoveries: tuple[Recovery, ...] = ()
    notes: Mapping[str, Sequence[float]] = field(default_factory=dict)
    audit: Mapping[str, int] = field(default_factory=dict)
    logs: str = ""

    @property
    def key(self) -> tuple[str, int, int]:
        """What tells it apart within a commit."""
        return self.row, self.seed, self.number

    def to_json(self) -> str:
        """One line."""
        return json.dumps({**asdict(self), "recoveries": [list(one) for one in self.recoveries]})

    @classmethod
    def of_json(cls, line: str) -> Round:
        """The inverse of ``to_json``."""
        found = json.loads(line)
        return cls(**{**found, "recoveries": tuple(Recovery(*one) for one in found["recoveries"])})


class Results:
    """The rounds of one commit in ``folder``; those of a dirty tree are apart, and never gone on with."""

    def __init__(self, folder: Path, commit: str, dirty: bool) -> None:
        self.folder, self.commit, self.dirty = folder, commit, dirty
        self.path = folder / f"{commit}{'-dirty' if dirty else ''}.jsonl"
        lines = self.path.read_text("utf-8").splitlines() if self.path.exists() and not dirty else []
        self.rounds = [Round.of_json(line) for line in lines]

    def add(self, done: Round) -> None:
        """Keep a round."""
        self.rounds.append(done)
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as out:
            out.write(done.to_json() + "\n")

    def has(self, row: str, seed: int, number: int) -> bool:
        """Whether this round was played before."""
        return any(done.key == (row, seed, number) for done in self.rounds)


def state_of_tree(root: Path = ROOT) -> tuple[str, bool]:
    """The commit of the checkout at ``root``, and whether anything there differs from it."""
    try:
        commit = _git(root, "rev-parse", "--short=12", "HEAD").strip()
        return commit, bool(_git(root, "status", "--porcelain"))
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN, True


def play_all(
    rows: Sequence[Row],
    rounds: int,
    seed: int,
    results: Results,
    given: Servers | None = None,
    on_round: Callable[[Row, int], None] = lambda row, number: None,
) -> Iterator[Round]:
    """Play every round that ``results`` lacks, and keep it there. ``given`` servers stand in for the shared ones.

    A round that does not hold is kept like any other; its servers are opened anew for the next.
    """
    fix_threads()  # as the worker does: equal fingerprints fold to equal bytes
    left = [(row, number) for number in range(rounds) for row in rows if not results.has(row.name, seed, number)]
    if left:
        with _nursery() as nursery, _Opened(given) as opened:
            for played, (row, number) in enumerate(left, start=1):
                on_round(row, number)
                done = play_one(row, number, seed, partial(opened.servers, row), results.folder, nursery)
                results.add(done)
                yield done
                if row.spoiled or not done.holds or not played % RENEWED:
                    opened.close()


def play_one(
    row: Row, number: int, seed: int, servers: Callable[[], Servers], kept: Path, nursery: Nursery | None = None
) -> Round:
    """Play and judge one round on ``servers``, which are opened if need be; its logs are kept if it does not hold.

    Servers that do not open are a round that does not hold, and the next goes on. Raises ConfigurationError: something
    is not installed, and no round was played.
    """
    folder, begun = Path(tempfile.mkdtemp(prefix=f"currere-chaos-{row.name}-")), time.monotonic()
    why, here, found = "", None, None
    try:
        here = Stand(servers(), folder, seed, Random(f"{seed}/{row.name}/{number}"), row.settings, nursery)
        found = row.play(here) or here.settle()
        here.judge(found)
    except ConfigurationError:  # nothing was injected: what is missing must be there first
        raise
    except FAILURES as error:
        LOG.info("%s", row.name, exc_info=True)
        why = f"{type(error).__name__}: {error}"
    finally:
        if here is not None:
            here.close()
        logs = _keep(folder, kept / "failed" / f"{row.name}-{seed}-{number}") if why else ""
        shutil.rmtree(folder, ignore_errors=True)
    recoveries, notes = (tuple(here.recoveries), dict(here.notes)) if here else ((), {})
    return Round(
        row.name,
        seed,
        number,
        not why,
        why,
        round(time.monotonic() - begun, 1),
        recoveries,
        notes,
        _counts(found, here),
        logs,
    )


@contextmanager
def _nursery() -> Iterator[Nursery | None]:
    """What all roles are forked from, where that can be."""
    if sys.platform != "linux":
        yield None
        return
    with closing(Nursery()) as nursery:
        yield nursery


class _Opened:
    """Servers that stay open from row to row as long as the rows ask for the same."""

    def __init__(self, given: Servers | None) -> None:
        self._given, self._stack = given, ExitStack()
        self._found: Servers | None = None
        self._on: Callable[..., object] | None = None

    def __enter__(self) -> _Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def servers(self, row: Row) -> Servers:
        """Those that ``row`` is played on."""
        if self._given is not None and row.on is shared:
            return self._given
        if self._found is None or self._on is not row.on:
            self.close()
            folder = Path(tempfile.mkdtemp(prefix="currere-chaos-servers-"))
            self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
            self._on, self._found = row.on, self._stack.enter_context(row.on(folder))
        return self._found

    def close(self) -> None:
        """End what was opened."""
        self._on = self._found = None
        self._stack.close()


def _counts(found: Audit | None, here: Stand | None) -> dict[str, int]:
    names = ("events", "feedback", "predictions", "requests", "steps", "lost", "duplicated", "faults", "resent")
    counts = {name: int(getattr(found, name)) for name in names} if found is not None else {}
    return {**counts, "bad_models_served": len(here.bad_models) if here is not None else 0}


def _keep(folder: Path, where: Path) -> str:
    shutil.rmtree(where, ignore_errors=True)
    if not (folder / "logs").exists():
        return ""
    shutil.copytree(folder / "logs", where)
    return str(where)


def _git(root: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True).stdout

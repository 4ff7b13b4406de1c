"""The rounds of the engine benchmark: who can run, one after the other, again and again, on servers of their own."""

from __future__ import annotations

import argparse
import pickle
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from benchmarks.engines_environments import CONTESTANTS, Contestant, how_to_install, make, python_of
from benchmarks.engines_run import ContestantFailed, Course, Place, Spent, lessons, measured, where
from benchmarks.engines_watch import Measured
from benchmarks.output import progress
from benchmarks.redis_program import redis_program
from deploy.kafka import broker as servers
from streams.embedded import EmbeddedRedis
from streams.simulated import simulate

KINDS = ("plain", "scored")
TAUGHT = 1_000  # interactions whose labels the model has learned


@dataclass
class Found:
    """What was measured, by kind and contestant; who was left out or failed, and why; where currere's time went."""

    rounds: dict[str, dict[str, list[Measured]]] = field(default_factory=lambda: {k: defaultdict(list) for k in KINDS})
    left_out: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    spent: Spent | None = None

    def fail(self, name: str, why: str) -> None:
        """``name`` does not go on, and its rounds do not count."""
        print(f"{name} failed: {why}", file=sys.stderr)
        self.failed[name] = why
        for rounds in self.rounds.values():
            rounds.pop(name, None)


def run(given: argparse.Namespace) -> Found:
    """All rounds, after one of the raw loop that warms the servers up. Raises BrokerFailed, CurrereError."""
    found = Found()
    pythons = _able(found, given)
    by_name = {one.name: one for one in CONTESTANTS}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="currere-engines-")))
        kafka = stack.enter_context(servers.Broker(folder / "kafka", settings=servers.QUICK)).bootstrap
        place = Place(kafka, stack.enter_context(EmbeddedRedis(folder / "redis", redis_program())).url, folder)
        said = lessons(given.seed, given.events + given.rate * given.seconds, given.partitions)
        course = Course(said, given.events, given.rate, given.partitions, given.batch, given.patience)
        models = {kind: _taught(folder, given.seed) if kind == "scored" else None for kind in given.kinds}
        measured(place, course, by_name["raw"], Path(sys.executable), None)
        advance = stack.enter_context(progress("runs", given.rounds * len(given.kinds) * len(pythons)))
        for kind, name in _turns(given, pythons):
            if name not in found.failed:
                try:
                    one = by_name[name]
                    came = measured(place, course.shortened(one.share), one, pythons[name], models[kind])
                except ContestantFailed as error:
                    found.fail(name, str(error))
                else:
                    found.rounds[kind][name].append(came)
                    print(_line(kind, name, came), file=sys.stderr, flush=True)
            advance()
        if "currere" in found.rounds["scored"]:
            try:
                found.spent = where(place, course, models["scored"])
            except ContestantFailed as error:  # its rounds are measured all the same
                found.failed["where the time goes"] = str(error)
    return found


def _able(found: Found, given: argparse.Namespace) -> dict[str, Path]:
    asked = [one for one in CONTESTANTS if one.name in given.only]
    failed = {} if given.no_install else make(asked, given.environments)
    pythons, found.left_out = able(asked, given.environments, failed)
    for name, why in found.left_out.items():
        print(f"{name} is left out: {why}", file=sys.stderr)
    return pythons


def able(
    asked: Sequence[Contestant], folder: Path, failed: Mapping[str, str]
) -> tuple[dict[str, Path], dict[str, str]]:
    """The Python of each of ``asked`` that can run; of each other why not: what ``failed``, or what to install."""
    found = {one: python_of(one, folder) for one in asked}
    pythons = {one.name: python for one, python in found.items() if python is not None}
    return pythons, {one.name: failed.get(one.name) or how_to_install(one) for one in asked if one.name not in pythons}


def _turns(given: argparse.Namespace, pythons: Mapping[str, Path]) -> Iterator[tuple[str, str]]:
    """Each round has every kind, and each kind every contestant: whatever changes with time meets all alike."""
    for _ in range(given.rounds):
        for kind in given.kinds:
            for name in pythons:
                yield kind, name


def _taught(folder: Path, seed: int) -> Path:
    from benchmarks.score import taught  # imports torch

    path = folder / "model.pickle"
    path.write_bytes(pickle.dumps(taught(islice(simulate(seed, TAUGHT), 2 * TAUGHT), seed)))
    return path


def _line(kind: str, name: str, came: Measured) -> str:
    pace = f"{came.backlog.per_s:,.0f}/s, {came.backlog.cpu_us:,.0f} µs CPU"
    return f"{kind}, {name}: {pace}, p50 {came.p50_ms:,.0f} ms, p99 {came.p99_ms:,.0f} ms, {came.rss_mb:,.0f} MB"

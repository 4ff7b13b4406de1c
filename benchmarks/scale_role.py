"""One role as a process, as ``currere up`` runs it; the session role with a model from a file, which nothing replaces.

A row of arguments: the role, and the file of a pickled ``Served``. Settings come from the environment.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.engines_environments import ROOT
from benchmarks.engines_run import ContestantFailed
from deploy.kafka.broker import end_child, start_child
from streams.assembly import Workshop
from streams.embedded import free_port
from streams.engines.shard import RoleAt
from streams.roles import ROLES
from streams.settings import Settings, load
from streams.stage import environment_of
from streams.up import Owner, RoleProcess, owner_of

PROGRAM = "from benchmarks.scale_role import main; main()"
TAIL = 1_500  # characters of a dead role's log


@dataclass(frozen=True)
class Worker:
    """A role at work in a process of its own."""

    child: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.child.pid

    def ready(self) -> bool:
        """Whether it may be given work. Raises ContestantFailed: it has ended."""
        self.check()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=2.0) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            return False

    def check(self) -> None:
        """Raise ContestantFailed with the end of its log if it has ended."""
        if self.child.poll() is not None:
            told = self.log.read_text(errors="replace")[-TAIL:]
            raise ContestantFailed(f"a role ended with status {self.child.returncode}: {told}")


@contextmanager
def working(role: str, settings: Settings, model: Path, folder: Path, processes: int = 1) -> Iterator[Sequence[Worker]]:
    """``processes`` of a role, which drain and end with the context. They need a moment to be ready."""
    workers = []
    try:
        for number in range(processes):
            port = free_port()
            given = settings.model_copy(update={"metrics_port": port}).model_dump(mode="json", exclude_none=True)
            environment = [f"{name}={value}" for name, value in environment_of(given).items()]
            log = folder / f"{settings.tenant}-{role}-{number}.log"
            command = ["/usr/bin/env", "-C", str(ROOT), f"PYTHONPATH={ROOT}", "OMP_NUM_THREADS=1", *environment,
                       sys.executable, "-c", PROGRAM, role, str(model)]  # fmt: skip
            workers.append(Worker(start_child(command, log), port, log))
        yield workers
    finally:
        for worker in workers:
            end_child(worker.child)


def main() -> None:
    """Run the role that the command line names until SIGTERM."""
    from streams.cli.up import end_soon, stop_on_signals

    role, model = sys.argv[1:]
    RoleProcess(role, load(), stop_on_signals(), own=partial(_owner, Path(model)), give_up=end_soon).run()


def _owner(model: Path, role: str, shop: Workshop) -> Owner:
    return owner_of(role, shop) if role != "session" else (shop.owner(session_at(shop.settings, model)), lambda: None)


def session_at(settings: Settings, model: Path) -> RoleAt:
    """The session role with what lies at ``model``."""
    from learners.fingerprint import fix_threads
    from streams.score import Scoring, scales_of
    from streams.serving import ServedPredictor
    from streams.session import Session, screen

    fix_threads()
    predictor, role = ServedPredictor(pickle.loads(model.read_bytes())), ROLES["session"]
    learning = predictor.served.settings
    scoring = Scoring(settings.model, learning.context_turns, settings.horizon_s, scales_of(learning.tasks),
                      settings.shed_after_s)  # fmt: skip
    check = screen({task.name: task for task in learning.tasks})
    return RoleAt(settings.tenant, role.name, role.inputs, role.outputs, Session(scoring, lambda: predictor), check)

"""Roles as processes of one instance, which a row kills, stops, loses and starts again."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from pathlib import Path
from urllib.request import urlopen

from schemas.errors import CurrereError
from streams import failpoints
from streams.nursery import Nursery
from streams.supervisor import Supervisor

LAG = re.compile(r'^currere_lag_records\{partition="(\d+)"', re.MULTILINE)


class Crew:
    """Some roles as processes of one instance, tended until ``stop``.

    ``on_death`` is told each death before the role is started again; it may change ``environment``.
    """

    def __init__(
        self, roles: tuple[str, ...], environment: dict[str, str], logs: Path, nursery: Nursery | None
    ) -> None:
        self.roles, self.environment, self.logs = roles, environment, logs
        self.deaths: list[tuple[str, int]] = []
        self.failure: CurrereError | None = None
        self.supervisor = Supervisor(
            roles, environment, logs, ports=True, on_death=self._died, most_deaths=1_000, nursery=nursery
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._tend, name=f"tends {', '.join(roles)}")
        self._thread.start()

    def pid(self, role: str) -> int:
        """The process of a role now."""
        return self.supervisor.children[role].process.pid

    def ready(self) -> bool:
        """Whether every role may be given work. Raises what ended the supervisor."""
        if self.failure is not None:
            raise self.failure
        return self.supervisor.ready()

    def kill(self, role: str, how: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to a role's process."""
        os.kill(self.pid(role), how)

    def lose(self, role: str) -> float:
        """Kill a role's process and never start it again; returns when it was dead, epoch seconds."""
        child = self.supervisor.children.pop(role)
        child.process.kill()
        child.process.wait()
        return time.time()

    def partitions(self, role: str) -> set[int]:
        """Those that a role's process owns and has read of, as its metrics say; none of a role that is not here."""
        child = self.supervisor.children.get(role)
        if child is None or child.port is None:
            return set()
        try:
            with urlopen(f"http://127.0.0.1:{child.port}/metrics", timeout=2.0) as answer:
                return {int(found) for found in LAG.findall(answer.read().decode())}
        except OSError:
            return set()

    def kill_all(self) -> None:
        """Kill every role and start none again."""
        for role in list(self.supervisor.children):
            self.lose(role)

    def stop(self) -> None:
        """Drain and stop the roles."""
        self._stop.set()
        self._thread.join()

    def _died(self, role: str, status: int) -> None:
        self.deaths.append((role, status))
        if not self.environment.get(failpoints.ENVIRONMENT, "").startswith(failpoints.POISON):
            self.environment.pop(failpoints.ENVIRONMENT, None)  # it was for that life only

    def _tend(self) -> None:
        try:
            self.supervisor.run(self._stop)
        except CurrereError as error:
            self.failure = error

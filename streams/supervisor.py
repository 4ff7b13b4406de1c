"""Roles as child processes: started, started again when they die, stopped together; none outlives this process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from schemas.errors import CurrereError
from streams.embedded import free_port
from streams.leash import leashed
from streams.nursery import Born, Nursery

STOP_S = 10.0
MOST_DEATHS = 20  # of one role, none of which lived long: something is wrong that starting again does not mend
LONG_LIFE_S = 60.0
LOOK_S = 0.5  # between two calls of ``on_look``
TEND_S = 0.1  # between two looks at the children


class RoleDied(CurrereError):
    """A role died again and again; its log says why."""


@dataclass
class Child:
    """A role's process, and how often it died."""

    role: str
    process: subprocess.Popen[bytes] | Born
    port: int | None
    started: float
    deaths: int = 0


@dataclass
class Supervisor:
    """Runs ``roles`` as processes under ``environment``; their output goes to ``logs``/ROLE.log, or is passed through.

    With ``ports`` each role serves /metrics and /healthz on a port of its own, and ``ready`` asks there.
    On Linux roles are forked from ``nursery``, by default one of its own, and die with it; elsewhere each is a program
    that dies with the thread that started it, so ``start`` and ``tend`` are called from one that lives long enough.
    """

    roles: Sequence[str]
    environment: Mapping[str, str]
    logs: Path | None = None
    ports: bool = False
    arguments: Sequence[str] = ()
    on_death: Callable[[str, int], None] = field(default=lambda role, status: None)
    most_deaths: int = MOST_DEATHS
    nursery: Nursery | None = None
    children: dict[str, Child] = field(default_factory=dict)
    _own_nursery: Nursery | None = field(default=None, init=False)

    def start(self) -> None:
        """Start every role that does not run."""
        for role in self.roles:
            if role not in self.children:
                port = free_port() if self.ports else None
                self.children[role] = Child(role, self._spawn(role, port), port, time.monotonic())

    def tend(self) -> None:
        """Start again what has died. Raises RoleDied after ``most_deaths``."""
        for child in list(self.children.values()):
            status = child.process.poll()
            if status is None or child.role not in self.children:  # or it was taken away, and then ended
                continue
            child.deaths = 1 if time.monotonic() - child.started > LONG_LIFE_S else child.deaths + 1
            child.started = time.monotonic()
            self.on_death(child.role, status)
            if child.deaths > self.most_deaths:
                where = f"see {self.logs / child.role}.log" if self.logs else "its output is above"
                raise RoleDied(f"{child.role} ended {child.deaths} times, last with status {status}; {where}")
            child.process = self._spawn(child.role, child.port)

    def ready_roles(self) -> dict[str, str]:
        """The roles that say that they may be given work, with the address of their health."""
        found = {role: child.port for role, child in self.children.items() if child.port is not None}
        return {role: f"http://127.0.0.1:{port}" for role, port in found.items() if _is_ready(port)}

    def ready(self) -> bool:
        """Whether every role says so. Only with ``ports``."""
        return bool(self.children) and len(self.ready_roles()) == len(self.children)

    def run(self, stop: threading.Event, on_look: Callable[[], None] = lambda: None) -> None:
        """Start, tend until ``stop``, then stop all; ``on_look`` is called at each look at the children."""
        next_look = time.monotonic()
        try:
            self.start()
            while not stop.wait(TEND_S):
                self.tend()
                if time.monotonic() >= next_look:
                    next_look = time.monotonic() + LOOK_S
                    on_look()
        finally:
            self.stop()

    def stop(self) -> None:
        """Ask every role to drain and stop; after ``STOP_S`` end what has not."""
        living = [child.process for child in self.children.values() if child.process.poll() is None]
        for process in living:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_S + 2.0
        for process in living:
            try:
                process.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.children.clear()
        if self._own_nursery is not None:
            self._own_nursery.close()
            self._own_nursery = None

    def _spawn(self, role: str, port: int | None) -> subprocess.Popen[bytes] | Born:
        # A static member keeps its partitions while its role is started again, and is nobody else's on any machine.
        instance = f"{socket.gethostname()}-{os.getpid()}"
        environment = {"CURRERE_INSTANCE": instance, **os.environ, **self.environment}
        if port is not None:
            environment["CURRERE_METRICS_PORT"] = str(port)
        arguments, log_path = ["up", role, *self.arguments], None
        if self.logs is not None:
            self.logs.mkdir(parents=True, exist_ok=True)
            log_path = self.logs / f"{role}.log"
        if sys.platform == "linux":
            try:
                return self._nurse().bear(arguments, environment, log_path)
            except OSError:  # it died just now
                return self._bear_at_last(arguments, environment, log_path)
        command = leashed([sys.executable, "-m", "streams.cli", *arguments])
        if log_path is None:
            return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)
        with log_path.open("ab") as log:
            return subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def _bear_at_last(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path | None) -> Born:
        try:
            return self._nurse().bear(arguments, environment, log)
        except OSError as error:
            raise RoleDied(
                f"{arguments[1]} could not be started: {error}, twice; what it says is above (is the extra `roles` "
                f"whole?), or run `currere {' '.join(arguments)}` by itself"
            ) from error

    def _nurse(self) -> Nursery:
        """A nursery that lives; what an earlier one bore has died with it."""
        if self.nursery is not None and not self.nursery.ended:
            return self.nursery
        if self._own_nursery is not None and self._own_nursery.ended:
            self._own_nursery.close()
            self._own_nursery = None
        if self._own_nursery is None:
            self._own_nursery = Nursery()
        return self._own_nursery


def _is_ready(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=2.0)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()

"""Roles that start at once: one process has imported all that a role needs, and each role is forked from it.

Torch and river take two to three seconds of CPU to import, most of what a role that died would be away. A role that is
forked has them already, and shares their memory with its siblings. On Linux only: elsewhere a fork after those imports
is not safe, and the supervisor starts each role as a program of its own.

This process has one thread, so that nothing is forked in the middle of something. A role dies with it: the kernel sees
to it, as it does that this process dies with its supervisor.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from queue import SimpleQueue
from types import FrameType
from typing import Any

from streams.leash import PR_SET_PDEATHSIG, leashed

IMPORTED = ("streams.cli.up", "streams.up", "streams.serving", "streams.curating")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # or importing starts some
BIRTH_S = 60.0


class Born:
    """A forked process, with what ``subprocess.Popen`` offers of it. A nursery that dies takes its children along."""

    def __init__(self, pid: int, ended: Future[int]) -> None:
        self.pid, self._ended = pid, ended

    @property
    def returncode(self) -> int | None:
        """As ``poll``."""
        return self.poll()

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it lives."""
        return self._ended.result() if self._ended.done() else None

    def wait(self, timeout: float | None = None) -> int:
        """The exit status once it has ended. Raises subprocess.TimeoutExpired."""
        try:
            return self._ended.result(timeout)
        except TimeoutError as error:
            raise subprocess.TimeoutExpired("a role", timeout or 0.0) from error

    def send_signal(self, signum: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signum)

    def terminate(self) -> None:
        """Ask it to stop."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


class Nursery:
    """The process that roles are forked from. ``environment`` is its own, for what is read at import.

    It is started at once and imports while the caller goes on; the first birth waits for it.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._births: SimpleQueue[Future[Born]] = SimpleQueue()
        self._ends: dict[int, Future[int]] = {}
        self._lock = threading.Lock()
        started: Future[subprocess.Popen[bytes]] = Future()
        self._thread = threading.Thread(
            target=self._follow, args=({**os.environ, **(environment or {}), **ONE_THREAD}, started), daemon=True
        )
        self._thread.start()
        self._process = started.result()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether it can bear no more."""
        return self._process.poll() is not None

    def bear(
        self, arguments: Sequence[str], environment: Mapping[str, str], log: Path | None, patience_s: float = BIRTH_S
    ) -> Born:
        """Fork a process that runs ``currere ARGUMENTS`` under ``environment``; its output goes to ``log``, or as ours.

        Raises OSError when the nursery has died, or takes longer than ``patience_s``; what it bears later is ended.
        """
        asked: Future[Born] = Future()
        request = {"arguments": list(arguments), "environment": dict(environment), "log": str(log) if log else None}
        assert self._process.stdin is not None
        with self._lock:
            if self.ended:
                raise BrokenPipeError("the nursery has died")
            self._births.put(asked)
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
        try:
            return asked.result(patience_s)
        except TimeoutError:
            if asked.cancel():
                raise TimeoutError(f"nothing was born in {patience_s:.0f} s") from None
            return asked.result()

    def close(self) -> None:
        """End it, and whatever it has borne."""
        self._process.kill()
        self._thread.join()
        assert self._process.stdin is not None
        self._process.stdin.close()

    def _follow(self, environment: Mapping[str, str], started: Future[subprocess.Popen[bytes]]) -> None:
        """Start it in a thread that lives as long as it does, since the kernel ties it to that; hear what it says."""
        command = leashed([sys.executable, "-m", "streams.nursery"])
        process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        started.set_result(process)
        assert process.stdout is not None
        for line in process.stdout:
            said = json.loads(line)
            if "born" in said:
                ended: Future[int] = Future()
                self._ends[said["born"]] = ended
                asked = self._births.get()
                if asked.set_running_or_notify_cancel():
                    asked.set_result(Born(said["born"], ended))
                else:  # nobody waits for it any more
                    os.kill(said["born"], signal.SIGKILL)
            else:
                self._ends.pop(said["died"]).set_result(said["status"])
        process.wait()
        process.stdout.close()
        while not self._births.empty():
            asked = self._births.get()
            if asked.set_running_or_notify_cancel():
                asked.set_exception(BrokenPipeError("the nursery has died"))
        for ended in self._ends.values():
            ended.set_result(-signal.SIGKILL)
        self._ends.clear()


def serve() -> list[str]:
    """Fork whatever is asked for on standard input, say who was born and who died; ends with that input.

    Returns only in a child: the arguments that it is to run.
    """
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, _wake_up)
    for signum in (signal.SIGINT, signal.SIGTERM):  # of a whole group are for the supervisor, which lets roles drain
        signal.signal(signum, signal.SIG_IGN)
    asked = b""
    while True:
        ready, _, _ = select.select([0, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            _tell_the_dead()
        if 0 not in ready:
            continue
        if not (more := os.read(0, 1 << 16)):
            sys.exit(0)
        asked += more
        while b"\n" in asked:
            line, _, asked = asked.partition(b"\n")
            request, parent = json.loads(line), os.getpid()
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                os.close(woken)
                os.close(wake)
                _begin(request, parent)
                arguments: list[str] = request["arguments"]
                return arguments
            _say({"born": pid})


def _begin(request: Mapping[str, Any], parent: int) -> None:
    """Make a fresh child a process of its own."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(request["environment"])
    nothing = os.open(os.devnull, os.O_RDWR)
    out = nothing
    if request["log"]:
        os.setsid()
        out = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(out, 2)
    os.dup2(nothing, 0)
    os.dup2(out if request["log"] else 2, 1)  # our standard output is the nursery's own


def _tell_the_dead() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _say({"died": pid, "status": os.waitstatus_to_exitcode(status)})


def _say(said: Mapping[str, int]) -> None:
    os.write(1, json.dumps(said).encode() + b"\n")


def _wake_up(number: int, frame: FrameType | None) -> None:
    """The wakeup descriptor has the news."""


def main() -> None:
    """Import, then fork; a child runs its command."""
    for name in IMPORTED:
        import_module(name)
    gc.collect()
    gc.freeze()  # what children share is not touched by their collectors
    arguments = serve()
    from streams.cli import main as command_line

    command_line(arguments)


if __name__ == "__main__":
    main()

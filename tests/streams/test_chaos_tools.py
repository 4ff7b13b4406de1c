"""The tools of chaos do to a server what they say, and no more."""

from __future__ import annotations

import errno
import os
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.chaos.corrupt import flipped, torn
from streams.chaos.disk import RationedDisk, small_disk
from streams.chaos.proxy import Proxy, Weather

SOON_S = 0.3  # how long a test waits for what must not come
PATIENCE_S = 10.0


class Echo(socketserver.ThreadingTCPServer):
    """Answers each line with itself, after its name; ``heard`` is what came."""

    allow_reuse_address = daemon_threads = True

    def __init__(self, name: bytes) -> None:
        self.name, self.heard, self.news = name, list[bytes](), threading.Condition()
        super().__init__(("127.0.0.1", 0), EchoHandler)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def until_heard(self, line: bytes) -> bool:
        with self.news:
            return self.news.wait_for(lambda: line in self.heard, PATIENCE_S)

    def stop(self) -> None:
        self.shutdown()
        self.server_close()

    def __exit__(self, *_: object) -> None:
        self.stop()


class EchoHandler(socketserver.StreamRequestHandler):
    server: Echo

    def handle(self) -> None:
        with suppress(ConnectionError):
            for line in self.rfile:
                with self.server.news:
                    self.server.heard.append(line)
                    self.server.news.notify_all()
                self.wfile.write(self.server.name + line)


@pytest.fixture
def echo() -> Iterator[Echo]:
    with Echo(b"a ") as running:
        yield running


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with Proxy(echo.port) as running:
        yield running


def client(proxy: Proxy) -> closing[socket.socket]:
    return closing(socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE_S))


def ask(connection: socket.socket, line: bytes = b"x\n", wait_s: float = PATIENCE_S) -> bytes:
    connection.settimeout(wait_s)
    connection.sendall(line)
    return connection.recv(100)


def test_a_clear_proxy_passes_both_ways(proxy: Proxy) -> None:
    with client(proxy) as connection:
        assert ask(connection) == b"a x\n"


def test_a_slow_proxy_holds_request_and_answer_back_by_its_delay(proxy: Proxy) -> None:
    proxy.set(Weather.SLOW, 0.1)
    with client(proxy) as connection:
        begun = time.monotonic()
        assert ask(connection) == b"a x\n"
        assert time.monotonic() - begun >= 2 * 0.1


def test_what_is_dropped_reaches_nobody(proxy: Proxy, echo: Echo) -> None:
    proxy.set(Weather.DROP)
    with client(proxy) as connection, pytest.raises(TimeoutError):
        ask(connection, wait_s=SOON_S)
    assert echo.heard == []


def test_half_open_requests_arrive_and_answers_do_not(proxy: Proxy, echo: Echo) -> None:
    proxy.set(Weather.HALF_OPEN)
    with client(proxy) as connection, pytest.raises(TimeoutError):
        ask(connection, wait_s=SOON_S)
    assert echo.until_heard(b"x\n")


@pytest.mark.parametrize("weather", [Weather.DROP, Weather.HALF_OPEN])
def test_a_connection_that_lost_bytes_is_reset_when_they_flow_again(proxy: Proxy, echo: Echo, weather: Weather) -> None:
    proxy.set(weather)
    with client(proxy) as connection:
        with pytest.raises(TimeoutError):
            ask(connection, wait_s=SOON_S)
        proxy.set(Weather.CLEAR)
        with pytest.raises(ConnectionResetError):
            ask(connection)
    with client(proxy) as connection:
        assert ask(connection) == b"a x\n"


def test_a_connection_that_lost_nothing_outlives_bad_weather(proxy: Proxy) -> None:
    with client(proxy) as connection:
        assert ask(connection) == b"a x\n"
        proxy.set(Weather.DROP)
        proxy.set(Weather.CLEAR)
        assert ask(connection) == b"a x\n"


def test_open_and_new_connections_are_reset(proxy: Proxy) -> None:
    with client(proxy) as connection:
        assert ask(connection) == b"a x\n"
        proxy.set(Weather.RESET)
        with pytest.raises(ConnectionResetError):
            ask(connection)
    with pytest.raises(ConnectionError), client(proxy) as connection:
        connection.recv(1)


def test_connections_are_refused_until_they_are_not(proxy: Proxy) -> None:
    proxy.set(Weather.REFUSE)
    with pytest.raises(ConnectionRefusedError), client(proxy):
        pass
    proxy.set(Weather.CLEAR)
    with client(proxy) as connection:
        assert ask(connection) == b"a x\n"


def test_a_proxy_that_is_switched_leads_to_the_other_server_and_breaks_with_the_first(proxy: Proxy) -> None:
    with Echo(b"b ") as other, client(proxy) as before:
        assert ask(before) == b"a x\n"
        proxy.switch(other.port)
        with pytest.raises(ConnectionResetError):
            ask(before)
        with client(proxy) as after:
            assert ask(after) == b"b x\n"


def test_a_client_of_a_server_that_is_gone_is_reset(proxy: Proxy, echo: Echo) -> None:
    echo.stop()
    with pytest.raises(ConnectionError), client(proxy) as connection:  # while it connects or just after
        ask(connection)


def test_a_closed_proxy_has_no_connections_left(echo: Echo) -> None:
    with Proxy(echo.port) as proxy, client(proxy) as connection:
        assert ask(connection) == b"a x\n"
        assert proxy.connections == 1
    assert proxy.connections == 0


@given(st.binary(min_size=1), st.randoms(use_true_random=False))
def test_one_bit_is_flipped(content: bytes, random: Random) -> None:
    changed = flipped(content, random)
    assert len(changed) == len(content)
    assert sum((a ^ b).bit_count() for a, b in zip(content, changed, strict=True)) == 1


@given(st.binary(min_size=1), st.randoms(use_true_random=False))
def test_what_is_torn_is_a_shorter_beginning(content: bytes, random: Random) -> None:
    left = torn(content, random)
    assert len(left) < len(content)
    assert content.startswith(left)


def test_a_full_disk_takes_nothing_until_it_is_freed(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=1) as disk:
        if isinstance(disk, RationedDisk):
            pytest.skip("nothing can be mounted here")
        (disk.folder / "before").write_bytes(b"x")
        disk.fill()
        with pytest.raises(OSError, match="No space left"):
            (disk.folder / "more").write_bytes(b"x")
        assert (disk.folder / "before").read_bytes() == b"x"
        disk.free()
        (disk.folder / "more").write_bytes(b"x")
    assert not (tmp_path / "disk" / "before").exists()


WRITES = """
import sys
for line in sys.stdin:
    try:
        with open(line.strip(), "ab") as file:
            file.write(b"x")
        print("written", flush=True)
    except OSError as error:
        print(error.strerror, flush=True)
"""


def test_a_process_that_is_rationed_cannot_write_until_it_may(tmp_path: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    disk = RationedDisk(tmp_path, [writer.pid])

    def write() -> str:
        assert writer.stdin is not None
        assert writer.stdout is not None
        print(tmp_path / "file", file=writer.stdin, flush=True)
        return writer.stdout.readline().strip()

    with writer:
        assert write() == "written"
        disk.fill()
        assert write() == os.strerror(errno.EFBIG)
        disk.free()
        assert write() == "written"
        writer.communicate()

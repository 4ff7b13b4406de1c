"""A TCP proxy in front of a server, which makes the network between bad, and good again, at run time."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import TypeVar

ANSWER_S = 10.0  # for the proxy's thread to do as it is told
CHUNK = 65_536
NO_LINGER = struct.pack("ii", 1, 0)  # closing sends a reset and forgets what is on its way (socket(7), SO_LINGER)
T = TypeVar("T")


class Weather(Enum):
    """What becomes of the bytes.

    ``SLOW`` holds each piece back for the delay. ``DROP`` accepts connections and swallows what comes; ``HALF_OPEN``
    swallows the answers only, so that requests are carried out and nobody hears of it. ``RESET`` breaks connections as
    soon as they are made, ``REFUSE`` does not let them be made.
    """

    CLEAR = "clear"
    SLOW = "slow"
    DROP = "drop"
    HALF_OPEN = "half-open"
    RESET = "reset"
    REFUSE = "refuse"


@dataclass(eq=False)
class _Connection:
    """A client and its server; ``torn``: bytes were swallowed, so that what follows would make no sense."""

    writers: list[asyncio.StreamWriter]
    life: asyncio.Task[None] | None
    pumps: list[asyncio.Task[None]] = field(default_factory=list)
    torn: bool = False

    def close(self) -> None:
        for writer in self.writers:
            writer.close()
        for pump in self.pumps:
            pump.cancel()

    def reset(self) -> None:
        for writer in self.writers:
            with suppress(OSError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
            writer.transport.abort()
        self.close()


class Proxy:
    """Passes a loopback ``port`` (0: a free one) on to another, ``target``, from when it is built until ``close``."""

    def __init__(self, target: int, port: int = 0) -> None:
        self._target, self._weather, self._delay_s = target, Weather.CLEAR, 0.0
        self._connections: set[_Connection] = set()
        self._listening: asyncio.Server | None = None
        self._place = socket.socket()  # bound and never listening: it keeps the port while connections are refused
        self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._place.bind(("127.0.0.1", port))
        self.port: int = self._place.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy {self.port}", daemon=True)
        self._thread.start()
        self._do(self._listen())

    @property
    def address(self) -> str:
        """``host:port``, which clients are given in place of the server's."""
        return f"127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    def set(self, weather: Weather, delay_s: float = 0.0) -> None:
        """Change the weather, for connections that are open as for new ones.

        Whatever had bytes swallowed is reset when that ends, as a connection whose other end has given it up.
        """
        self._do(self._change(weather, delay_s))

    def switch(self, target: int) -> None:
        """Lead to another server from now on; connections to the former one are reset."""
        self._do(self._redirect(target))

    def close(self) -> None:
        """End all connections and stop listening."""
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(ANSWER_S)
        self._loop.close()
        self._place.close()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _do(self, what: Coroutine[None, None, T]) -> T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(ANSWER_S)

    async def _listen(self) -> None:
        self._listening = await asyncio.start_server(self._accept, "127.0.0.1", self.port, reuse_port=True)

    async def _change(self, weather: Weather, delay_s: float) -> None:
        self._weather, self._delay_s = weather, delay_s
        broken = weather in (Weather.RESET, Weather.REFUSE)
        for connection in [c for c in self._connections if broken or c.torn]:
            connection.reset()
        if weather is Weather.REFUSE and self._listening is not None:
            self._listening.close()
            self._listening = None
        elif weather is not Weather.REFUSE and self._listening is None:
            await self._listen()

    async def _redirect(self, target: int) -> None:
        self._target = target
        for connection in list(self._connections):
            connection.reset()

    async def _end(self) -> None:
        if self._listening is not None:
            self._listening.close()
        lives = [connection.life for connection in self._connections if connection.life is not None]
        for connection in list(self._connections):
            connection.reset()
        await asyncio.gather(*lives, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection([writer], asyncio.current_task())
        if self._weather is Weather.RESET:
            connection.reset()
            return
        self._connections.add(connection)
        try:
            answers, server = await asyncio.open_connection("127.0.0.1", self._target)
            connection.writers.append(server)
            connection.pumps = [
                asyncio.ensure_future(self._pump(connection, reader, server, answers=False)),
                asyncio.ensure_future(self._pump(connection, answers, writer, answers=True)),
            ]
            await asyncio.wait(connection.pumps, return_when=asyncio.FIRST_COMPLETED)
            connection.close()
        except OSError:  # the server is not there: a client hears the same as without us
            connection.reset()
        finally:
            self._connections.discard(connection)

    async def _pump(
        self, connection: _Connection, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        """Carry one direction until either end is gone."""
        with suppress(OSError):
            while piece := await source.read(CHUNK):
                if self._weather is Weather.SLOW:
                    await asyncio.sleep(self._delay_s)
                if self._weather is Weather.DROP or (self._weather is Weather.HALF_OPEN and answers):
                    connection.torn = True
                    continue
                sink.write(piece)
                await sink.drain()

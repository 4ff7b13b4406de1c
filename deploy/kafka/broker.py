"""A real Apache Kafka, one KRaft node, as a child that dies with its parent.

For people: ``python deploy/kafka/broker.py --port 9092`` runs one in the foreground. For tests: ``with Broker(folder)
as broker`` and then ``broker.bootstrap``; ``broker.kill()`` and ``broker.start()`` play a crash. The jars come from
``make kafka-jars``. Imports only the standard library, so that it runs before anything is installed.
"""

from __future__ import annotations

import argparse
import base64
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Final

HERE: Final = Path(__file__).resolve().parent
JARS: Final = HERE / "target" / "lib"
SETTINGS: Final = HERE / "server.properties"
LEASH: Final = HERE.parents[1] / "streams" / "leash.py"  # run, not imported
START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 20.0
# Metadata v0, about no topic: length, api key 3, version 0, correlation id, null client. Lists the brokers in service.
METADATA: Final = struct.pack(">ihhihi", 14, 3, 0, 1, -1, 0)

# For tests: a crash, of the node or of a consumer, is noticed in seconds.
QUICK: Final = {
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.session.timeout.ms": "6000",
    "group.consumer.min.heartbeat.interval.ms": "200",
    "group.consumer.heartbeat.interval.ms": "500",
}


class BrokerFailed(RuntimeError):
    """The broker cannot start or stopped by itself; the message says why and what to do."""


class Broker:
    """One Kafka node whose log lives in ``folder``; it keeps its ports and its log over ``kill`` and ``start``.

    ``settings`` go over server.properties, in Kafka's own names. ``host`` is listened on; ``advertise`` (``host:port``)
    is what clients are told, by default the same. ``port`` 0 takes a free one. ``detour`` is a second port of loopback
    and the address that those who come by it are told: a proxy's, which leads there.
    Raises BrokerFailed when Java or the jars are missing, or the storage cannot be formatted.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        advertise: str = "",
        heap: str = "512m",
        settings: Mapping[str, str] | None = None,
        detour: tuple[int, str] | None = None,
    ) -> None:
        port = port or free_port()
        self.bootstrap: Final = advertise or f"{host}:{port}"
        self.log: Final = folder / "broker.log"
        self._address: Final = (host, port)
        self._properties: Final = folder / "server.properties"
        self._java: Final = java(heap)
        self._child: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        chosen = {**_addresses(host, port, self.bootstrap, detour), "log.dirs": str(folder / "log"), **(settings or {})}
        self._properties.write_text(SETTINGS.read_text() + "".join(f"{key}={value}\n" for key, value in chosen.items()))
        if not (folder / "log" / "meta.properties").exists():
            _format(self._java, self._properties)

    @property
    def command(self) -> list[str]:
        """What runs the broker in the foreground."""
        return [*self._java, "kafka.Kafka", str(self._properties)]

    @property
    def pid(self) -> int:
        """The process id of the running broker. Raises BrokerFailed when it was not started."""
        if self._child is None:
            raise BrokerFailed("the broker is not running; call start()")
        return self._child.pid

    def start(self) -> None:
        """Start the broker and return once it serves. Raises BrokerFailed, with its log, if it does not in a minute."""
        self._child = start_child(self.command, self.log)
        deadline = time.monotonic() + START_SECONDS
        while not serves(self._address):
            if self._child.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise BrokerFailed(f"the broker did not start; the end of {self.log}:\n{_tail(self.log)}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End the broker in order; kill it if that takes longer than twenty seconds."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the broker at once, as a power cut would; what it had acknowledged is in the page cache."""
        self._end(signal.SIGKILL)

    def __enter__(self) -> Broker:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _end(self, how: signal.Signals) -> None:
        if self._child is not None:
            end_child(self._child, how)
            self._child = None


def start_child(argv: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """Start ``argv`` so that it ends when this process does, even by SIGKILL; its output is appended to ``log``.

    The kernel counts the *thread* that forked as the parent, so each child has a thread that lives as long as it does.
    ``argv[0]`` is a path.
    """
    leash = [sys.executable, "-I", "-S", str(LEASH), "bind" if sys.platform == "linux" else "watch", str(os.getpid())]
    started: Future[subprocess.Popen[bytes]] = Future()

    def keep() -> None:
        with log.open("ab") as out:
            child = subprocess.Popen(
                [*leash, *argv], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )
        started.set_result(child)
        child.wait()

    threading.Thread(target=keep, name="keeper of a child", daemon=True).start()
    return started.result(START_SECONDS)


def end_child(child: subprocess.Popen[bytes], how: signal.Signals = signal.SIGTERM) -> None:
    """Send ``how`` to a child of ``start_child`` and its own children, and return when it has ended."""
    for signum in (how, signal.SIGKILL):
        try:
            os.killpg(child.pid, signum)
            child.wait(STOP_SECONDS)
        except ProcessLookupError:
            child.wait()
        except subprocess.TimeoutExpired:
            continue
        return


def free_port() -> int:
    """A port of loopback that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def serves(address: tuple[str, int]) -> bool:
    """Whether a Kafka broker answers at ``address`` and has itself in its metadata, so that topics can be made."""
    try:
        with socket.create_connection(address, timeout=1) as connection:
            connection.sendall(METADATA)
            answer = connection.makefile("rb").read(12)  # length, correlation id, number of brokers
    except OSError:
        return False
    return len(answer) == 12 and struct.unpack(">iii", answer)[2] > 0


def java(heap: str) -> list[str]:
    """The command that runs a class of Kafka's. Raises BrokerFailed when Java or the jars are not there."""
    program = shutil.which("java")
    if program is None:
        raise BrokerFailed("no java on PATH: install a Java 17 runtime or later (Debian: openjdk-17-jre-headless)")
    if not any(JARS.glob("kafka_*.jar")):
        raise BrokerFailed(f"no Kafka in {JARS}: run `make kafka-jars`, which needs Maven")
    logging = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
    return [program, f"-Xmx{heap}", "-XX:+UseSerialGC", "-Xshare:auto", logging, "-cp", f"{JARS}/*"]


def _addresses(host: str, port: int, advertised: str, detour: tuple[int, str] | None) -> dict[str, str]:
    controller = f"127.0.0.1:{free_port()}"
    listens = {"PLAINTEXT": f"{host}:{port}", "CONTROLLER": controller}
    told = {"PLAINTEXT": advertised, "CONTROLLER": controller}
    if detour is not None:
        listens["DETOUR"], told["DETOUR"] = f"127.0.0.1:{detour[0]}", detour[1]
    return {
        "listeners": ",".join(f"{name}://{address}" for name, address in listens.items()),
        "advertised.listeners": ",".join(f"{name}://{address}" for name, address in told.items()),
        "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in listens),
        "controller.quorum.bootstrap.servers": controller,
    }


def _format(command: Sequence[str], properties: Path) -> None:
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    tool = [*command, "kafka.tools.StorageTool", "format", "--standalone", f"--cluster-id={cluster}"]
    tool += ["-c", str(properties)]  # one id in 64 begins with a dash, which alone would be taken for an option
    done = subprocess.run(tool, capture_output=True, text=True, timeout=START_SECONDS, check=False)
    if done.returncode:
        raise BrokerFailed(f"the storage of {properties} could not be formatted:\n{done.stdout}{done.stderr}")


def _tail(log: Path, lines: int = 20) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def main() -> None:
    """Run one broker in the foreground until it is interrupted."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: broker.py --port 9092 --set log.retention.ms=-1"
    )
    parser.add_argument("--port", type=int, default=9092)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--advertise", default="", metavar="HOST:PORT", help="address that clients are told")
    parser.add_argument("--folder", type=Path, help="keep the log here (default: a new temporary folder)")
    parser.add_argument("--heap", default="512m")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of Kafka's")
    parser.add_argument("--check", action="store_true", help="only say, by the exit status, whether one serves there")
    options = parser.parse_args()
    if options.check:
        sys.exit(not serves(("127.0.0.1", options.port)))
    if options.port and serves(("127.0.0.1", options.port)):
        sys.exit(f"port {options.port} is taken, perhaps by a Kafka that is up already; choose another with --port")
    folder = options.folder or Path(tempfile.mkdtemp(prefix="kafka-"))
    settings = dict(pair.split("=", 1) for pair in options.set)
    try:
        broker = Broker(
            folder,
            port=options.port,
            host=options.host,
            advertise=options.advertise,
            heap=options.heap,
            settings=settings,
        )
    except BrokerFailed as failure:
        sys.exit(str(failure))
    sys.stdout.write(f"Kafka begins at {broker.bootstrap}, which takes some seconds; log in {folder}; Ctrl-C ends it\n")
    sys.stdout.flush()
    os.execvp(broker.command[0], broker.command)


if __name__ == "__main__":
    main()

"""One node of a Redis Cluster on this machine."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import redis

from streams.embedded import free_port
from streams.leash import leashed

SLOTS = 16384
PATIENCE_S = 30.0
POLL_S = 0.02


def slots_of(number: int, nodes: int) -> tuple[int, int]:
    """The first and the last slot of node ``number`` when ``nodes`` share all."""
    return SLOTS * number // nodes, SLOTS * (number + 1) // nodes - 1


class ClusterNode:
    """A node that answers; a context manager. Its bus has a port of its own: the default, port + 10,000, may not be."""

    def __init__(self, program: str, folder: Path) -> None:
        self.port, self.bus_port = free_port(), free_port()
        settings = (
            f"port {self.port}",
            f"cluster-port {self.bus_port}",
            "bind 127.0.0.1",
            "cluster-enabled yes",
            "save ''",
        )
        (folder / "node.conf").write_text("\n".join((*settings, f"dir {folder}", f"logfile {folder}/log")))
        self.process = subprocess.Popen(leashed([program, str(folder / "node.conf")]), stdout=subprocess.DEVNULL)
        self.client = redis.Redis(port=self.port)
        self.wait_until(lambda info: True)

    def wait_until(self, ready: Callable[[Mapping[str, Any]], bool]) -> None:
        """Return when ``CLUSTER INFO`` says what ``ready`` wants to hear; fail after ``PATIENCE_S`` seconds."""
        deadline = time.monotonic() + PATIENCE_S
        while not self._says(ready):
            assert time.monotonic() < deadline, f"node at {self.port} says {self.client.cluster('INFO')}"
            try:
                raise AssertionError(f"node at {self.port} ended with status {self.process.wait(POLL_S)}")
            except subprocess.TimeoutExpired:
                continue

    def __enter__(self) -> ClusterNode:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.process.kill()
        self.process.wait()

    def _says(self, ready: Callable[[Mapping[str, Any]], bool]) -> bool:
        try:
            return ready(self.client.execute_command("CLUSTER INFO"))
        except redis.ConnectionError:
            return False

"""What can be seen of a system that should not grow: each role's process, Redis, how far the roles are, the disk."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from redis import Redis

from benchmarks.overload_watch import Place
from state.store import Shard
from streams.roles import ROLES
from streams.stage import rss_mb

MB = 1024.0 * 1024.0


@dataclass(frozen=True, slots=True)
class Look:
    """Seconds since the beginning, and the value of each series: ``session.rss_mb``, ``redis.memory_mb`` and so on."""

    at_s: float
    values: Mapping[str, float]


def seen(place: Place, redis: Redis, disks: Mapping[str, Path]) -> dict[str, float]:
    """All series now; ``disks`` are the folders whose size is told, by the name of their series.

    Raises BrokerError, StoreUnavailable, and redis-py's errors.
    """
    found: dict[str, float] = {}
    for role, child in place.supervisor.children.items():
        found |= {f"{role}.{what}": value for what, value in of_process(child.process.pid).items()}
    found |= {f"{role}.lag": float(behind) for role, behind in place.behind().items()}
    found |= {"redis.memory_mb": redis.info("memory")["used_memory"] / MB, "redis.entries": float(_entries(place))}
    return found | {name: size(folder) / MB for name, folder in disks.items()}


def of_process(pid: int) -> dict[str, float]:
    """Resident memory, open files and threads of a process; what it no longer has is left out."""
    found = {"rss_mb": rss_mb([pid])}
    for what, where in (("files", "fd"), ("threads", "task")):
        with suppress(OSError):
            found[what] = float(len(os.listdir(f"/proc/{pid}/{where}")))
    return found


def size(folder: Path) -> float:
    """Bytes of all files under ``folder``; those that go while it looks are left out."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.stat().st_size if path.is_file() else 0
    return float(total)


def _entries(place: Place) -> int:
    settings = place.settings
    counts = {role: settings.partitions if ROLES[role].reads[0].per_session else 1 for role in ("session", "curate")}
    shards = [Shard(settings.tenant, role, number) for role, some in counts.items() for number in range(some)]
    return sum(map(place.store.count, shards))

"""The store in this process's memory: for tests, demonstrations and recorded logs. It forgets all when it ends."""

from __future__ import annotations

import copy
import itertools
import threading
from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from schemas.errors import Refused
from state.store import ABSENT, Commit, Delete, Offsets, Shard, Taken, Values, Write, last_writes


@dataclass(slots=True)
class _Held:
    """One shard. ``times`` holds due time and key of what is in ``due``, sorted."""

    token: str | None = None
    commits: int = 0
    offsets: dict[str, int] = field(default_factory=dict)
    known: dict[str, int] = field(default_factory=dict)
    values: dict[str, bytes] = field(default_factory=dict)
    due: dict[str, float] = field(default_factory=dict)
    times: list[tuple[float, bytes]] = field(default_factory=list)
    outbox: list[bytes] = field(default_factory=list)

    def write(self, key: str, write: Write) -> None:
        if (time := self.due.pop(key, None)) is not None:
            del self.times[bisect_left(self.times, (time, key.encode()))]
        if isinstance(write, Delete):
            self.values.pop(key, None)
            return
        self.values[key] = write.value
        if write.due is not None:
            self.due[key] = write.due
            insort(self.times, (write.due, key.encode()))

    def due_keys(self, before: float, limit: int) -> tuple[str, ...]:
        first = itertools.islice(self.times, limit)
        return tuple(key.decode() for _, key in itertools.takewhile(lambda entry: entry[0] <= before, first))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that a ``MemoryStore`` held at one moment."""

    shards: Mapping[Shard, _Held]


class MemoryStore:
    """A ``Store`` that behaves as ``RedisStore`` does. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shards: dict[Shard, _Held] = {}
        self._seen: dict[Shard, tuple[str, int]] = {}

    def snapshot(self) -> Snapshot:
        """What is stored now."""
        with self._lock:
            return Snapshot(copy.deepcopy(self._shards))

    def restore(self, snapshot: Snapshot) -> None:
        """Store what was stored then, as a failover to a lagging replica does. Owners are not told."""
        with self._lock:
            self._shards = copy.deepcopy(dict(snapshot.shards))

    def take(self, shard: Shard, token: str) -> Taken:
        """See ``Store.take``."""
        with self._lock:
            held = self._shards.setdefault(shard, _Held())
            held.token = token
            self._seen[shard] = token, held.commits
            return Taken(dict(held.offsets), tuple(held.outbox), dict(held.known))

    def read(
        self,
        shard: Shard,
        token: str,
        offsets: Offsets,
        keys: Sequence[str],
        due_before: float | None = None,
        due_limit: int = 0,
    ) -> Values:
        """See ``Store.read``."""
        with self._lock:
            held = self._owned(shard, token, offsets)
            due = () if due_before is None else held.due_keys(due_before, due_limit)
            return Values({key: held.values[key] for key in (*keys, *due) if key in held.values}, due)

    def read_all(self, shard: Shard, token: str, offsets: Offsets) -> dict[str, bytes]:
        """See ``Store.read_all``."""
        with self._lock:
            return dict(self._owned(shard, token, offsets).values)

    def commit(self, shard: Shard, token: str, began_at: Offsets, commit: Commit) -> None:
        """See ``Store.commit``."""
        writes = last_writes(commit)
        with self._lock:
            held = self._owned(shard, token, began_at)
            if len(held.outbox) < commit.trim:
                raise Refused(f"{shard}: its outbox is shorter than what the caller has sent of it")
            for key, write in writes.items():
                held.write(key, write)
            held.offsets.update(commit.offsets)
            held.known.update(commit.known)
            held.outbox[: commit.trim] = ()
            held.outbox += commit.outbox
            held.commits += 1
            self._seen[shard] = token, held.commits

    def offsets(self, shard: Shard) -> Offsets:
        """See ``Store.offsets``."""
        with self._lock:
            return dict(self._held(shard).offsets)

    def count(self, shard: Shard) -> int:
        """See ``Store.count``."""
        with self._lock:
            return len(self._held(shard).values)

    def ping(self) -> None:
        """It always answers."""

    def close(self) -> None:
        """Nothing to let go of; what is stored stays readable."""

    def _held(self, shard: Shard) -> _Held:
        return self._shards.get(shard, _Held())

    def _owned(self, shard: Shard, token: str, offsets: Offsets) -> _Held:
        held = self._held(shard)
        if held.token != token:
            raise Refused(f"{shard}: {'nobody' if held.token is None else 'another owner'} has taken it")
        for place, offset in offsets.items():
            if (stored := held.offsets.get(place, ABSENT)) != offset:
                raise Refused(f"{shard}: {place} is stored at {stored}, the caller is at {offset}")
        seen_token, commits = self._seen.get(shard, (None, None))
        if seen_token == token and commits != held.commits:
            raise Refused(f"{shard}: {held.commits} commits are stored, the caller saw {commits}")
        return held

"""What a role remembers, and the one commit that changes it.

A *shard* is what one owner reads and writes: one partition of one role of one tenant. It holds values by key, the
offsets up to which its inputs are in those values, and the *outbox*: outputs that are decided but perhaps not yet sent.
All three change together, in one commit, and only for the owner whose token is stored and who saw the last change.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from schemas.errors import ConfigurationError

Offsets = Mapping[str, int]
"""``"topic/partition"`` to the next offset; ``ABSENT`` says that nothing is stored, as does leaving the entry out."""

ABSENT = -1
NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")


@dataclass(frozen=True, slots=True)
class Shard:
    """The unit of ownership. ``tenant`` and ``role`` match ``NAME``: they stand in keys and in access rules.

    Raises ConfigurationError.
    """

    tenant: str
    role: str
    partition: int

    def __post_init__(self) -> None:
        for what, name in (("tenant", self.tenant), ("role", self.role)):
            if not NAME.fullmatch(name):
                raise ConfigurationError(f"{what} {name!r} is not {NAME.pattern}; rename it, it becomes part of keys")
        if self.partition < 0:
            raise ConfigurationError(f"partition {self.partition} of {self.tenant}/{self.role} is negative")

    def __str__(self) -> str:
        return f"{self.tenant}/{self.role}/{self.partition}"


@dataclass(frozen=True, slots=True)
class Put:
    """``key`` has ``value``, and is to be looked at again at ``due`` (epoch seconds), or never; an earlier due goes."""

    key: str
    value: bytes
    due: float | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """``key`` has neither value nor due."""

    key: str


Write = Put | Delete


@dataclass(frozen=True, slots=True)
class Taken:
    """What a new owner finds: where to go on, what to send again (oldest first), and where to read its own outputs.

    ``known`` holds the end positions of the shard's output topics up to which an owner has read or written them.
    """

    offsets: Offsets
    outbox: tuple[bytes, ...]
    known: Offsets


@dataclass(frozen=True, slots=True)
class Values:
    """The values of those keys that have one, and the keys that are due, earliest first, then by the key's bytes.

    ``found`` has the values of the due keys, too.
    """

    found: Mapping[str, bytes]
    due: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Commit:
    """One change of a shard: all of it or nothing.

    ``trim`` records that were sent and acknowledged leave the head of the outbox, then ``outbox`` joins its end. Of
    several writes to a key the last counts. ``offsets`` and ``known`` replace the entries that they name.
    """

    offsets: Offsets
    writes: Sequence[Write] = ()
    outbox: Sequence[bytes] = ()
    trim: int = 0
    known: Offsets = field(default_factory=dict)


def last_writes(commit: Commit) -> dict[str, Write]:
    """Key to the last write of it. Raises ValueError: a due is no finite time, or ``trim`` is negative."""
    if commit.trim < 0:
        raise ValueError(f"trim is {commit.trim}; it counts records")
    last: dict[str, Write] = {write.key: write for write in commit.writes}
    for write in last.values():
        if isinstance(write, Put) and write.due is not None and not math.isfinite(write.due):
            raise ValueError(f"{write.key} is due at {write.due}; leave due out for never")
    return last


class Store(Protocol):
    """Shards, each changed by one owner at a time. Every method may raise StoreUnavailable.

    Whoever names a token is refused unless it is the stored one, the stored offsets are those that the caller names,
    and the shard is as the token's last change through this store object left it. The last catches a store that went
    back to an older state at the same offsets, as after a commit that only expired entries or trimmed the outbox.
    After Refused and after StoreUnavailable alike the owner takes a new token and goes on from what it finds.
    """

    def take(self, shard: Shard, token: str) -> Taken:
        """``shard`` as it is, now owned by ``token``, a random string; every earlier token is refused from now on.

        The token is firm before this returns: on disk and on the configured number of replicas, so that no rollback
        of the store brings an earlier owner back.
        """

    def read(
        self,
        shard: Shard,
        token: str,
        offsets: Offsets,
        keys: Sequence[str],
        due_before: float | None = None,
        due_limit: int = 0,
    ) -> Values:
        """The values of ``keys`` and of at most ``due_limit`` keys due at or before ``due_before`` (epoch seconds).

        Raises Refused.
        """

    def read_all(self, shard: Shard, token: str, offsets: Offsets) -> dict[str, bytes]:
        """Every key and value of ``shard``. Raises Refused."""

    def commit(self, shard: Shard, token: str, began_at: Offsets, commit: Commit) -> None:
        """Make ``commit``. An empty one (a beat) only proves that the caller is the owner.

        Raises:
            Refused: nothing was written.
            StoreUnavailable: perhaps all was written; never repeat it, take a new token instead.
        """

    def offsets(self, shard: Shard) -> Offsets:
        """The stored offsets, for monitors and tests."""

    def count(self, shard: Shard) -> int:
        """How many keys ``shard`` holds."""

    def ping(self) -> None:
        """Return if the store answers."""

    def close(self) -> None:
        """Let go of connections."""

"""The checkpoints of a model: its history, and the one that a version names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from schemas import topics
from schemas.errors import CurrereError
from schemas.model import Checkpoint
from streams.engines.broker import Broker
from streams.published import newest_first

LATEST = "latest"


class NoSuchVersion(CurrereError):
    """The version was not published, or what it is made of has left retention."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A checkpoint, when its worker made it, and when the log received it (epoch milliseconds)."""

    checkpoint: Checkpoint
    time: datetime
    written_ms: int


def history(broker: Broker, tenant: str, model: str) -> Iterator[Kept]:
    """The checkpoints of ``model``, newest first."""
    for record, event in newest_first(broker, topics.CHECKPOINT, tenant, model):
        if isinstance(event.data, Checkpoint):
            yield Kept(event.data, event.envelope.time, record.timestamp_ms)


def kept_as(broker: Broker, tenant: str, model: str, version: str) -> Kept:
    """The checkpoint of exactly ``version``, or the newest of all for ``latest``. Raises NoSuchVersion."""
    wanted = parsed(version)
    for kept in history(broker, tenant, model):
        if wanted in ((None, None), (kept.checkpoint.lineage, kept.checkpoint.next_offset)):
            return kept
    raise NoSuchVersion(f"{tenant}/{model} has no checkpoint of {version}; see `currere model list`")


def parsed(version: str) -> tuple[str | None, int | None]:
    """Lineage and next offset of ``lineage:offset``; two None for ``latest``. Raises NoSuchVersion."""
    if version == LATEST:
        return None, None
    lineage, _, offset = version.rpartition(":")
    if not lineage or not offset.isdecimal():
        raise NoSuchVersion(f"{version!r} is no version; expected LINEAGE:OFFSET or {LATEST}, see `currere model list`")
    return lineage, int(offset)

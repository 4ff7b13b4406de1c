"""Old snapshots leave the blob store: those that no fold goes back to, and nobody who begins anew would take."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from streams.blobs import Blobs, BlobUnavailable
from streams.checkpoints import Kept
from streams.engines.broker import Broker
from streams.requests import OnProgress, in_log

FEWEST = 2  # to keep: who finds the newest torn takes the one before


@dataclass(slots=True)
class Pruning:
    """The snapshots that are there, newest first, by what becomes of them.

    ``kept`` are the newest whole ones, to ``needed`` a reset in the log goes back, ``young`` are not old enough yet;
    ``spare`` are the others, which may go.
    """

    kept: list[Kept] = field(default_factory=list)
    needed: list[Kept] = field(default_factory=list)
    young: list[Kept] = field(default_factory=list)
    spare: list[Kept] = field(default_factory=list)

    @property
    def spare_bytes(self) -> int:
        """What the spare ones take."""
        return sum(one.checkpoint.size for one in self.spare)


def resets(broker: Broker, tenant: str, model: str, on_progress: OnProgress = lambda done, all: None) -> set[str]:
    """The versions that the log's resets go back to: whoever folds the log needs their snapshots."""
    asked = in_log(broker, tenant, model, on_progress=on_progress)
    return {one.manifest.version for one in asked if one.manifest.kind == "reset" and one.manifest.version}


def plan(
    history: Iterable[Kept], blobs: Blobs, folder: str, needed: Collection[str], keep: int, until_ms: int
) -> Pruning:
    """What becomes of ``history``, newest first: nothing is spare before ``keep`` whole ones, nor after ``until_ms``.

    Until then a snapshot that is torn, or out of reach, counts for nothing and stays. A reset that is written later
    must name one that was left. At least ``FEWEST`` are kept, and what an event names elsewhere than under ``folder``,
    where the model's own worker puts them, is passed over. Raises BlobUnavailable.
    """
    found, met = Pruning(), set[str]()
    for one in history:
        if one.checkpoint.uri in met or not one.checkpoint.uri.startswith(f"{blobs.url}/{folder}/"):
            continue  # a worker that died says it twice; what is elsewhere is not its own
        met.add(one.checkpoint.uri)
        if len(found.kept) < max(keep, FEWEST):
            if _is_whole(one, blobs):
                found.kept.append(one)
        elif blobs.size(one.checkpoint.uri) is not None:
            old = one.written_ms <= until_ms
            part = found.needed if one.checkpoint.version in needed else found.spare if old else found.young
            part.append(one)
    return found


def delete(found: Pruning, blobs: Blobs) -> None:
    """Delete what is spare, oldest first. Raises BlobUnavailable; the rest is left, and may be deleted later."""
    for one in reversed(found.spare):
        blobs.delete(one.checkpoint.uri)


def to_json(found: Pruning) -> dict[str, object]:
    """Versions by what becomes of them, newest first."""
    parts = {"kept": found.kept, "needed": found.needed, "young": found.young, "deleted": found.spare}
    versions = {name: [one.checkpoint.version for one in part] for name, part in parts.items()}
    return {**versions, "deleted_bytes": found.spare_bytes}


def _is_whole(one: Kept, blobs: Blobs) -> bool:
    try:
        blobs.get(one.checkpoint.uri, one.checkpoint.size, one.checkpoint.sha256)
    except BlobUnavailable:
        return False
    return True

"""The weights of one version: a snapshot, and the deltas after it up to exactly that version's offset."""

from __future__ import annotations

from collections.abc import Iterator

from learners.delta import apply_delta
from learners.served import Served
from schemas import codec, topics
from schemas.errors import BadEvent, ModelRefused
from schemas.model import Delta
from streams.blobs import Blobs, BlobUnavailable
from streams.checkpoints import NoSuchVersion, history, parsed
from streams.engines.broker import Broker
from streams.message import partition_of
from streams.published import MARGIN_MS, served_of


def served_at(broker: Broker, blobs: Blobs, tenant: str, model: str, version: str) -> Served:
    """The served weights of ``version`` (``lineage:next-offset``), or of ``latest``, the newest that was published.

    Raises NoSuchVersion: nobody ever served it, or neither snapshot nor deltas of it are to be had.
    """
    lineage, offset = parsed(version)
    refused = []
    for kept in history(broker, tenant, model):
        found = kept.checkpoint
        if lineage not in (None, found.lineage) or (offset is not None and found.next_offset > offset):
            continue
        try:
            served = served_of(blobs, found)
            if offset is not None and served.next_offset == offset:
                return served
            served = _followed(broker, tenant, model, served, offset, kept.written_ms - MARGIN_MS)
        except (BlobUnavailable, ModelRefused) as error:
            refused.append(f"{found.version}: {error}")
            continue
        if offset in (None, served.next_offset):
            return served
        refused.append(f"{found.version} with its deltas reaches {served.version}")
    why = "; ".join(refused[:3]) or "no checkpoint at or before it is left"
    raise NoSuchVersion(f"{version} of {tenant}/{model} is not to be had: {why}; see `currere model list`")


def _followed(broker: Broker, tenant: str, model: str, served: Served, until: int | None, since_ms: int) -> Served:
    """``served`` with every delta that goes on from it and does not end beyond ``until``. Raises ModelRefused."""
    for first, parts in _deltas(broker, tenant, model, since_ms):
        goes_on = first.lineage == served.lineage and first.a <= served.next_offset < first.b
        if goes_on and (until is None or first.b <= until):
            served = apply_delta(served, parts)
    return served


def _deltas(broker: Broker, tenant: str, model: str, since_ms: int) -> Iterator[tuple[Delta, list[bytes]]]:
    """The whole deltas of ``model`` that the log received since ``since_ms``, in its order."""
    topic = topics.DELTA
    place = partition_of(model.encode(), broker.partitions()[topic.name])
    start, (_, end) = broker.offset_at(topic.name, place, since_ms), broker.ends(topic.name, place)
    parts: dict[int, bytes] = {}
    for record in broker.read(topic.name, place, start, end):
        if record.key != model.encode() or record.header("ce_tenant") != tenant:
            continue
        try:
            found = codec.decode(topic, record.headers, record.value).data
        except BadEvent:
            continue
        if isinstance(found, Delta):
            if found.part == 0:
                parts.clear()
            parts[found.part] = record.value or b""
            if len(parts) == found.parts:
                yield found, [parts[number] for number in sorted(parts)]

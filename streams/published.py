"""What has been published of a model, read back from its topics: newest first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from learners.served import Served
from learners.snapshot import served_from_snapshot
from schemas import codec, topics
from schemas.errors import BadEvent, ModelRefused
from schemas.event import Data, Event
from schemas.model import Checkpoint
from schemas.prediction import DeadLetter
from schemas.topics import Topic
from streams.blobs import Blobs
from streams.engines.broker import Broker
from streams.message import Record, partition_of

MARGIN_MS = 60_000  # deltas are read from so long before the checkpoint of the snapshot that they are applied to
WINDOW = 64  # records read at once, going back
ARRIVALS = "ce_arrivals"  # header of a delta's first part: when the log received the feedback it learned from, epoch ms


def newest_first(broker: Broker, topic: Topic, tenant: str, model: str) -> Iterator[tuple[Record, Event[Data]]]:
    """The readable events of a tenant's ``model`` on ``topic`` from its end to its start."""
    for record in _backwards(broker, topic, partition_of(model.encode(), broker.partitions()[topic.name])):
        if record.key == model.encode() and record.header("ce_tenant") == tenant:
            with suppress(BadEvent):
                yield record, codec.decode(topic, record.headers, record.value)


def last_dead_letter(broker: Broker, topic: Topic, tenant: str, partition: int) -> int:
    """The offset of the last record in a partition of ``topic`` of which there is a dead letter; -1 without one."""
    dead = topics.dlq(topic)
    offsets = [-1]
    for place in range(broker.partitions()[dead.name]):
        for record in _backwards(broker, dead, place):
            if record.header("ce_tenant") != tenant:
                continue
            with suppress(BadEvent):
                data = codec.decode(dead, record.headers, record.value).data
                if isinstance(data, DeadLetter) and data.partition == partition:
                    offsets.append(data.offset)
                    break
    return max(offsets)


def _backwards(broker: Broker, topic: Topic, partition: int) -> Iterator[Record]:
    start, end = broker.ends(topic.name, partition)
    while end > start:
        begin = max(start, end - WINDOW)
        yield from reversed(list(broker.read(topic.name, partition, begin, end)))
        end = begin


def last_event(broker: Broker, topic: Topic, tenant: str, model: str) -> Event[Data] | None:
    """The last readable event of ``model`` on ``topic``."""
    return next((event for _, event in newest_first(broker, topic, tenant, model)), None)


def checkpoints_of(broker: Broker, tenant: str, model: str) -> Iterator[Checkpoint]:
    """The checkpoints of ``model``, newest first."""
    for _, event in newest_first(broker, topics.CHECKPOINT, tenant, model):
        if isinstance(event.data, Checkpoint):
            yield event.data


def served_of(blobs: Blobs, checkpoint: Checkpoint) -> Served:
    """The served weights of a checkpoint. Raises BlobUnavailable, or ModelRefused unless they are what it says."""
    served = served_from_snapshot(blobs.get(checkpoint.uri, checkpoint.size, checkpoint.sha256))
    if (served.version, served.digest()) != (checkpoint.version, checkpoint.digest):
        raise ModelRefused(f"the snapshot is {served.version}, its event says {checkpoint.version}")
    return served


def snapshot_of(broker: Broker, blobs: Blobs, tenant: str, model: str, version: str) -> bytes:
    """The snapshot of ``version``, for a reset that goes back to it.

    Raises:
        ModelRefused: no checkpoint names that version.
        BlobUnavailable: its blob is not to be had.
    """
    for checkpoint in checkpoints_of(broker, tenant, model):
        if checkpoint.version == version:
            return blobs.get(checkpoint.uri, checkpoint.size, checkpoint.sha256)
    raise ModelRefused(f"the log resets to {version}, of which there is no checkpoint; see `currere model list`")

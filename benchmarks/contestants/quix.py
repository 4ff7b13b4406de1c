"""Quix Streams: a StreamingDataFrame that answers, publishes and sinks.

Configured for throughput as its documentation has it: bytes in and out (the codec decodes), a batching sink that is
flushed at each checkpoint, a checkpoint every batch. Rows go through the frame one by one, so a model is asked for one
interaction at a time. What is published may leave before the checkpoint writes it to the store.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

from quixstreams import Application
from quixstreams.context import message_context
from quixstreams.sinks import BatchingSink, SinkBatch

from benchmarks.contestants.work import FETCH, READS, SEND, WRITES, Job, Work, read
from schemas.envelope import Origin
from state.store import Put
from streams.message import Message, Record


class Fenced(BatchingSink):  # type: ignore[misc]  # an optional package, which is not looked into
    """The store as a sink: one fenced commit a checkpoint and partition."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.work = work

    def write(self, batch: SinkBatch) -> None:
        """Commit what the checkpoint holds of a partition."""
        items = list(batch)
        writes = [Put(dict(item.headers)["ce_id"].decode(), item.value) for item in items]
        self.work.write(batch.partition, writes, items[-1].offset + 1)


def run(job: Job) -> None:
    """Work until the process is ended."""
    work = Work(job)
    serve(job, lambda taken: work.messages([read(taken)])[0], Fenced(work))


def serve(job: Job, answer: Callable[[Record], Message], sink: BatchingSink | None = None) -> None:
    """Publish the answer to each record, and give ``sink`` what was published. A checkpoint every batch or 50 ms."""
    with tempfile.TemporaryDirectory(prefix="quix-") as folder:
        app = Application(
            job.kafka, consumer_group=job.tenant, auto_offset_reset="earliest", commit_every=job.batch,
            commit_interval=0.05, consumer_extra_config=FETCH, producer_extra_config=SEND, state_dir=folder,
            use_changelog_topics=False, auto_create_topics=False, loglevel="WARNING",
        )  # fmt: skip
        reads = app.topic(READS.name, value_deserializer="bytes", key_deserializer="bytes")
        writes = app.topic(WRITES.name, value_serializer="bytes", key_serializer="bytes")
        frame = app.dataframe(reads).apply(lambda *taken: answer(_record(*taken)), metadata=True)
        frame = frame.set_headers(lambda sent, key, timestamp, headers: list(sent.headers))
        frame = frame.apply(lambda sent: sent.value)
        frame.to_topic(writes)
        if sink is not None:
            frame.sink(sink)
        app.run()


def _record(value: bytes, key: bytes, timestamp: int, headers: Any) -> Record:
    """The record that the frame is at."""
    at = message_context()
    return Record(Origin(at.topic, at.partition, at.offset), key, value, tuple(headers), timestamp)

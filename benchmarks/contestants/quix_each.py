"""Quix Streams as its tutorials begin: a function that is called with one event, and asks the store for that one.

Configured as the batching contestant is, save that nothing is gathered: an event is committed before it is published.
"""

from __future__ import annotations

import tempfile

from quixstreams import Application

from benchmarks.contestants.quix import options, record
from benchmarks.contestants.work import READS, WRITES, Job, Work


def run(job: Job) -> None:
    """Work until the process is ended."""
    work = Work(job)
    with tempfile.TemporaryDirectory(prefix="quix-") as folder:
        app = Application(**options(job, folder))
        reads = app.topic(READS.name, value_deserializer="bytes", key_deserializer="bytes")
        writes = app.topic(WRITES.name, value_serializer="bytes", key_serializer="bytes")
        frame = app.dataframe(reads).apply(lambda *taken: work.decided([record(*taken)])[0], metadata=True)
        frame = frame.set_headers(lambda sent, key, timestamp, headers: list(sent.headers))
        frame.apply(lambda sent: sent.value).to_topic(writes)
        app.run()

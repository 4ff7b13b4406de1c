"""Faust (faust-streaming): one agent that takes batches, with the Kafka transport it comes with.

Configured for throughput as its documentation has it: ``take_events`` of a batch or 10 ms, raw bytes in and out, lz4,
linger 5 ms, at least once, no tables and no web server, uvloop where it is installed. The store is asked on the event
loop: a batch takes it a millisecond, less than handing it to a thread.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from typing import Any

import faust
import mode.loop

from benchmarks.contestants.work import READS, WRITES, Job, Work
from schemas.envelope import Origin
from streams.message import Record

WITHIN_S = 0.01


def run(job: Job) -> None:
    """Work until the process is ended."""
    work = Work(job)

    async def decide(stream: Any, writes: Any) -> None:
        async for events in stream.take_events(job.batch, within=WITHIN_S):
            for sent in work.decided([record(event.message) for event in events]):
                await writes.send(key=sent.key, value=sent.value, partition=sent.partition, headers=list(sent.headers))

    serve(job, decide)


def serve(job: Job, decide: Callable[[Any, Any], Awaitable[None]]) -> None:
    """Run one agent: ``decide`` is given what it reads, and where it sends."""
    if find_spec("uvloop"):
        mode.loop.use("uvloop")
    app = faust.App(
        job.tenant, broker=f"kafka://{job.kafka}", store="memory://", web_enabled=False, topic_disable_leader=True,
        consumer_auto_offset_reset="earliest", broker_max_poll_records=job.batch, producer_compression_type="lz4",
        producer_linger_ms=5, topic_allow_declare=False,
    )  # fmt: skip
    raw: dict[str, Any] = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
    writes = app.topic(WRITES.name, **raw)

    async def agent(stream: Any) -> None:
        await decide(stream, writes)

    app.agent(app.topic(READS.name, **raw), concurrency=1)(agent)
    faust.Worker(app, loglevel="WARNING").execute_from_commandline()


def record(message: Any) -> Record:
    """What Faust has fetched, as the codec takes it."""
    headers = message.headers.items() if isinstance(message.headers, dict) else message.headers or ()
    origin = Origin(message.topic, message.partition, message.offset)
    return Record(origin, message.key, message.value, tuple(headers), int(message.timestamp * 1000))

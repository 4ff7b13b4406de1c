"""Faust (faust-streaming) as its tutorials begin: ``async for event in stream``, and the store is asked for that one.

Configured as the batching contestant is.
"""

from __future__ import annotations

from typing import Any

from benchmarks.contestants.faust import record, serve
from benchmarks.contestants.work import Job, Work


def run(job: Job) -> None:
    """Work until the process is ended."""
    work = Work(job)

    async def decide(stream: Any, writes: Any) -> None:
        async for event in stream.events():
            for sent in work.decided([record(event.message)]):
                await writes.send(key=sent.key, value=sent.value, partition=sent.partition, headers=list(sent.headers))

    serve(job, decide)

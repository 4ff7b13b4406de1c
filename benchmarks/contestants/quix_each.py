"""Quix Streams as its tutorials begin: a function that is called with one event, and asks the store for that one.

Configured as the batching contestant is, save that nothing is gathered: an event is committed before it is published.
"""

from __future__ import annotations

from benchmarks.contestants.quix import serve
from benchmarks.contestants.work import Job, Work


def run(job: Job) -> None:
    """Work until the process is ended."""
    work = Work(job)
    serve(job, lambda taken: work.decided([taken])[0])

"""The raw loop whose commit also holds what it is about to send: what currere's outbox costs, and nothing else of it.

Configured as the raw loop is.
"""

from __future__ import annotations

from benchmarks.contestants import raw
from benchmarks.contestants.work import Job


def run(job: Job) -> None:
    """Work until the process is ended. Raises BrokerError."""
    raw.run(job, outbox=True)

"""FastStream over confluent-kafka: one batch subscriber that publishes.

Configured for throughput as its documentation has it: batches, no validation of types, bytes as they are (its own
decoder is passed by), publishing without waiting for each confirmation, lz4, linger 5 ms, idempotent. It polls until a
batch is full or 50 ms have passed. The store is asked on the event loop: a batch takes it a millisecond.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from faststream import AckPolicy, FastStream
from faststream.confluent import KafkaBroker

from benchmarks.contestants.work import FETCH, READS, SEND, Job, Work
from streams.engines.kafka_broker import record_of

POLL_S = 0.05


def run(job: Job) -> None:
    """Work until the process is ended."""
    work = Work(job)
    broker = KafkaBroker(job.kafka, apply_types=False, logger=None, allow_auto_create_topics=False,
                         config={**FETCH, **SEND})  # fmt: skip

    async def decide(taken: Any) -> None:
        for sent in work.decided([record_of(one) for one in taken.raw_message]):
            headers = {name: value.decode() for name, value in sent.headers}
            await broker.publish(sent.value, sent.topic, key=sent.key, partition=sent.partition, headers=headers,
                                 no_confirm=True)  # fmt: skip

    async def untouched(taken: Any) -> Any:
        return taken

    subscribe = broker.subscriber(
        READS.name, group_id=job.tenant, auto_offset_reset="earliest", batch=True, max_records=job.batch,
        polling_interval=POLL_S, ack_policy=AckPolicy.ACK_FIRST, decoder=untouched,
    )  # fmt: skip
    subscribe(decide)
    asyncio.run(FastStream(broker, logger=None).run(log_level=logging.WARNING))

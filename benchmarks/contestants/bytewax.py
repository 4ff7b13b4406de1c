"""bytewax: a dataflow of its Kafka source, one ``flat_map_batch`` and its Kafka sink, with one worker.

Configured for throughput as its documentation has it: a batch a poll, the whole batch mapped at once, the same producer
settings; recovery is off. Its sink flushes after every batch, and leaves the partition to the key.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bytewax.operators as op
from bytewax._bytewax import cli_main  # what ``python -m bytewax.run`` calls
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
from bytewax.dataflow import Dataflow

from benchmarks.contestants.work import FETCH, READS, SEND, WRITES, Job, Work
from schemas.envelope import Origin
from streams.message import Record


def run(job: Job) -> None:
    """Work until the process is ended."""
    work = Work(job)

    def decide(taken: list[Any]) -> Iterator[Any]:
        for sent in work.decided([_record(one) for one in taken]):
            yield KafkaSinkMessage(sent.key, sent.value, headers=list(sent.headers))

    flow = Dataflow("bench")
    source = KafkaSource([job.kafka], [READS.name], add_config=_texts(FETCH), batch_size=job.batch)
    decided = op.flat_map_batch("decide", op.input("reads", flow, source), decide)
    op.output("writes", decided, KafkaSink([job.kafka], WRITES.name, add_config=_texts(SEND)))
    cli_main(flow)


def _record(taken: Any) -> Record:
    origin = Origin(taken.topic, taken.partition, taken.offset)
    return Record(origin, taken.key, taken.value, tuple(taken.headers), taken.timestamp[1])


def _texts(settings: dict[str, object]) -> dict[str, str]:
    return {name: str(value).lower() for name, value in settings.items()}

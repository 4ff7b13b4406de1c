"""The least code on confluent-kafka: poll, decide the batch, send. What every framework is measured against.

Configured as currere's own consumer and producer are: up to a batch is taken as soon as there is one record;
idempotent, lz4, linger 5 ms. Assigned by hand, so without a group; the offset is in the store, so none is committed to
Kafka.
"""

from __future__ import annotations

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from benchmarks.contestants.work import FETCH, READS, SEND, Job, Work, send
from schemas.errors import BrokerError
from streams.engines.kafka_broker import record_of


def run(job: Job, outbox: bool = False) -> None:
    """Work until the process is ended. Raises BrokerError."""
    address = {"bootstrap.servers": job.kafka}
    consumer = Consumer({**address, "group.id": job.tenant, "enable.auto.commit": False, **FETCH})
    consumer.assign([TopicPartition(READS.name, number, OFFSET_BEGINNING) for number in range(job.partitions)])
    producer, work = Producer({**address, **SEND}), Work(job, outbox)
    while True:
        first = consumer.poll(0.05)
        if first is None:
            producer.poll(0)
            continue
        taken = [first, *consumer.consume(job.batch - 1, timeout=0)]
        if failed := next((error for one in taken if (error := one.error()) is not None), None):
            raise BrokerError(failed.str())
        send(producer, work.decided([record_of(one) for one in taken]))

"""Why the store's offsets count and Faust's do not: faust-streaming/faust#606, seen on a real broker.

Under ``concurrency`` above 1 Faust commits the offset after the records that are done although an earlier one is still
at work: only a gap of more than one record keeps it from that. If the process dies then, the record is never seen
again. The day on which this test fails, Faust has mended it, and ``streams/engines/faust_settings.py`` may be read
again.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from stand import LOG, PATIENCE_S, Ground, eventually, ground

from streams.leash import leashed

pytestmark = pytest.mark.kafka
PROGRAM = Path(__file__).with_name("stock_faust.py")


@contextmanager
def stock_faust(here: Ground, log: Path, concurrency: int) -> Iterator[None]:
    """The program at work; killed at the end of the block."""
    topic = here.names[0]
    command = leashed([sys.executable, str(PROGRAM), here.address, topic, here.group, str(concurrency)])
    with log.open("ab") as out:
        child = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL, cwd=log.parent)
    try:
        yield
    finally:
        child.kill()
        child.wait()


def send(here: Ground, *values: str) -> None:
    producer = Producer({"bootstrap.servers": here.address}, logger=LOG)
    for value in values:
        producer.produce(here.names[0], value.encode(), partition=0)
    assert producer.flush(PATIENCE_S) == 0


def committed(here: Ground) -> int:
    """The offset at which the group would go on; below 0 if there is none."""
    asker = Consumer({"bootstrap.servers": here.address, "group.id": here.group}, logger=LOG)
    try:
        (found,) = asker.committed([TopicPartition(here.names[0], 0)], timeout=10)
    finally:
        asker.close()
    return found.offset


def test_faust_with_concurrency_2_loses_a_record_that_was_at_work_when_it_died(kafka: str, tmp_path: Path) -> None:
    here, log = ground(kafka, 1), tmp_path / "processed"
    done = ["a", "b", "c", "d"]
    send(here, "slow", *done)
    with stock_faust(here, log, concurrency=2):
        eventually(lambda: committed(here) > 0, "it has committed past the record at work")
    assert log.read_text().split() == done, "the first record was not processed"
    send(here, "last")
    with stock_faust(here, log, concurrency=1):
        eventually(lambda: "last" in log.read_text(), "it goes on after what it committed")
    assert log.read_text().split() == [*done, "last"], "and has never seen the first record again"

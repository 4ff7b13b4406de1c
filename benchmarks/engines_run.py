"""One contestant in one round: fresh topics and store, a backlog, then a fixed rate, all seen from outside."""

from __future__ import annotations

import json
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import redis
from confluent_kafka import KafkaException

from benchmarks.contestants.work import READS, WRITES, Job
from benchmarks.engines_environments import ROOT, UNDER_CLOCKS, Contestant
from benchmarks.engines_watch import WARM, Measured, Pace, Sample, cpu_s, latencies, outputs, pace, percentile
from deploy.kafka.broker import end_child, start_child
from schemas.errors import BrokerError, CurrereError
from schemas.interaction import Interaction
from schemas.topics import Topic
from streams.client import message_of
from streams.engines.kafka_broker import KafkaBroker
from streams.message import Message
from streams.simulated import simulate
from streams.stage import rss_mb

LOOK_S = 0.02
MADE_S = 30.0
FLUSH_S = 60.0
TAIL = 1_500  # characters of a dead contestant's log


@dataclass(frozen=True, slots=True)
class Spent:
    """CPU seconds by part of currere's engine, and its pace on the same part of a backlog, under those clocks."""

    by_part: Mapping[str, float]
    pace: Pace


class ContestantFailed(CurrereError):
    """A contestant died, or did not finish in time; the message ends with the end of its log."""


@dataclass(frozen=True, slots=True)
class Place:
    """The servers of the run, which are its own: topics are deleted and the store is emptied before each contestant."""

    kafka: str
    redis: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Course:
    """What each contestant meets: of ``said`` the first ``events`` at once, then the rest, ``rate`` a second; it is
    waited for ``patience_s`` each time."""

    said: Sequence[Message]
    events: int
    rate: int
    partitions: int
    batch: int
    patience_s: float

    def shortened(self, share: float) -> Course:
        """The same with only the last ``share`` of the backlog."""
        events = round(share * self.events)
        return replace(self, said=self.said[self.events - events :], events=events)


def measured(place: Place, course: Course, contestant: Contestant, python: Path, model: Path | None) -> Measured:
    """What ``contestant`` came to. Raises BrokerError, ContestantFailed."""
    with _at_work(place, course, contestant, python, model) as work:
        backlog = pace(work.until(course.events), course.events)
        sending = threading.Thread(target=paced, args=(work.broker, work.live, course.rate), daemon=True)
        sending.start()
        samples = work.until(len(course.said))
        live = pace([replace(one, outputs=one.outputs - course.events) for one in samples], len(work.live))
        sending.join()
        memory = rss_mb([work.child.pid])
    waits, twice = latencies(work.broker, course.partitions, work.ends)
    settled = waits[min(course.rate, len(waits) // 4) :]  # the first second is warming up
    return Measured(backlog, live, memory, percentile(settled, 0.5), percentile(settled, 0.99), twice)


def where(place: Place, course: Course, model: Path | None) -> Spent:
    """What each part of currere's engine spends on the backlog. Raises BrokerError, ContestantFailed."""
    stages = place.folder / "stages.json"
    with _at_work(place, course, UNDER_CLOCKS, Path(sys.executable), model, stages) as work:
        samples = work.until(course.events, lambda: work.child.send_signal(signal.SIGUSR1))
        end_child(work.child)  # in order: only then does it tell
    return Spent(json.loads(stages.read_text()), pace(samples, course.events))


@contextmanager
def _at_work(
    place: Place, course: Course, contestant: Contestant, python: Path, model: Path | None, stages: Path | None = None
) -> Iterator[_Watch]:
    job = Job(place.kafka, place.redis, f"bench-{secrets.token_hex(4)}", course.partitions, course.batch,
              str(model) if model else None, str(stages) if stages else None)  # fmt: skip
    broker = fresh(place, course.partitions)
    said = [of_tenant(message, job.tenant) for message in course.said]
    paced(broker, said[: course.events], 0)
    ends = {number: broker.ends(READS.name, number)[1] for number in range(course.partitions)}
    log = place.folder / f"{contestant.name}-{job.tenant}.log"
    child = start_child(_command(contestant, python, job), log)
    try:
        yield _Watch(broker, child, course, log, ends, said[course.events :])
    finally:
        end_child(child, signal.SIGKILL)


def lessons(seed: int, interactions: int, partitions: int) -> list[Message]:
    """What the contestants are given, as it is sent."""
    counts = {READS.name: partitions}
    classroom = simulate(seed, interactions)
    return [message_of(event, counts) for event in classroom if isinstance(event.data, Interaction)]


def of_tenant(message: Message, tenant: str) -> Message:
    """``message`` as another tenant's."""
    headers = tuple((name, tenant.encode() if name == "ce_tenant" else value) for name, value in message.headers)
    return replace(message, headers=headers)


def fresh(place: Place, partitions: int, wanted: Sequence[Topic] = (READS, WRITES)) -> KafkaBroker:
    """New and empty topics, and an empty store. Raises BrokerError."""
    broker = KafkaBroker(place.kafka)
    if have := [topic.name for topic in wanted if topic.name in broker.partitions()]:
        try:
            for future in broker.admin.delete_topics(have, operation_timeout=MADE_S).values():
                future.result()
        except KafkaException as error:
            raise BrokerError(f"{', '.join(have)} cannot be deleted: {error.args[0].str()}") from error
        wait_for(lambda: not set(have) & set(broker.partitions()), "the topics were not deleted")
    broker.create(wanted, lambda topic: partitions if topic.per_session else 1)
    wait_for(lambda: {topic.name for topic in wanted} <= set(broker.partitions()), "the topics were not made")
    with redis.Redis.from_url(place.redis) as store:
        store.flushall()
    return KafkaBroker(place.kafka)  # one that has not seen the topics of before


def wait_for(done: Callable[[], bool], otherwise: str, within_s: float = MADE_S) -> None:
    """Return once ``done`` says so. Raises BrokerError with what is ``otherwise``, after ``within_s``."""
    deadline, pause = time.monotonic() + within_s, threading.Event()
    while not done():
        if time.monotonic() > deadline:
            raise BrokerError(f"{otherwise} within {within_s:.0f} s; see the broker's log")
        pause.wait(0.05)


def paced(broker: KafkaBroker, messages: Sequence[Message], rate: int) -> None:
    """Send ``messages``, ``rate`` a second, or at once. Raises BrokerError."""
    producer, failed, pause = broker.producer(), list[str](), threading.Event()
    begun = time.monotonic()
    for number, message in enumerate(messages):
        if rate and (ahead := begun + number / rate - time.monotonic()) > 0.001:
            pause.wait(ahead)
        producer.send(message, lambda offset, error: failed.append(error) if error else None)
        producer.poll()
    if producer.flush(FLUSH_S) or failed:
        raise BrokerError(f"{broker.address} did not take all interactions: {failed[:1]}")


def _command(contestant: Contestant, python: Path, job: Job) -> list[str]:
    environment = f"PYTHONPATH={ROOT}", "OMP_NUM_THREADS=1", "PYTHONUNBUFFERED=1"
    return ["/usr/bin/env", "-C", str(ROOT), *environment, str(python), "-m", "benchmarks.contestants",
            contestant.program, job.text()]  # fmt: skip


class _Watch:
    """Looks at one child until enough is in the log."""

    def __init__(
        self,
        broker: KafkaBroker,
        child: subprocess.Popen[bytes],
        course: Course,
        log: Path,
        ends: Mapping[int, int],
        live: Sequence[Message],
    ) -> None:
        self.broker, self.child, self.course, self.log, self.ends, self.live = broker, child, course, log, ends, live

    def until(self, wanted: int, on_warm: Callable[[], None] = lambda: None) -> list[Sample]:
        """Samples from now until the log holds ``wanted`` outputs; ``on_warm`` is called once some of them are there.

        Raises BrokerError, ContestantFailed.
        """
        samples, pause, warm = [self._look()], threading.Event(), False
        while samples[-1].outputs < wanted:
            if not warm and samples[-1].outputs >= WARM * wanted:
                warm = True
                on_warm()
            if self.child.poll() is not None:
                raise ContestantFailed(f"it ended with status {self.child.returncode}: {self._tail()}")
            if time.monotonic() > samples[0].at_s + self.course.patience_s:
                raise ContestantFailed(
                    f"{samples[-1].outputs} of {wanted} outputs within {self.course.patience_s:.0f} s: {self._tail()}"
                )
            pause.wait(LOOK_S)
            samples.append(self._look())
        return samples

    def _look(self) -> Sample:
        try:
            used = cpu_s(self.child.pid)
        except FileNotFoundError as error:
            raise ContestantFailed(f"it has ended: {self._tail()}") from error
        return Sample(time.monotonic(), outputs(self.broker, self.course.partitions), used)

    def _tail(self) -> str:
        return self.log.read_text(errors="replace")[-TAIL:] if self.log.exists() else ""

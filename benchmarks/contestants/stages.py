"""Currere once more, with clocks around the parts of its engine, set from outside: where the CPU of an event goes.

Each part's own CPU, without that of the parts inside it, by the clock of the thread that does it, so that waiting for
the store or for the interpreter is not in it. Configured as the contestant is; the clocks cost some
microseconds an event themselves.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from benchmarks.contestants import currere
from benchmarks.contestants.work import Job, answering
from learners import predict
from schemas import codec
from state.redis import RedisStore
from streams.engines import kafka, shard
from streams.engines.lanes import Lanes
from streams.engines.outbox import Outbox
from streams.message import Message

P = ParamSpec("P")
R = TypeVar("R")
PARTS: tuple[tuple[Any, str, str], ...] = (
    (shard, "decode", "decode"),
    (predict, "encode", "features"),
    (predict, "predict_arrays", "forward"),
    (codec, "encode", "encode"),
    (shard, "message", "envelope"),
    (Message, "pack", "pack"),
    (RedisStore, "read", "store"),
    (RedisStore, "commit", "store"),
    (RedisStore, "take", "store"),
    (Outbox, "send", "send"),
    (Outbox, "trim", "outbox"),
    (Outbox, "committed", "outbox"),
    (shard.ShardRunner, "process", "runner"),
    (kafka, "record_of", "records"),
    (Lanes, "feed", "records"),
    (kafka.KafkaEngine, "_poll", "poll"),
)


def run(job: Job) -> None:
    """Work until SIGTERM, then write into ``job.stages`` what was spent since SIGUSR1. Raises BrokerError."""
    stages = Stages()
    stages.watch()
    signal.signal(signal.SIGUSR1, lambda number, frame: stages.mark())
    currere.serve(job, stages.timed("answer", answering(job)))
    Path(job.stages or "stages.json").write_text(json.dumps(stages.found()))


class Stages:
    """CPU seconds by part, and of the whole process, since the last ``mark``."""

    def __init__(self) -> None:
        self._own: Counter[str] = Counter()
        self._inside = threading.local()
        self._process = time.process_time()

    def mark(self) -> None:
        """Begin anew: what came before was warming up."""
        self._own = Counter()
        self._process = time.process_time()

    def timed(self, name: str, work: Callable[P, R]) -> Callable[P, R]:
        """``work`` under the clock of the part ``name``."""

        def run(*arguments: P.args, **named: P.kwargs) -> R:
            outer = getattr(self._inside, "seconds", 0.0)
            self._inside.seconds, begun = 0.0, time.thread_time()
            try:
                return work(*arguments, **named)
            finally:
                took = time.thread_time() - begun
                self._own[name] += took - self._inside.seconds
                self._inside.seconds = outer + took

        return run

    def watch(self) -> None:
        """Put the clocks around the engine's parts, in this process, which is there for nothing else."""
        for owner, attribute, name in PARTS:
            setattr(owner, attribute, self.timed(name, getattr(owner, attribute)))

    def found(self) -> dict[str, float]:
        """CPU seconds by part; ``rest`` is what no clock has seen: Kafka's threads, the queue."""
        whole = time.process_time() - self._process
        return {**self._own, "rest": whole - sum(self._own.values()), "process": whole}

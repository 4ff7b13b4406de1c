"""A log of train requests, and a worker over it that may end at any time."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from builders import MODEL, SMALL, START_S, TENANT, classroom_log, published, records

from learners.model import served_digest, trained_digest
from learners.request import encode_request
from learners.settings import LearningSettings
from schemas import topics
from schemas.envelope import Origin
from schemas.interaction import Payload
from schemas.model import Checkpoint
from schemas.prediction import DeadLetter, ExampleInput
from schemas.training import TrainExample, TrainRequest, TrainStep
from streams.blobs import Blobs
from streams.compose import Chosen, genesis_request, step_request
from streams.engines.broker import Producer
from streams.engines.memory import ManualClock, MemoryLog
from streams.metrics import Metrics
from streams.processor import Output, message
from streams.watcher import ModelWatcher
from streams.worker import Cadence, Worker

PLACE = f"{topics.TRAIN_REQUEST.name}/0"
TIME = datetime.fromtimestamp(START_S, UTC)
SAYINGS = {"press": "why do you think so", "restating": "so you say twelve", "none": "sit down please"}
CADENCE = Cadence(delta_s=1.0, snapshot_steps=3, snapshot_s=60.0)


def example(n: int) -> TrainExample:
    """Teacher sentence number ``n``."""
    move = list(SAYINGS)[n % 3]
    seen = ExampleInput(session="lesson", role="teacher", payload=Payload(text=f"{SAYINGS[move]} word{n}"))
    return TrainExample(id=f"e{n}", interaction=f"i{n}", feedback=f"f{n}", rater="ann", input=seen,
                        labels={"move": move}, feedback_ms=1_000 + n)  # fmt: skip


def step(n: int) -> Output:
    """The request of two new examples, and of one before them."""
    new = [Chosen.of(example(2 * n)), Chosen.of(example(2 * n + 1))]
    replayed = [Chosen.of(example(2 * n - 2))] if n else []
    causes = (Origin(topics.EXAMPLE.name, 0, 2 * n), Origin(topics.EXAMPLE.name, 0, 2 * n + 1))
    return step_request(MODEL, new, replayed, [1.0] * len(replayed), n, TIME, causes)


def reset(version: str) -> Output:
    """A request to go back to ``version``."""
    manifest = TrainRequest(kind="reset", model=MODEL, seed=0, reason="test", version=version)
    return Output(topics.TRAIN_REQUEST, MODEL, f"reset-{version}", TIME, manifest, (), encode_request(manifest, {}))


def ask(log: MemoryLog, *requests: Output) -> None:
    """Write ``requests``."""
    for request in requests:
        log.append(message(request, TENANT, f"/currere/{TENANT}/curate", 0, log.partitions()))


def train_log(steps: int, clock: ManualClock | None = None, settings: LearningSettings = SMALL) -> MemoryLog:
    """A log with a genesis and ``steps`` requests."""
    log = classroom_log(clock or ManualClock())
    ask(log, genesis_request(MODEL, settings, 7), *map(step, range(steps)))
    return log


@dataclass
class Bench:
    """A log, a blob store and a clock, for one worker after the other."""

    folder: Path
    clock: ManualClock = field(default_factory=ManualClock)
    cadence: Cadence = CADENCE
    log: MemoryLog = field(init=False)
    blobs: Blobs = field(init=False)

    def __post_init__(self) -> None:
        self.log = train_log(0, self.clock)
        self.blobs = Blobs(f"file://{self.folder}")

    def worker(self, producer: Producer | None = None) -> Worker:
        """A worker that has recovered."""
        sends = producer or self.log.producer()
        return Worker(self.log, sends, self.blobs, Metrics(), self.clock, TENANT, MODEL, self.cadence, 0)

    def watcher(self) -> ModelWatcher[str]:
        """A watcher that has begun; its model is the digest that it computed itself."""
        found: ModelWatcher[str] = ModelWatcher(self.log, self.blobs, TENANT, MODEL, lambda served: served.digest())
        found.step(0.0)
        return found

    def fold(self, worker: Worker, most: int = 1_000) -> int:
        """Let ``worker`` fold at most so many more requests."""
        _, end = self.log.ends(topics.TRAIN_REQUEST.name, 0)
        begin = worker.offsets.get(PLACE, 0)
        wanted = list(self.log.read(topics.TRAIN_REQUEST.name, 0, begin, min(end, begin + most)))
        return worker.process(wanted, self.clock())

    def steps(self) -> list[TrainStep]:
        """The published steps."""
        return [e.data for e in published(self.log, topics.TRAIN_STEP) if isinstance(e.data, TrainStep)]

    def checkpoints(self) -> list[Checkpoint]:
        """The published checkpoints."""
        return [e.data for e in published(self.log, topics.CHECKPOINT) if isinstance(e.data, Checkpoint)]

    def dead(self) -> list[int]:
        """The offsets of the requests of which there is a dead letter."""
        letters = published(self.log, topics.dlq(topics.TRAIN_REQUEST))
        return [e.data.offset for e in letters if isinstance(e.data, DeadLetter)]

    def requests(self) -> int:
        """How many requests the log holds."""
        return len(records(self.log, topics.TRAIN_REQUEST))


def digests(worker: Worker) -> tuple[str, str, str]:
    """Version, served and trained digest of a worker's model."""
    assert worker.model is not None
    return worker.model.version, served_digest(worker.model), trained_digest(worker.model)


def caught_up(watcher: ModelWatcher[str]) -> str | None:
    """What ``watcher`` has after taking in all that was published."""
    for _ in range(4):  # a step takes in all that there is, or recovers
        watcher.step(0.0)
    return watcher.current.model if watcher.current else None

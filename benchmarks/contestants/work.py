"""The work that every contestant of the engine benchmark does, by the same functions, whatever brings the records.

Decode an interaction with the codec; answer it, with what a model says or with an empty prediction; write the answer to
the store in a commit that the same Lua fences by token and offsets; publish it. A contestant turns its own messages
into ``Record``, and sends what ``decided`` returns.
"""

from __future__ import annotations

import json
import pickle
import secrets
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from confluent_kafka import Producer

from schemas import codec, topics
from schemas.interaction import Interaction
from schemas.prediction import Output as Said
from schemas.prediction import Prediction
from state.pending import Context
from state.redis import RedisStore
from state.store import Commit, Put, Shard
from streams.message import Message, Record
from streams.processor import Input, Output, message
from streams.score import prediction_event, with_context

READS, WRITES = topics.INTERACTION, topics.PREDICTION
FETCH: dict[str, object] = {"fetch.wait.max.ms": 50, "queued.max.messages.kbytes": 16_384}  # as the engine's consumer
SEND: dict[str, object] = {"enable.idempotence": True, "linger.ms": 5, "compression.type": "lz4"}  # as its producer
ROLE, MODEL = "session", "bench"

Answer = Callable[[Sequence[Input]], list[Output]]


@dataclass(frozen=True, slots=True)
class Job:
    """What a contestant is told. ``model`` is a file with a pickled ``Served``, or None: nothing is scored.

    ``stages`` is the file into which ``stages`` writes where the time went.
    """

    kafka: str
    redis: str
    tenant: str
    partitions: int
    batch: int
    model: str | None = None
    stages: str | None = None

    @classmethod
    def parse(cls, text: str) -> Job:
        """The inverse of ``text``."""
        return cls(**json.loads(text))

    def text(self) -> str:
        """This job as JSON."""
        return json.dumps(asdict(self))

    @property
    def source(self) -> str:
        """The ``ce_source`` of what is published."""
        return f"/currere/{self.tenant}/{ROLE}"


def read(record: Record) -> Input:
    """The interaction that a record holds. Raises BadEvent."""
    return Input(record.origin, codec.decode(READS, record.headers, record.value), record)


def answering(job: Job) -> Answer:
    """How a batch is answered: one output an input, its value encoded. With a model, one forward pass a batch."""
    if job.model is None:
        return lambda inputs: _outputs(inputs, [{} for _ in inputs], "none:0")
    from learners.fingerprint import fix_threads
    from learners.predict import predict

    fix_threads()
    served = pickle.loads(Path(job.model).read_bytes())

    def answer(inputs: Sequence[Input]) -> list[Output]:
        seen = [with_context(_said(input_), Context()) for input_ in inputs]
        return _outputs(inputs, predict(served, seen), served.version)

    return answer


def _outputs(inputs: Sequence[Input], said: Sequence[dict[str, Said]], version: str) -> list[Output]:
    found = []
    for input_, outputs in zip(inputs, said, strict=True):
        data = Prediction(session=_said(input_).session, interaction=input_.event.id, model=MODEL, version=version,
                          outputs=outputs, importance=0.0, reasons={})  # fmt: skip
        found.append(prediction_event(input_, data, codec.encode(data)))
    return found


def _said(input_: Input) -> Interaction:
    assert isinstance(input_.event.data, Interaction)  # the codec promises it of this topic
    return input_.event.data


class Work:
    """The work of one process, on whatever partitions come. With ``outbox`` the commit also holds what is to be sent,
    as currere's does, so that a successor could send it."""

    def __init__(self, job: Job, outbox: bool = False) -> None:
        self.job, self.outbox = job, outbox
        self.store = RedisStore.connect(job.redis)
        self.answer = answering(job)
        self._counts = {WRITES.name: job.partitions}
        self._token = secrets.token_hex(16)
        self._offsets: dict[int, dict[str, int]] = {}
        self._left: dict[int, int] = {}

    def decided(self, records: Sequence[Record]) -> list[Message]:
        """What is to be sent for ``records``: of each partition decoded, answered and committed at once.

        Raises BadEvent, Refused, StoreUnavailable.
        """
        found: list[Message] = []
        by_partition: dict[int, list[Record]] = defaultdict(list)
        for record in records:
            by_partition[record.origin.partition].append(record)
        for partition, of_one in by_partition.items():
            messages = self.messages([read(record) for record in of_one])
            self.commit(partition, messages, of_one[-1].origin.offset + 1)
            found += messages
        return found

    def messages(self, inputs: Sequence[Input]) -> list[Message]:
        """The answers to ``inputs`` as they are sent."""
        job = self.job
        return [
            message(output, job.tenant, job.source, output.causes[0].partition, self._counts)
            for output in self.answer(inputs)
        ]

    def commit(self, partition: int, messages: Sequence[Message], after: int) -> None:
        """One fenced write: each answer under its id, and the next offset. Raises Refused, StoreUnavailable."""
        self.write(partition, [Put(sent.id, sent.value) for sent in messages], after, messages)

    def write(self, partition: int, writes: Sequence[Put], after: int, messages: Sequence[Message] = ()) -> None:
        """As ``commit``, where only the writes are at hand."""
        shard = Shard(self.job.tenant, ROLE, partition)
        if partition not in self._offsets:
            self._offsets[partition] = dict(self.store.take(shard, self._token).offsets)
        offsets = {f"{READS.name}/{partition}": after}
        packed = [sent.pack() for sent in messages] if self.outbox else []
        trim = self._left.get(partition, 0)  # as if all that was sent had been acknowledged
        self.store.commit(shard, self._token, self._offsets[partition], Commit(offsets, writes, packed, trim))
        self._offsets[partition], self._left[partition] = offsets, len(packed)


def send(producer: Producer, messages: Sequence[Message]) -> None:
    """Enqueue ``messages``, and wait for room where there is none."""
    for sent in messages:
        while True:
            try:
                producer.produce(sent.topic, sent.value, sent.key, sent.partition, headers=list(sent.headers))
            except BufferError:
                producer.poll(0.1)
            else:
                break
        producer.poll(0)

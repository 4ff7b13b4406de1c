"""A store as full as that of many schools: what the roles wrote of a few lessons, again and again under other names."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice

import redis

from benchmarks.overload_load import renamed
from benchmarks.scale_model import entry_bytes, outbox_bytes, table_bytes
from learners.entry import MemorySettings
from learners.settings import LearningSettings
from schemas import codec, topics
from schemas.drift import Consent
from schemas.envelope import Origin
from schemas.event import Data, Event
from schemas.feedback import Feedback, Label
from schemas.interaction import Interaction
from state.store import Commit, Put, Shard, Store
from streams.client import event, message_of
from streams.curate import Curate
from streams.message import Message, Record, partition_of
from streams.processor import Batch, Input, Processor, message
from streams.score import Predictor, Scoring
from streams.session import Session
from streams.simulated import LESSON, simulate
from streams.table import Curation

KINDS = {"c": "context", "i": "pending", "f": "feedback", "l": "labels", "x": "example", "k": "consent",
         "p": "item", "m": "index"}  # fmt: skip
SESSIONS, LEARNERS, ITEMS = ("context", "pending"), ("consent", "example"), ("item", "index")
NAMES = (b"simulated", b"feedback", b"example", b"school", b"expert")  # with which ids begin
CHUNK, SAMPLE = 1_000, 20  # writes a commit; of so many one is looked at to see how large they are
NOW = 1_800_000_000.0
TENANT = "default"


@dataclass(frozen=True, slots=True)
class Written:
    """What the roles wrote of some lessons: by kind the entries, and what was said and published as it was sent."""

    entries: Mapping[str, Sequence[Put]]
    interactions: Sequence[Message]
    feedback: Sequence[Message]
    examples: Sequence[Message]
    outbox: Sequence[bytes]


def written(seed: int, lessons: int, predictor: Predictor, partitions: int) -> Written:
    """Whatever the processors of session and curate write and publish of simulated lessons, each label once.

    Every learner has said that it may be learned from, and every example is in line or in a memory with room for all.
    """
    counts = {topic.name: partitions if topic.per_session else 1 for topic in topics.ALL}
    said, judged = heard(seed, lessons * LESSON)
    talk, words = ([message_of(one, counts) for one in events] for events in (said, judged))
    session = Session(Scoring("default", horizon_s=topics.JOIN_HORIZON_DAYS * 86_400.0), lambda: predictor)
    scored, predictions = _decided(session, [*talk, *words], counts, "session")
    examples = [sent for sent in predictions if sent.topic == topics.EXAMPLE.name]
    curate = Curate(Curation("default", LearningSettings(), MemorySettings(capacity=10**9), wait_s=0.0))
    learners = dict.fromkeys(one.data.learner for one in said if isinstance(one.data, Interaction) and one.data.learner)
    yes = [message_of(event(Consent(learner=who, granted=True), tenant=TENANT, source="/bench"), counts)
           for who in learners]  # fmt: skip
    judged_writes, _ = _decided(curate, [*yes, *examples], counts, "curate")
    entries: dict[str, list[Put]] = defaultdict(list)
    for put in (*scored, *judged_writes):
        prefix, separator, _ = put.key.partition(":")
        if separator and prefix in KINDS:
            entries[KINDS[prefix]].append(put)
    entries |= _paired(entries["item"], entries["index"])
    return Written(entries, talk, words, examples, [sent.pack() for sent in predictions])


def _paired(items: Sequence[Put], index: Sequence[Put]) -> dict[str, list[Put]]:
    """Each remembered example by its payload and its entry of the index, in one order."""
    by_id = [{put.key.partition(":")[2]: put for put in puts} for puts in (items, index)]
    both = sorted(by_id[0].keys() & by_id[1].keys())
    return {kind: [held[id_] for id_ in both] for kind, held in zip(ITEMS, by_id, strict=True)}


def heard(seed: int, interactions: int) -> tuple[list[Event[Data]], list[Event[Data]]]:
    """Simulated interactions, and of each the first label that an expert gave it."""
    said: list[Event[Data]] = []
    labels: dict[str, Event[Data]] = {}
    for one in simulate(seed, interactions):
        if isinstance(one.data, Interaction):
            said.append(one)
        elif isinstance(one.data, Feedback) and isinstance(one.data.judgement, Label):
            labels.setdefault(one.data.interaction, one)
    return said, [labels[one.id] for one in said if one.id in labels]


def _decided(
    processor: Processor, messages: Sequence[Message], counts: Mapping[str, int], role: str
) -> tuple[list[Put], list[Message]]:
    """What ``processor`` puts and publishes of ``messages``, all in one batch."""
    inputs = [_input(one, offset) for offset, one in enumerate(messages)]
    plan = processor.run(Batch(inputs, NOW, 0), {})
    puts = [write for write in plan.writes if isinstance(write, Put)]
    return puts, [message(output, TENANT, f"/currere/{TENANT}/{role}", 0, counts) for output in plan.outputs]


def _input(sent: Message, offset: int) -> Input:
    origin = Origin(sent.topic, sent.partition, offset)
    record = Record(origin, sent.key, sent.value, sent.headers, int(NOW * 1000))
    return Input(origin, codec.decode(topics.BY_NAME[sent.topic], sent.headers, sent.value), record)


def endless(puts: Sequence[Put], now: float) -> Iterator[Put]:
    """``puts`` again and again, each time of other schools, experts and sessions; due when those of ``now`` are."""
    for turn in count(1):
        names = [(name + b"-", b"%b%d-" % (name, turn)) for name in NAMES]
        for put in puts:
            key = renamed(put.key.encode(), names).decode()
            yield Put(key, renamed(put.value, names), None if put.due is None else put.due - NOW + now)


def repeated(messages: Sequence[Message], most: int, partitions: int) -> Iterator[Message]:
    """The first ``most`` of ``messages`` again and again, each time of other sessions, on their keys' partitions."""
    for number in range(most):
        turn, at = divmod(number, len(messages))
        sent = messages[at]
        names = [(name + b"-", b"%b-x%d-" % (name, turn)) for name in NAMES[:3]]
        key = renamed(sent.key, names)
        headers = tuple((name, renamed(content, names)) for name, content in sent.headers)
        yield replace(sent, partition=partition_of(key, partitions), key=key, value=renamed(sent.value, names),
                      headers=headers)  # fmt: skip


def fill(store: Store, shards: Sequence[Shard], puts: Iterator[Put], entries: int) -> list[Put]:
    """Commit ``entries`` of ``puts``, as many to each of ``shards``, as an owner would; returns one in ``SAMPLE``.

    Raises StoreUnavailable.
    """
    sample: list[Put] = []
    for number, shard in enumerate(shards):
        token = secrets.token_hex(16)
        offsets = store.take(shard, token).offsets
        left = entries * (number + 1) // len(shards) - entries * number // len(shards)
        while chunk := list(islice(puts, min(left, CHUNK))):
            store.commit(shard, token, offsets, Commit(offsets, chunk))
            left -= len(chunk)
            sample += chunk[::SAMPLE]
    return sample


def expected(puts: Sequence[Put], entries: int, shards: int, before: Sequence[int] = (0, 0)) -> float:
    """The bytes that ``entries`` like ``puts`` should take in the store, spread over ``shards`` that held ``before``
    in all: entries, and those of them that expire."""
    each = sum(entry_bytes(len(put.key.encode()), len(put.value), timed=put.due is not None) for put in puts)
    tables = 0
    for held in before[: 1 if puts[0].due is None else 2]:
        tables += table_bytes((held + entries) // shards) - (table_bytes(held // shards) if held else 0)
    return entries * each / len(puts) + shards * tables


def fill_outbox(store: Store, shard: Shard, packed: Sequence[bytes]) -> float:
    """Put records into a shard's outbox; returns the bytes that they should take. Raises StoreUnavailable."""
    token = secrets.token_hex(16)
    offsets = store.take(shard, token).offsets
    store.commit(shard, token, offsets, Commit(offsets, outbox=packed))
    return outbox_bytes(map(len, packed))


def used_memory(url: str) -> int:
    """Bytes that the server's data takes: ``used_memory`` of INFO."""
    with redis.Redis.from_url(url) as client:
        found: int = client.info("memory")["used_memory"]
        return found

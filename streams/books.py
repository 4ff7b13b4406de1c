"""The accounts of an audit: each record of each topic entered once, causes before their outcomes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from schemas import codec, topics
from schemas.envelope import Origin
from schemas.errors import BadEvent
from schemas.topics import Topic
from streams.chain import Chain, follow
from streams.engines.broker import Broker
from streams.hearing import Heard, pairs
from streams.ledger import (
    NONE,
    Attributes,
    Ends,
    Findings,
    Ledger,
    Once,
    attributes,
    ends_of,
    hashed,
    read_all,
    readable,
)
from streams.message import Record

EXAMPLE = topics.EXAMPLE.name
DECIDED = (topics.INTERACTION, topics.FEEDBACK, topics.EXAMPLE, topics.TRAIN_REQUEST)  # each record has an outcome


@dataclass(slots=True)
class FoldedIds:
    """Which examples the fold takes: the first record of a request's id, and of an example's id in a lineage."""

    seen: set[int] = field(default_factory=set)

    def fresh(self, kind: str, request: int, new: Sequence[int]) -> list[int]:
        """Those of ``new`` that this request makes the model learn from."""
        if request in self.seen:
            return []
        if kind == "genesis":
            self.seen = set()
        found = [id_ for id_ in dict.fromkeys(new) if id_ not in self.seen]
        self.seen.update((request, *new))
        return [] if kind == "probe" else found  # what is set aside is never learned from


class Books:
    """The accounts of one model: read whole when built.

    ``since`` says, by topic/partition, at which offsets this tenant's roles began; by default at the beginning. Ends of
    inputs are taken before those of outcomes, so that no outcome of an input in view is missed.
    """

    def __init__(self, broker: Broker, tenant: str, model: str, since: Mapping[str, int] | None = None) -> None:
        self.broker, self.tenant, self.model, self.source = broker, tenant, model, f"/currere/{tenant}/"
        self.since = since or {}
        others = tuple(topic for topic in topics.ALL if topic not in DECIDED)
        self.ends: dict[str, Ends] = ends_of(broker, [t.name for t in (*DECIDED, *others)], self.since)
        self.ledgers = {topic.name: Ledger(topic.name, self.ends[topic.name]) for topic in DECIDED}
        self.once: dict[str, Once] = defaultdict(Once)
        self.findings = Findings()
        self.dead_letters: Counter[str] = Counter()
        self.fates: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.requests: dict[int, int] = {}  # by id, the offset of its first record
        self.dead_requests: set[int] = set()
        self.replayed: Counter[str] = Counter()  # by task/class, what requests repeated
        self.fed_ms = {p: np.zeros(max(end - start, 0), np.int64) for p, (start, end) in self.ends[EXAMPLE].items()}
        self.heard = Heard()
        self._examples: dict[int, Origin] = {}  # by id, where its first record stands
        self._knew: dict[int, int] = {}  # by id, the next offset of the model that predicted
        self._fresh: dict[int, list[int]] = {}  # by a request's offset, what the fold takes of it
        self._folded = FoldedIds()
        self._last_applied = -1

        self._read()
        self.chain = self._chain()

    def _read(self) -> None:
        for topic in (topics.INTERACTION, topics.FEEDBACK):
            for record in self.all(topic):
                self.ledgers[topic.name].came(record)
        for record in self.all(topics.PREDICTION):
            self._outcome(record, attributes(record))
        for record in self.all(topics.DRIFT):
            if self._first(record, attributes(record)) and (data := readable(record.value)).get("model") == self.model:
                self.heard.drift(data)
        for record in self.all(topics.EXAMPLE):
            self._example(record)
        for topic in (topics.FATE, *topics.DEAD_LETTERS):
            for record in self.all(topic):
                self._bad_end(topic, record)
        for record in self.all(topics.TRAIN_REQUEST):
            self._request(record)
        for record in self.all(topics.TRAIN_STEP):
            self._step(record)

    def resent(self) -> int:
        """Records that repeat one under the same id."""
        return sum(once.resent for once in self.once.values()) + self.chain.resent

    def all(self, topic: Topic) -> Iterator[Record]:
        """The tenant's records of ``topic`` that are in view."""
        return read_all(self.broker, topic.name, self.ends[topic.name], self.tenant)

    def _first(self, record: Record, said: Attributes) -> bool:
        """Whether this is the first record of its id from one of our roles; one with other content is a finding."""
        if not said.source.startswith(self.source):
            self.findings.add("foreign", record.origin, f"{said.id!r} was written by {said.source!r}, which is no role")
            return False
        once, topic = self.once[record.origin.topic], record.origin.topic
        id_ = (said.id, said.causes) if topic == topics.TRAIN_STEP.name else (said.id,)
        found = once.take(hashed(*id_), hashed(said.causes, record.value or b""))
        if found == "conflict":
            self.findings.add("two-contents", record.origin, f"{said.id} came before with other content")
        if found == "new":
            self.counts[topic] += 1
        return found == "new"

    def _outcome(self, record: Record, said: Attributes) -> bool:
        """Enter an outcome; whether it is one, and the first of its id."""
        if not self._first(record, said):
            return False
        for origin in said.origins:
            ledger = self.ledgers.get(origin.topic)
            if ledger is not None:
                self._decide(ledger, origin, record, said)
        return True

    def _decide(self, ledger: Ledger, origin: Origin, record: Record, said: Attributes) -> None:
        outcome, what = hashed(said.id), f"{record.origin.topic} {said.id}"
        before = ledger.decide(origin, outcome, record.timestamp_ms)
        if before in (NONE, outcome):
            return
        if before in self.requests and outcome in self.requests:
            self.findings.add("repeated-example", origin, f"is in a second request, {what}; the fold passes it over")
        else:
            self.findings.add("two-outcomes", origin, f"has a second outcome: {what}")

    def _example(self, record: Record) -> None:
        ledger, said = self.ledgers[topics.EXAMPLE.name], attributes(record)
        ledger.came(record)
        known = hashed(said.id) in self._examples
        if not self._outcome(record, said):
            if known:
                ledger.excuse(record.origin)  # a repetition; curate gives it a fate or a dead letter if it sees it
            return
        id_, data = hashed(said.id), readable(record.value)
        self._examples[id_], self._knew[id_] = record.origin, next_offset(data.get("predicted_by"))
        if data.get("kind") in ("judgement", "retraction"):
            ledger.excuse(record.origin)
        if data.get("kind") == "label":
            fed = (self.ledgers[topics.FEEDBACK.name].arrived_ms(origin) for origin in said.origins)
            start, _ = self.ends[EXAMPLE][record.origin.partition]
            self.fed_ms[record.origin.partition][record.origin.offset - start] = next(fed, None) or 0
        if data.get("kind") == "label" and data.get("model") == self.model:
            self.heard.example(id_, data)

    def _bad_end(self, topic: Topic, record: Record) -> None:
        if self._outcome(record, attributes(record)):
            data = readable(record.value)
            if topic is topics.FATE:
                self.fates[str(data.get("fate"))] += 1
            else:
                self.dead_letters[str(data.get("reason"))] += 1

    def _request(self, record: Record) -> None:
        ledger, said = self.ledgers[topics.TRAIN_REQUEST.name], attributes(record)
        manifest = manifest_of(record)
        if manifest.get("model", self.model) != self.model:
            return
        ledger.came(record)
        request, first = hashed(said.id), self._first(record, said)
        if request in self.requests:
            ledger.excuse(record.origin)  # a repetition; the fold passes it over, with a step or without
        ids = {id_: str(one["id"]) for id_, one in examples_in(manifest, "new").items()}
        if first:
            self.requests[request] = record.origin.offset
            self._place(record, said, ids)
            for one in examples_in(manifest, "replayed").values():
                self.replayed.update(f"{task}/{value}" for task, value in pairs(one.get("labels")))
        if ledger.outcome(record.origin) != NONE:
            self.dead_requests.add(request)
            return  # a dead letter changes nothing
        self._fresh[record.origin.offset] = self._folded.fresh(str(manifest.get("kind")), request, list(ids))

    def _place(self, record: Record, said: Attributes, ids: dict[int, str]) -> None:
        """Each new example of a request has its place there."""
        ledger, placed = self.ledgers[topics.EXAMPLE.name], set()
        for id_, name in ids.items():
            origin = self._examples.get(id_)
            if origin is None:
                if not self.cut(topics.EXAMPLE):
                    self.findings.add("unfounded", record.origin, f"{name} is no record of {topics.EXAMPLE.name}")
                continue
            placed.add(origin)
            self._decide(ledger, origin, record, said)
            if self._knew[id_] > record.origin.offset:
                self.findings.add("peeked", origin, f"was predicted by a model that had learned {name}")
        if len(placed) == len(ids) and placed != set(said.origins):
            self.findings.add("causes", record.origin, "its causes are not the records of its new examples")

    def _step(self, record: Record) -> None:
        said, data = attributes(record), readable(record.value)
        if data.get("model", self.model) != self.model or not self._outcome(record, said):
            return
        for origin in (origin for origin in said.origins if origin.topic == topics.TRAIN_REQUEST.name):
            fresh = set(self._fresh.get(origin.offset, ()))
            listed = data.get("new") if data.get("applied") else None
            taken = {hashed(id_): id_ for id_ in listed if isinstance(id_, str)} if isinstance(listed, list) else {}
            for id_ in taken.keys() - fresh:
                self.findings.add(
                    "applied-twice", record.origin, f"{taken[id_]} was learned from before, or is not new"
                )
            for _ in fresh - taken.keys():
                self.findings.add("not-applied", record.origin, f"the step left out a new example of {origin}")
            if data.get("applied"):
                self._last_applied = max(self._last_applied, origin.offset)

    def _chain(self) -> Chain:
        return follow(self.all(topics.CHECKPOINT), self.all(topics.DELTA), self.model, self.findings)

    def cut(self, topic: Topic) -> list[int]:
        """The partitions of ``topic`` whose beginning retention has taken."""
        ends = self.ends[topic.name].items()
        return [place for place, (start, _) in ends if start > self.since.get(f"{topic.name}/{place}", 0)]

    def unpublished(self) -> bool:
        """Whether the last step taken is in no delta and no checkpoint."""
        newest = self.chain.newest
        return self._last_applied >= (newest.last if newest else 0)


def manifest_of(record: Record) -> dict[str, Any]:
    """The manifest of a bulk record; empty if it has none."""
    try:
        return readable(codec.manifest(record.value))
    except BadEvent:
        return {}


def examples_in(manifest: Mapping[str, Any], name: str) -> dict[int, Mapping[str, Any]]:
    """The examples of a request's list by the hash of their id, each once."""
    listed = manifest.get(name)
    whole = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    return {hashed(one["id"]): one for one in whole if isinstance(one.get("id"), str)}


def next_offset(version: object) -> int:
    """The next offset in a version ``lineage:next-offset``; 0 for the model before any."""
    _, _, offset = str(version).rpartition(":")
    return int(offset) if offset.isdecimal() and len(offset) < 20 else 0

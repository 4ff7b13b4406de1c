"""The accounts of an audit: each record of each topic entered once, causes before their outcomes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

import numpy as np

from schemas import topics
from schemas.envelope import Origin
from schemas.topics import Topic
from streams.chain import Chain, follow
from streams.engines.broker import Broker
from streams.hearing import Heard
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
from streams.quotes import Quotes
from streams.requested import Requested, manifest_of, next_offset

EXAMPLE = topics.EXAMPLE.name
DECIDED = (topics.INTERACTION, topics.FEEDBACK, topics.EXAMPLE, topics.TRAIN_REQUEST)  # each record has an outcome


class Books:
    """The accounts of one model: read whole when built.

    ``since`` says, by topic/partition, at which offsets this tenant's roles began; by default at the beginning. Ends of
    inputs are taken before those of outcomes, so that no outcome of an input in view is missed. ``ahead`` are outcomes
    of inputs that came later than that, ``remembered_since_ms`` is since when the log holds all outcomes (epoch
    milliseconds): before it, retention has taken some.
    """

    def __init__(self, broker: Broker, tenant: str, model: str, since: Mapping[str, int] | None = None) -> None:
        self.broker, self.tenant, self.model, self.source = broker, tenant, model, f"/currere/{tenant}/"
        self.since = since or {}
        others = tuple(topic for topic in topics.ALL if topic not in DECIDED)
        self.ends: dict[str, Ends] = ends_of(broker, [t.name for t in (*DECIDED, *others)], self.since)
        self.ledgers = {topic.name: Ledger(topic.name, self.ends[topic.name]) for topic in DECIDED}
        self.once: dict[str, Once] = defaultdict(Once)
        self.findings, self.ahead = Findings(), Findings()
        self.dead_letters: Counter[str] = Counter()
        self.fates: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.latest_ms: dict[str, int] = defaultdict(int)  # by topic, when the log received the newest record of a role
        self.fed_ms = {p: np.zeros(max(end - start, 0), np.int64) for p, (start, end) in self.ends[EXAMPLE].items()}
        self.heard = Heard()
        self.quotes = Quotes()
        self.requested = Requested(self.findings, self.ahead, self.quotes, not self.cut(topics.EXAMPLE), self._decide)

        self.remembered_since_ms = self._remembered_since()
        self._read()
        self.chain = self._chain()

    def _read(self) -> None:
        for topic in (topics.INTERACTION, topics.FEEDBACK):
            for record in self.all(topic):
                self.ledgers[topic.name].came(record)
                if topic is topics.FEEDBACK:
                    self.quotes.feedback(attributes(record).id, record.value)
        for record in self.all(topics.PREDICTION):
            if self._outcome(record, attributes(record)):
                self.quotes.prediction(record.value)
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

    def later(self, topic: Topic) -> Iterator[Record]:
        """The tenant's records of ``topic`` that came after the view was taken, up to now."""
        ends = self.ends[topic.name].items()
        since = {place: (end, self.broker.ends(topic.name, place)[1]) for place, (_, end) in ends}
        return read_all(self.broker, topic.name, since, self.tenant)

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
            self.latest_ms[topic] = max(self.latest_ms[topic], record.timestamp_ms)
        return found == "new"

    def _outcome(self, record: Record, said: Attributes) -> bool:
        """Enter an outcome; whether it is one, and the first of its id."""
        if not self._first(record, said):
            return False
        if not said.origins:
            self.findings.add("unfounded", record.origin, f"{said.id} is the outcome of nothing")
        for origin in said.origins:
            ledger = self.ledgers.get(origin.topic)
            if ledger is not None:
                if ledger.lacks(origin):
                    here = self.ahead if ledger.is_ahead(origin) else self.findings
                    here.add("unfounded", record.origin, f"{said.id} is the outcome of {origin}, which never was")
                self._decide(ledger, origin, record, said)
        return True

    def _decide(self, ledger: Ledger, origin: Origin, record: Record, said: Attributes) -> None:
        outcome, what = hashed(said.id), f"{record.origin.topic} {said.id}"
        before = ledger.decide(origin, outcome, record.timestamp_ms)
        if before in (NONE, outcome):
            return
        if before in self.requested.requests and outcome in self.requested.requests:
            self.findings.add("repeated-example", origin, f"is in a second request, {what}; the fold passes it over")
        else:
            self.findings.add("two-outcomes", origin, f"has a second outcome: {what}")

    def _example(self, record: Record) -> None:
        ledger, said = self.ledgers[topics.EXAMPLE.name], attributes(record)
        ledger.came(record)
        known = hashed(said.id) in self.requested.examples
        if not self._outcome(record, said):
            if known:
                ledger.excuse(record.origin)  # a repetition; curate gives it a fate or a dead letter if it sees it
            return
        id_, data = hashed(said.id), readable(record.value)
        self.requested.examples[id_], self.requested.knew[id_] = record.origin, next_offset(data.get("predicted_by"))
        if (wrong := self.quotes.example(id_, data)) is not None:
            self.findings.add("misquoted", record.origin, f"{said.id} quotes {wrong}")
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
        manifest = manifest_of(record)
        if manifest.get("model", self.model) == self.model:
            self.ledgers[topics.TRAIN_REQUEST.name].came(record)
            said = attributes(record)
            first = self._first(record, said)
            self.requested.request(record, said, manifest, self.ledgers, first)

    def _step(self, record: Record) -> None:
        said, data = attributes(record), readable(record.value)
        if data.get("model", self.model) == self.model and self._outcome(record, said):
            self.requested.step(record, said, data, self.ledgers[topics.TRAIN_REQUEST.name])

    def _chain(self) -> Chain:
        return follow(self.all(topics.CHECKPOINT), self.all(topics.DELTA), self.model, self.findings)

    def cut(self, topic: Topic) -> list[int]:
        """The partitions of ``topic`` whose beginning retention has taken."""
        ends = self.ends[topic.name].items()
        return [place for place, (start, _) in ends if start > self.since.get(f"{topic.name}/{place}", 0)]

    def _remembered_since(self) -> float:
        first = [-1.0]
        for topic in (topics.FATE, *topics.DEAD_LETTERS, topics.PREDICTION, topics.EXAMPLE, topics.TRAIN_STEP):
            for place in self.cut(topic):
                held = self.broker.read(topic.name, place, *self.ends[topic.name][place])
                first.append(next((float(record.timestamp_ms) for record in held), float("inf")))
        return max(first)

    def unpublished(self) -> bool:
        """Whether the last step taken is in no delta and no checkpoint."""
        newest = self.chain.newest
        return self.requested.last_applied >= (newest.last if newest else 0)

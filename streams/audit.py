"""Proof from topics, store and blobs: nothing was lost, nothing counted twice, and each model is what its log says.

The audit shares no code and no counter with the roles, beyond schemas and ``learners.fold``: it reads what they read
and what they wrote, and asks of every input what became of it. Memory holds a few hashes an event, never the events.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import asdict
from math import inf

from schemas import topics
from schemas.envelope import Origin
from schemas.topics import Topic
from streams.books import Books
from streams.engines.broker import Broker
from streams.hearing import pairs
from streams.ledger import NONE, Ledger, attributes, hashed, readable
from streams.stock import Holding, Stock
from streams.verdict import DUPLICATED, FAULTS, LOST, Audit, Proven

__all__ = ["Audit", "audit", "audit_of"]

IN_LINE_MS = 600_000
HORIZON_S = topics.JOIN_HORIZON_DAYS * 86_400.0
VIEW_MS = 10_000  # the ends of partitions are read one after the other: the view is of no single moment
OUTCOME = {  # where most outcomes of an input are; its bad ends are read later, so they may be further
    topics.INTERACTION.name: topics.PREDICTION.name,
    topics.FEEDBACK.name: topics.EXAMPLE.name,
    topics.TRAIN_REQUEST.name: topics.TRAIN_STEP.name,
}
Fetch = Callable[[str], bytes | None]
OnProgress = Callable[[int, int], None]


def audit(
    broker: Broker,
    tenant: str,
    model: str,
    *,
    since: Mapping[str, int] | None = None,
    at_rest: bool = True,
    holdings: Iterable[Holding] | None = None,
    fetch: Fetch | None = None,
    on_progress: OnProgress = lambda done, all: None,
    horizon_s: float = HORIZON_S,
) -> Audit:
    """Read every topic of a tenant's ``model`` and account for each record.

    ``since``: the offsets, by topic/partition, at which the tenant's roles began; by default the beginning.
    ``at_rest``: all roles have done their work, so that whatever has no outcome is lost; otherwise the tails may still
    be ``pending``. ``holdings``: what the store holds (``state.inventory``), to be held against the topics, too.
    ``fetch`` gives a blob by its URI, None if there is none: then every snapshot is opened, every delta applied and
    every request folded again (``streams.proof``), under the caller's fingerprint; ``on_progress`` is told how many
    requests of how many. ``horizon_s`` is the roles' join horizon: feedback that comes later waits. Memory: a few
    hundred bytes an event, and with ``fetch`` a few models.

    Raises:
        BrokerError: the log does not answer.
    """
    books = Books(broker, tenant, model, since)
    return audit_of(
        books, at_rest=at_rest, holdings=holdings, fetch=fetch, on_progress=on_progress, horizon_s=horizon_s
    )


def audit_of(
    books: Books,
    *,
    at_rest: bool = True,
    holdings: Iterable[Holding] | None = None,
    fetch: Fetch | None = None,
    on_progress: OnProgress = lambda done, all: None,
    horizon_s: float = HORIZON_S,
) -> Audit:
    """The same from books already read."""
    stock = Stock(books, books.findings, at_rest)
    if holdings is not None:
        stock.examine(holdings)
    proven = Proven()
    if fetch is not None:
        from streams.proof import prove  # here, so that who only counts need not import torch

        proven = prove(books, fetch, on_progress)
    open_ = _Open(books, at_rest, stock.waiting if stock.read else None, horizon_s)
    for topic in (topics.INTERACTION, topics.FEEDBACK, topics.EXAMPLE, topics.TRAIN_REQUEST):
        open_.close(topic)
    if at_rest and books.unpublished():
        books.findings.add("unpublished", topics.TRAIN_STEP.name, "the last steps are in no delta and no checkpoint")
    if at_rest:
        books.findings.include(books.ahead)
    return _balance(books, open_, stock, proven)


class _Open:
    """The inputs without an outcome: lost, or excused by where they stand. ``remembered`` is what the store says that
    waits, if it was asked."""

    def __init__(self, books: Books, at_rest: bool, remembered: Container[str] | None, horizon_s: float) -> None:
        self.books, self.at_rest, self.remembered, self.horizon_s = books, at_rest, remembered, horizon_s
        self.pending = self.waiting = self.forgotten = 0

    def close(self, topic: Topic) -> None:
        """Decide about the open inputs of ``topic``."""
        ledger = self.books.ledgers[topic.name]
        left = list(ledger.undecided())
        if not left:
            return
        cutoff = self.books.remembered_since_ms
        waits = awaiting(self.books, left, self.horizon_s) if topic is topics.FEEDBACK else {}
        tails = {} if self.at_rest else {p: self._tail(ledger, p) for p in ledger.columns}
        for origin in left:
            if not self.at_rest and (origin.offset > tails[origin.partition] or waits.get(origin) is False):
                self.pending += 1
            elif waits.get(origin):
                self.waiting += 1
                if self.at_rest and self.remembered is not None and str(origin) not in self.remembered:
                    self.books.findings.add("lost", origin, "waits for what it judges, and the store does not know")
            elif (ledger.arrived_ms(origin) or 0) <= cutoff:
                self.forgotten += 1
            else:
                self.books.findings.add("lost", origin, "has no outcome")

    def _tail(self, ledger: Ledger, partition: int) -> int:
        """The offset behind which an input may still be at work: the last whose outcome came well before the view of
        such outcomes ends. Examples leave their line out of turn, so that no learner fills a request; ten minutes
        before the last that came, none is still in it."""
        if ledger.topic != topics.EXAMPLE.name:
            return ledger.last_decided(partition, self.books.latest_ms[OUTCOME[ledger.topic]] - VIEW_MS)
        last = ledger.arrived_ms(Origin(ledger.topic, partition, ledger.last_came(partition))) or 0
        return ledger.last_before(partition, last - IN_LINE_MS)


def awaiting(books: Books, left: Iterable[Origin], horizon_s: float = HORIZON_S) -> dict[Origin, bool]:
    """Of feedback without an outcome: whether what it judges has not come, waits itself, or came more than
    ``horizon_s`` before it: that is forgotten, and to the role as if it had not come."""
    wanted: dict[Origin, set[int]] = {}
    among = set(left)
    for record in books.all(topics.FEEDBACK):
        if record.origin in among:
            data = readable(record.value)
            judgement = dict(pairs(data.get("judgement")))
            wanted[record.origin] = {hashed(topics.INTERACTION.name, str(data.get("interaction")))}
            if judgement.get("kind") == "retraction":
                wanted[record.origin].add(hashed(topics.FEEDBACK.name, str(judgement.get("feedback"))))
    sought: set[int] = set().union(*wanted.values())
    decided_ms: dict[int, int] = {}
    for record in books.all(topics.PREDICTION):
        id_ = hashed(topics.INTERACTION.name, str(readable(record.value).get("interaction")))
        if id_ in sought:
            came = (books.ledgers[topics.INTERACTION.name].arrived_ms(origin) for origin in attributes(record).origins)
            decided_ms[id_] = next((ms for ms in came if ms is not None), record.timestamp_ms)
    for record in books.all(topics.FEEDBACK):
        id_ = hashed(topics.FEEDBACK.name, attributes(record).id)
        if id_ in sought and books.ledgers[topics.FEEDBACK.name].outcome(record.origin) != NONE:
            decided_ms[id_] = record.timestamp_ms
    ledger = books.ledgers[topics.FEEDBACK.name]
    since = {origin: (ledger.arrived_ms(origin) or 0) - 1000 * horizon_s for origin in wanted}
    return {origin: any(decided_ms.get(id_, -inf) < since[origin] for id_ in ids) for origin, ids in wanted.items()}


def _balance(books: Books, open_: _Open, stock: Stock, proven: Proven) -> Audit:
    counts, found, newest = books.counts, books.findings.counts, books.chain.newest
    return Audit(
        tenant=books.tenant,
        model=books.model,
        events=books.ledgers[topics.INTERACTION.name].records,
        feedback=books.ledgers[topics.FEEDBACK.name].records,
        predictions=counts[topics.PREDICTION.name],
        examples=books.ledgers[topics.EXAMPLE.name].records,
        requests=counts[topics.TRAIN_REQUEST.name],
        steps=counts[topics.TRAIN_STEP.name],
        deltas=books.chain.deltas,
        checkpoints=books.chain.checkpoints,
        drifts=counts[topics.DRIFT.name],
        dead_letters=dict(books.dead_letters),
        fates=dict(books.fates),
        lost=sum(found[kind] for kind in LOST),
        duplicated=sum(found[kind] for kind in DUPLICATED),
        peeked=found["peeked"],
        faults=sum(found[kind] for kind in FAULTS),
        pending=open_.pending,
        waiting=open_.waiting,
        forgotten=open_.forgotten,
        resent=books.resent(),
        repeated_examples=found["repeated-example"],
        version=f"{newest.name}:{newest.last}" if newest else None,
        digest=newest.digests[newest.last] if newest and newest.digests else None,
        findings=tuple(books.findings.shown),
        shards=stock.read,
        values=stock.values,
        unsent=stock.unsent,
        unnamed=sum(books.ledgers[t.name].unnamed for t in (topics.INTERACTION, topics.FEEDBACK, topics.EXAMPLE)),
        **asdict(proven),
    )

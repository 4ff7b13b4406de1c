"""Proof from the topics alone that nothing was lost and nothing counted twice.

The audit shares no code and no counter with the roles: it reads what they read and what they wrote, and asks of every
input what became of it. Memory holds a few hashes an event, never the events.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from schemas import topics
from schemas.envelope import Origin
from schemas.topics import Topic
from streams.books import Books
from streams.engines.broker import Broker
from streams.hearing import pairs
from streams.ledger import NONE, Finding, attributes, hashed, readable

LOST = ("lost", "not-applied")
DUPLICATED = ("two-outcomes", "two-contents", "applied-twice")
FAULTS = (
    "gap", "no-checkpoint", "torn-delta", "digest", "unpublished", "unreadable", "unfounded", "causes",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Audit:
    """What the topics of one model say of themselves.

    ``events`` are interactions. ``events``, ``feedback`` and ``examples`` count records as they stand in the log;
    ``predictions``, ``requests``, ``steps``, fates and dead letters count once an id.

    ``lost`` inputs have no outcome, ``pending`` ones not yet, ``waiting`` feedback has not met what it judges, and of
    ``forgotten`` ones retention may have taken the outcome. ``duplicated`` counts inputs with two outcomes, ids with
    two contents and examples learned from twice; ``resent`` identical records under one id, which count once.
    ``repeated_examples`` stand in a second request, where the fold passes them over. ``peeked`` counts labels whose
    prediction was made by a model that had already learned from them. ``faults`` are of what consumers follow.
    """

    tenant: str
    model: str
    events: int
    feedback: int
    predictions: int
    examples: int
    requests: int
    steps: int
    deltas: int
    checkpoints: int
    drifts: int
    dead_letters: Mapping[str, int]
    fates: Mapping[str, int]
    lost: int
    duplicated: int
    peeked: int
    faults: int
    pending: int
    waiting: int
    forgotten: int
    resent: int
    repeated_examples: int
    version: str | None
    digest: str | None
    findings: tuple[Finding, ...] = ()

    @property
    def ok(self) -> bool:
        """Nothing lost, nothing twice, no prediction that knew its label, and consumers can follow to the end."""
        return not (self.lost or self.duplicated or self.peeked or self.faults)

    @property
    def inputs(self) -> int:
        """How many records a role had to decide."""
        return self.events + self.feedback + self.examples + self.requests

    @property
    def verdict(self) -> str:
        """One sentence for a person."""
        open_ = self.pending + self.waiting + self.forgotten
        states = {"still at work": self.pending, "wait for what they judge": self.waiting,
                  "were decided before the log's memory begins": self.forgotten}  # fmt: skip
        rest = "".join(f", {n:,} {what}" for what, n in states.items() if n)
        if self.ok:
            whole = f"each of {self.inputs - open_:,} inputs has its one outcome"
            return f"Nothing was lost and nothing counted twice: {whole}{rest}."
        wrong = {"lost": self.lost, "counted twice": self.duplicated, "faults in what consumers follow": self.faults,
                 "predicted by a model that knew the label": self.peeked}  # fmt: skip
        return ", ".join(f"{n:,} {what}" for what, n in wrong.items() if n) + f" of {self.inputs:,} inputs{rest}."

    def to_dict(self) -> dict[str, Any]:
        """These fields as JSON has them, with ``ok`` and ``verdict``."""
        return {
            **asdict(self),
            "findings": [f._asdict() for f in self.findings],
            "ok": self.ok,
            "verdict": self.verdict,
        }


def audit(
    broker: Broker, tenant: str, model: str, *, since: Mapping[str, int] | None = None, at_rest: bool = True
) -> Audit:
    """Read every topic of a tenant's ``model`` and account for each record.

    ``since``: the offsets, by topic/partition, at which the tenant's roles began; by default the beginning.
    ``at_rest``: all roles have done their work, so that whatever has no outcome is lost; otherwise the tails may still
    be ``pending``. Memory: a few hundred bytes an event.

    Raises:
        BrokerError: the log does not answer.
    """
    return audit_of(Books(broker, tenant, model, since), at_rest=at_rest)


def audit_of(books: Books, *, at_rest: bool = True) -> Audit:
    """The same from books already read."""
    open_ = _Open(books, at_rest)
    for topic in (topics.INTERACTION, topics.FEEDBACK, topics.EXAMPLE, topics.TRAIN_REQUEST):
        open_.close(topic)
    if at_rest and books.unpublished():
        books.findings.add("unpublished", topics.TRAIN_STEP.name, "the last steps are in no delta and no checkpoint")
    return _balance(books, open_)


class _Open:
    """The inputs without an outcome: lost, or excused by where they stand."""

    def __init__(self, books: Books, at_rest: bool) -> None:
        self.books, self.at_rest = books, at_rest
        self.pending = self.waiting = self.forgotten = 0

    def close(self, topic: Topic) -> None:
        """Decide about the open inputs of ``topic``."""
        ledger = self.books.ledgers[topic.name]
        left = list(ledger.undecided())
        if not left:
            return
        cutoff = self._remembered_since()
        waits = awaiting(self.books, left) if topic is topics.FEEDBACK else {}
        among = self.books.requests.keys() if topic is topics.EXAMPLE else None
        tails = {} if self.at_rest else {p: ledger.last_decided(p, among) for p in ledger.columns}
        for origin in left:
            if not self.at_rest and (origin.offset > tails[origin.partition] or waits.get(origin) is False):
                self.pending += 1
            elif waits.get(origin):
                self.waiting += 1
            elif (ledger.arrived_ms(origin) or 0) <= cutoff:
                self.forgotten += 1
            else:
                self.books.findings.add("lost", origin, "has no outcome")

    def _remembered_since(self) -> float:
        """Since when the log holds all outcomes, epoch milliseconds: before it, retention has taken some."""
        first = [-1.0]
        for topic in (topics.FATE, *topics.DEAD_LETTERS, topics.PREDICTION, topics.EXAMPLE, topics.TRAIN_STEP):
            for place in self.books.cut(topic):
                held = self.books.broker.read(topic.name, place, *self.books.ends[topic.name][place])
                first.append(next((float(record.timestamp_ms) for record in held), float("inf")))
        return max(first)


def awaiting(books: Books, left: Iterable[Origin]) -> dict[Origin, bool]:
    """Of feedback without an outcome: whether what it judges has not come, or waits itself."""
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
    decided = {
        hashed(topics.INTERACTION.name, str(readable(r.value).get("interaction"))) for r in books.all(topics.PREDICTION)
    }
    for record in books.all(topics.FEEDBACK):
        id_ = hashed(topics.FEEDBACK.name, attributes(record).id)
        if id_ in sought and books.ledgers[topics.FEEDBACK.name].outcome(record.origin) != NONE:
            decided.add(id_)
    return {origin: not ids <= decided for origin, ids in wanted.items()}


def _balance(books: Books, open_: _Open) -> Audit:
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
    )

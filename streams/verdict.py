"""What an audit comes to: counts, findings, and one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from streams.ledger import Finding

LOST = ("lost", "not-applied", "overtaken")
DUPLICATED = ("two-outcomes", "two-contents", "applied-twice")
FAULTS = (
    "gap", "no-checkpoint", "torn-delta", "digest", "unpublished", "unreadable", "unfounded", "causes", "misplaced",
    "misquoted", "store-offset", "store-outbox", "store-state", "blob", "delta", "fold",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Proven:
    """What became of snapshots and versions; see ``streams.proof``."""

    snapshots: int = 0
    snapshots_gone: int = 0
    proven: int = 0
    unproven: int = 0


@dataclass(frozen=True, slots=True)
class Audit:
    """What the topics of one model say of themselves.

    ``events`` are interactions. ``events``, ``feedback`` and ``examples`` count records as they stand in the log;
    ``predictions``, ``requests``, ``steps``, fates and dead letters count once an id. ``steps`` are records, one
    for each request that was folded, genesis and probe as well: some more than the model's gradient steps.

    ``lost`` inputs have no outcome, ``pending`` ones not yet, ``waiting`` feedback has not met what it judges, and of
    ``forgotten`` ones retention may have taken the outcome. ``duplicated`` counts inputs with two outcomes, ids with
    two contents and examples learned from twice; ``resent`` identical records under one id, which count once.
    ``repeated_examples`` stand in a second request, where the fold passes them over. ``peeked`` counts labels whose
    prediction was made by a model that had already learned from them. ``faults`` are of what was published or is
    stored, each with a finding that says what.

    ``shards`` of the store were read with ``values``, and so many outputs there are ``unsent``; none if it was not
    asked. ``snapshots`` were opened, ``snapshots_gone`` are no longer there; ``proven`` published versions are what
    their requests fold to, ``unproven`` ones were made under another fingerprint or before the log begins. ``unnamed``
    inputs name no tenant, so they are everybody's.
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
    shards: int = 0
    values: int = 0
    unsent: int = 0
    snapshots: int = 0
    snapshots_gone: int = 0
    proven: int = 0
    unproven: int = 0
    unnamed: int = 0

    @property
    def ok(self) -> bool:
        """Nothing lost, nothing twice, no prediction that knew its label, consumers can follow to the end; and there is
        something of the tenant."""
        return not (self.lost or self.duplicated or self.peeked or self.faults or self.is_empty)

    @property
    def is_empty(self) -> bool:
        """Whether neither the topics nor the store hold anything that is the tenant's: then nothing was proven."""
        made = (self.predictions, self.steps, self.deltas, self.checkpoints, self.drifts, self.shards)
        return self.inputs <= self.unnamed and not (any(made) or self.fates or self.dead_letters)

    @property
    def inputs(self) -> int:
        """How many records a role had to decide."""
        return self.events + self.feedback + self.examples + self.requests

    @property
    def verdict(self) -> str:
        """One sentence for a person."""
        if self.is_empty:
            return f"Nothing was proven: there is nothing of tenant {self.tenant}."
        open_ = self.pending + self.waiting + self.forgotten
        states = {"still at work": self.pending, "wait for what they judge": self.waiting,
                  "were decided before the log's memory begins": self.forgotten}  # fmt: skip
        rest = "".join(f", {n:,} {what}" for what, n in states.items() if n)
        if self.ok:
            whole = f"each of {self.inputs - open_:,} inputs has its one outcome"
            return f"Nothing was lost and nothing counted twice: {whole}{rest}."
        wrong = {"lost": self.lost, "counted twice": self.duplicated,
                 "faults in what is published or stored": self.faults,
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

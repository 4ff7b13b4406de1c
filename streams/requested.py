"""The accounts of training: each request once, each of its examples once, each step for the request that it names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas import codec, topics
from schemas.envelope import Origin
from schemas.errors import BadEvent
from streams.hearing import pairs
from streams.ledger import NONE, Attributes, Findings, Ledger, hashed, readable
from streams.message import Record
from streams.quotes import Quotes

REQUEST = topics.TRAIN_REQUEST.name


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


@dataclass(slots=True)
class Requested:
    """Requests and steps of one model. ``ahead``: what is wrong unless it came later than the view, as it may while the
    roles are at work. ``is_whole``: the log still holds all examples, so that one it lacks never was.

    ``requests`` has, by id, the offset of its first record; ``examples`` where the first record of an id stands, and
    ``knew`` the next offset of the model that predicted it; ``replayed`` counts by task/class what requests repeated.
    """

    findings: Findings
    ahead: Findings
    quotes: Quotes
    is_whole: bool
    decide: Callable[[Ledger, Origin, Record, Attributes], None]
    requests: dict[int, int] = field(default_factory=dict)
    dead: set[int] = field(default_factory=set)
    replayed: Counter[str] = field(default_factory=Counter)
    examples: dict[int, Origin] = field(default_factory=dict)
    knew: dict[int, int] = field(default_factory=dict)
    last_applied: int = -1
    _fresh: dict[int, list[int]] = field(default_factory=dict)  # by a request's offset, what the fold takes of it
    _folded: FoldedIds = field(default_factory=FoldedIds)

    def request(
        self, record: Record, said: Attributes, manifest: Mapping[str, Any], ledgers: Mapping[str, Ledger], first: bool
    ) -> None:
        """Enter a request; ``first``: the first of its id."""
        ledger, request = ledgers[REQUEST], hashed(said.id)
        if request in self.requests:
            ledger.excuse(record.origin)  # a repetition; the fold passes it over, with a step or without
        new, again = (examples_in(manifest, name) for name in ("new", "replayed"))
        if first:
            self.requests[request] = record.origin.offset
            is_late = any(map(ledgers[topics.EXAMPLE.name].is_ahead, said.origins))
            self._check(record, new, is_late=is_late)
            self._check(record, again, is_late=is_late)
            self._place(record, said, new, ledgers[topics.EXAMPLE.name])
            for one in again.values():
                self.replayed.update(f"{task}/{value}" for task, value in pairs(one.get("labels")))
        if ledger.outcome(record.origin) != NONE:
            self.dead.add(request)
            return  # a dead letter changes nothing
        self._fresh[record.origin.offset] = self._folded.fresh(str(manifest.get("kind")), request, list(new))

    def _place(self, record: Record, said: Attributes, new: Mapping[int, Mapping[str, Any]], ledger: Ledger) -> None:
        """Each new example of a request has its place there."""
        placed = set()
        for id_, one in new.items():
            origin = self.examples.get(id_)
            if origin is None:
                continue
            placed.add(origin)
            self.decide(ledger, origin, record, said)
            if self.knew[id_] > record.origin.offset:
                self.findings.add("peeked", origin, f"was predicted by a model that had learned {one['id']}")
        if len(placed) == len(new) and placed != set(said.origins):
            self.findings.add("causes", record.origin, "its causes are not the records of its new examples")

    def _check(self, record: Record, listed: Mapping[int, Mapping[str, Any]], *, is_late: bool) -> None:
        """Each example of a request is one that the session role made, and says the same. ``is_late``: the request was
        written when some of its examples were beyond the view."""
        for id_, one in listed.items():
            if id_ not in self.examples and self.is_whole:
                here = self.ahead if is_late else self.findings
                here.add("unfounded", record.origin, f"{one['id']} is no record of {topics.EXAMPLE.name}")
            elif self.quotes.is_misquoted(id_, one):
                self.findings.add("misquoted", record.origin, f"{one['id']} says something else in the request")

    def step(self, record: Record, said: Attributes, data: Mapping[str, Any], ledger: Ledger) -> None:
        """Enter a step, which is the outcome of a request."""
        for origin in (origin for origin in said.origins if origin.topic == REQUEST and not ledger.is_ahead(origin)):
            if (
                ledger.ident(origin) not in (NONE, hashed(str(data.get("request"))))
                or data.get("offset") != origin.offset
            ):
                self.findings.add("misplaced", record.origin, f"is of {data.get('request')}, which is not at {origin}")
            fresh = set(self._fresh.get(origin.offset, ()))
            listed = data.get("new") if data.get("applied") else None
            taken = {hashed(id_): id_ for id_ in listed if isinstance(id_, str)} if isinstance(listed, list) else {}
            for id_ in taken.keys() - fresh:
                why = f"{taken[id_]} was learned from before, or is not new"
                self.findings.add("applied-twice", record.origin, why)
            for _ in fresh - taken.keys():
                self.findings.add("not-applied", record.origin, f"the step left out a new example of {origin}")
            if data.get("applied"):
                self.last_applied = max(self.last_applied, origin.offset)


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

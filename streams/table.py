"""What is on the table while a batch is curated, and the fixed choices of curation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from learners.entry import MemorySettings
from learners.rarity import Met
from learners.settings import LearningSettings
from learners.trust import Trust, TrustSettings
from schemas import topics
from schemas.envelope import Origin
from schemas.prediction import Example, Fate
from state.store import Write
from streams.aside import KEY as ASIDE
from streams.aside import Aside
from streams.draft import Draft
from streams.judge import Judge
from streams.processor import Batch, fate_of, waiting_key
from streams.remember import Made, Payloads, Remembered, Waiting, payload_key
from streams.score import scales_of

MET, TRUST = "met", "trust"  # keys: how many labels of each class were met, and each rater's reliability


@dataclass(frozen=True)
class Curation:
    """The fixed choices of curation. ``probe`` examples of the first are set aside, 0 for none."""

    model: str
    learning: LearningSettings
    memory: MemorySettings
    consent: str = "opt-out"
    new: int = 32
    replayed: int = 32
    wait_s: float = 0.25
    horizon_s: float = topics.JOIN_HORIZON_DAYS * 86_400.0
    seed: int = 0
    probe: int = 0


@dataclass(slots=True, kw_only=True)
class Table(Draft):
    """Everything that curation knows of a model, as this batch has left it."""

    curation: Curation
    judge: Judge
    trust: Trust
    met: Met
    aside: Aside
    memory: Remembered
    payloads: Payloads
    trusted: frozenset[str]  # the raters that were known before
    heard: set[str] = field(default_factory=set)  # the raters of this batch

    @classmethod
    def laid(
        cls, curation: Curation, batch: Batch, values: Mapping[str, bytes], made: Made, payloads: Payloads
    ) -> Table:
        """The table before ``batch``: what the store holds."""
        stored, met, tasks = values.get(TRUST), values.get(MET), curation.learning.tasks
        rules = TrustSettings(floor=min(curation.memory.trust_floor, 1.0))
        trust = Trust.from_bytes(stored, rules) if stored else Trust(rules)
        return cls(
            values=values,
            sent=batch.sent,
            now=batch.now,
            curation=curation,
            judge=Judge.load(values, scales_of(tasks), [task.name for task in tasks]),
            trust=trust,
            trusted=frozenset(trust.counts),
            met=Met.from_bytes(met) if met else Met(),
            aside=Aside.from_bytes(values.get(ASIDE), curation.probe),
            memory=Remembered.load(values, curation.memory, made),
            payloads=payloads,
        )

    def stored_example(self, id_: str) -> bytes:
        """The stored example's JSON. Raises KeyError if it is not there, which no commit can leave behind."""
        stored = self.get(payload_key(id_))
        if stored is None:
            raise KeyError(f"example {id_} is in the index without its payload")
        return stored

    def drop(self, example_id: str, kind: str, why: str) -> None:
        """Take an example out of the line and of the memory, at once; what was trained stays until a refold."""
        found = self.memory.waiting(example_id)
        if found is not None:
            origin = Origin.parse(found.origin)
            self.delete(waiting_key(origin))
            data = Fate(fate="no-consent" if kind == "no-consent" else "retracted", input_type=Example.TYPE,
                        input_id=example_id, origin=found.origin, detail=why)  # fmt: skip
            self.publish(fate_of(data, origin, self.curation.model, found.ms))
            self.given_back(found)
        self.memory.forget(example_id)

    def given_back(self, waiting: Waiting) -> None:
        """Note that ``waiting`` leaves the line without a request."""
        if waiting.aside:
            self.aside.give_back()

    def all_writes(self) -> list[Write]:
        """How the store becomes what is on the table."""
        if self.heard:
            self.put(TRUST, self.trust.to_bytes())
            self.put(MET, self.met.to_bytes())
        aside = self.aside.to_bytes()
        if self.aside.interactions and aside != self.values.get(ASIDE):
            self.put(ASIDE, aside)
        for write in (*self.judge.writes(), *self.memory.writes()):
            self.writes[write.key] = write
        return list(self.writes.values())

    def gauges(self) -> list[tuple[str, Mapping[str, str], float | None]]:
        """What operators see: memory by class, quality and drifts by task, trust by rater."""
        found: list[tuple[str, Mapping[str, str], float | None]] = []
        held = self.memory.memory.sizes()
        for label in sorted({*held, *self.memory.classes}):  # zero is said once
            task, _, name = label.partition("/")
            found.append(("memory_items", {"task": task, "class": name}, float(held.get(label, 0))))
        known = sorted(self.heard & self.trust.counts.keys())
        found += [("rater_trust", {"rater": rater}, self.trust.weight(rater)) for rater in known]
        left = sorted(self.trusted - self.trust.counts.keys())  # else whoever was ever heard would be told for ever
        found += [("rater_trust", {"rater": rater}, None) for rater in left]
        return [*found, *self.judge.gauges()]

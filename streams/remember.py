"""Curate's memory in the store: who waits in line to be learned from, and the index of what is replayed."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter
from pydantic_core import from_json, to_json

from learners.entry import Entry, MemorySettings, entry
from learners.memory import Memory
from learners.replay import Replay, sample
from schemas.event import Part
from schemas.training import TrainExample
from state.store import Delete, Put, Write
from streams.compose import Chosen

LINE, ASIDE, TOKEN = "line", "aside", "memory"  # the last is a name of a state, not a secret
MOST_PARSED = 4_096

Made = dict[bytes, Memory]
"""By its token the index that this process has made itself, so that it need not read it back; at most one.

Whoever changes an index takes it out, and puts it back under its new token when all is decided. So one that was left
half changed is nowhere, and one whose change was never committed has a token that no store holds: both are read anew.
"""


class Payloads:
    """Stored examples that this process has written or read, so that it need not parse them again."""

    def __init__(self) -> None:
        self._held: OrderedDict[bytes, Chosen] = OrderedDict()

    def keep(self, chosen: Chosen) -> None:
        """An example that was written or read."""
        self._held[chosen.stored] = chosen
        if len(self._held) > MOST_PARSED:
            self._held.popitem(last=False)

    def read(self, stored: bytes) -> Chosen:
        """The example that stored bytes are."""
        found = self._held.pop(stored, None) or Chosen(TrainExample.model_validate_json(stored), stored)
        self.keep(found)  # as the one that was used last
        return found


class Waiting(Part):
    """An example in line: where it stood in the log, since when it waits, and what the memory must know of it.

    ``unmarked`` is its importance without experts' marks, not clipped; ``aside``: it waits to be set aside.
    """

    id: str
    origin: str
    at: float
    time_s: float
    label: str
    learner: str | None
    rater: str
    importance: float
    ms: int
    interaction: str = ""
    unmarked: float = 0.0
    aside: bool = False


WAITING = TypeAdapter(tuple[Waiting, ...])


def payload_key(example: str) -> str:
    """Where an example is stored while it is in line or in memory."""
    return f"p:{example}"


def entry_key(example: str) -> str:
    """Where an entry of the index is stored."""
    return f"m:{example}"


@dataclass
class Remembered:
    """Line and memory while a batch is curated; ``writes`` says how the store must change."""

    settings: MemorySettings
    line: list[Waiting]
    aside: list[Waiting]
    memory: Memory
    classes: frozenset[str]  # that the store knows
    token: bytes
    _made: Made
    _gone: set[str]  # that left line or memory; some may have come back since
    _lines_before: tuple[bytes, bytes]

    @classmethod
    def load(cls, values: Mapping[str, bytes], settings: MemorySettings, made: Made) -> Remembered:
        """What ``values`` hold. The index is read anew unless ``made`` has it, who then has it no longer."""
        token = values.get(TOKEN, b"")
        lines = values.get(LINE, b"[]"), values.get(ASIDE, b"[]")
        line, aside = (list(WAITING.validate_json(stored)) for stored in lines)
        memory = made.pop(token, None)
        made.clear()
        if memory is None or memory.settings != settings:
            stored = [Entry(*from_json(value)) for key, value in values.items() if key.startswith("m:")]
            memory = Memory.of(settings, stored)  # settings may have changed; what they cut leaves the store, too
        return cls(settings, line, aside, memory, memory.stored_classes(), token, made, set(), lines)

    def give_back(self) -> None:
        """Let ``made`` have the index again, under the token of what is stored once all ``writes`` are."""
        if self.token:
            self._made[self.token] = self.memory

    @property
    def entries(self) -> Iterable[Entry]:
        """What is remembered."""
        return self.memory.entries.values()

    def wait(self, waiting: Waiting) -> None:
        """Put an example at the end of its line."""
        (self.aside if waiting.aside else self.line).append(waiting)

    def waiting(self, id_: str) -> Waiting | None:
        """An example in line, if it is."""
        return next((w for line in (self.line, self.aside) for w in line if w.id == id_), None)

    def leave(self, ids: Collection[str]) -> None:
        """Take examples out of the line."""
        self.line = [w for w in self.line if w.id not in ids]
        self.aside = [w for w in self.aside if w.id not in ids]

    def admit(self, new: Sequence[Waiting]) -> None:
        """Offer examples to the memory; those that it does not keep lose their payload."""
        offered = [
            entry(self.settings, w.id, w.importance, w.label, w.learner, w.rater, w.ms, w.interaction, w.unmarked)
            for w in new
        ]
        left = self.memory.admit(*offered)
        self._gone.update(left, (e.id for e in offered if e.id not in self.memory.entries))

    def forget(self, id_: str) -> None:
        """Take an example out of line and memory, with its payload."""
        self.leave({id_})
        self.memory.evict(id_)
        self._gone.add(id_)

    def mark(self, interaction: str, marks: float) -> dict[str, float]:
        """Let experts' marks on an interaction add ``marks`` to its examples; returns the importance of each held."""
        found: dict[str, float] = {}
        for line in (self.line, self.aside):
            for at, w in enumerate(line):
                if w.interaction == interaction:
                    found[w.id] = min(w.unmarked + marks, 1.0)
                    line[at] = w.model_copy(update={"importance": found[w.id]})
        ids, held = self.memory.marked(interaction, marks), self.memory.entries
        self._gone.update(id_ for id_ in ids if id_ not in held)
        return {**found, **{id_: min(held[id_].unmarked + marks, 1.0) for id_ in ids if id_ in held}}

    def of_learner(self, learner: str) -> list[str]:
        """The examples of a learner in line and memory."""
        held = self.memory.of_learner(learner)
        return [*held, *(w.id for w in (*self.line, *self.aside) if w.learner == learner)]

    def sample(self, n: int, seed: int) -> Replay:
        """What to replay."""
        return sample(self.memory, n, seed)

    def replay_counts(self, ids: Iterable[str]) -> list[int]:
        """How often each was replayed before."""
        return [self.memory.entries[id_].replayed for id_ in ids]

    def replayed(self, ids: Iterable[str]) -> None:
        """Note that these were replayed once more."""
        self.memory.replayed(ids)

    def writes(self) -> list[Write]:
        """How the store becomes what this holds. With it this is over: whoever comes next may change the memory."""
        changed = self.memory.changes()
        self._gone.update(changed.drop)
        found: list[Write] = [Put(entry_key(e.id), to_json(tuple(e))) for e in changed.put]
        found += [Delete(entry_key(id_)) for id_ in changed.drop]
        line_ids = {w.id for w in (*self.line, *self.aside)}
        gone = (id_ for id_ in self._gone if id_ not in self.memory.entries and id_ not in line_ids)
        found += [Delete(payload_key(id_)) for id_ in sorted(gone)]
        for key, line, before in zip((LINE, ASIDE), (self.line, self.aside), self._lines_before, strict=True):
            if (after := WAITING.dump_json(tuple(line), exclude_defaults=True)) != before:
                found.append(Put(key, after))
        if changed.put or changed.drop:
            # The token chains the changes, so equal tokens are equal indices, whatever the store went through.
            self.token = hashlib.sha256(self.token + to_json(changed)).digest()
            found.append(Put(TOKEN, self.token))
        self.give_back()
        return found

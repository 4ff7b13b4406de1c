"""Train requests as they would read had somebody never been there: what ``currere fold --without`` folds.

What is taken out: every example of theirs, new, replayed or set aside; and, in the contexts of other examples of the
same session, the turns whose words are those of an example taken out. A request whose new examples are all gone is
left out whole.

What stays, for the log does not say it: sample weights, replay choices and resets, which were decided while they were
there; turns of theirs that no label ever came for (a turn names no speaker); flags of a rater on others' examples.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from learners.request import NEW, REPLAYED, Weights
from schemas.errors import ConfigurationError
from schemas.interaction import Turn
from schemas.training import TrainExample
from streams.requests import Asked

KINDS = ("learner", "rater", "event")


@dataclass(frozen=True, slots=True)
class Someone:
    """A learner or a rater by pseudonym, or one event by the id of its interaction, feedback or example."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"

    @classmethod
    def parse(cls, text: str) -> Someone:
        """What ``learner:X``, ``rater:X`` or ``event:ID`` names. Raises ConfigurationError."""
        kind, colon, name = text.partition(":")
        if kind not in KINDS or not colon or not name:
            raise ConfigurationError(f"--without {text}: expected learner:NAME, rater:NAME or event:ID")
        return cls(kind, name)

    def is_in(self, example: TrainExample) -> bool:
        """Whether ``example`` is of this learner or rater, or of this event."""
        match self.kind:
            case "learner":
                return example.input.learner == self.name
            case "rater":
                return example.rater == self.name
        return self.name in (example.id, example.interaction, example.feedback)


@dataclass(frozen=True, slots=True)
class Without:
    """Requests without ``those``. ``ids`` are of all their examples in the log, ``words`` what these say, by session;
    ``found`` counts their examples, each once, by whose they are."""

    those: tuple[Someone, ...]
    ids: frozenset[str] = frozenset()
    words: Mapping[str, frozenset[str]] = field(default_factory=dict)
    found: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, those: Sequence[Someone], requests: Iterable[Asked]) -> Without:
        """What is to be left out of ``requests``, which are read once."""
        gone: dict[str, TrainExample] = {}
        for asked in requests:
            for example in (*asked.manifest.new, *asked.manifest.replayed):
                if example.id not in gone and any(someone.is_in(example) for someone in those):
                    gone[example.id] = example
        words = defaultdict[str, set[str]](set)
        for example in gone.values():
            words[example.input.session].add(example.input.payload.text)
        found = {str(someone): sum(map(someone.is_in, gone.values())) for someone in those}
        spoken = {session: frozenset(texts) for session, texts in words.items()}
        return cls(tuple(those), frozenset(gone), spoken, found)

    def __contains__(self, example: TrainExample) -> bool:
        return example.id in self.ids

    def kept(self, asked: Asked) -> Asked | None:
        """What is left of a request; None if nothing is that it would have been made for. A genesis gets another id,
        so that what is folded from it is a lineage of its own."""
        manifest = asked.manifest
        if manifest.kind == "genesis" and self.ids:
            return asked._replace(id=f"{asked.id}-without-{','.join(map(str, self.those))}")
        stay = [n for n, example in enumerate(manifest.new) if example not in self]
        again = [n for n, example in enumerate(manifest.replayed) if example not in self]
        if manifest.new and not stay:
            return None
        new, replayed = manifest.new, manifest.replayed
        update = {
            "new": tuple(self.cut(new[n]) for n in stay),
            "replayed": tuple(self.cut(replayed[n]) for n in again),
        }
        return asked._replace(manifest=manifest.model_copy(update=update), weights=_chosen(asked.weights, stay, again))

    def cut(self, example: TrainExample) -> TrainExample:
        """``example`` with the turns out of its context whose words are gone."""
        context = example.input.payload.context
        said = self.words.get(example.input.session)
        if not said or not context or not any(_said(turn, said) for turn in context):
            return example
        payload = example.input.payload.model_copy(update={"context": tuple(t for t in context if not _said(t, said))})
        return example.model_copy(update={"input": example.input.model_copy(update={"payload": payload})})


def _said(turn: Turn, words: frozenset[str]) -> bool:
    return turn.text in words


def _chosen(weights: Weights, stay: Sequence[int], again: Sequence[int]) -> Weights:
    """The sample weights of the examples that are left."""
    rows = {NEW: stay, REPLAYED: again}
    return {name: np.ascontiguousarray(array[rows[name]]) for name, array in weights.items() if name in rows}

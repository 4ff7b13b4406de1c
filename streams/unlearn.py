"""The log folded again without somebody: how far predictions move, and that nothing of theirs is left.

Both ways are folded from the genesis, so all that a model is goes without them: weights and their averages, moments of
the optimiser, multipliers, paces, Fisher information, logits met, the probe and its scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from learners.model import Model, id_hash
from learners.probe import IDS
from learners.rehearsal import names_of
from schemas.errors import ModelRefused
from schemas.training import TrainExample
from streams.compare import Compared, compare, digest
from streams.contrast import to_json as compared_json
from streams.moved import Moved, moved
from streams.requests import Asked
from streams.without import Someone, Without

GROUPS = ("others", "probe", "gone")


@dataclass(frozen=True)
class Unlearned:
    """The recorded way and the one without ``without``'s people.

    ``moved``: by group of inputs and by task, how far predictions moved: on the examples of ``others`` that were
    learned from, on the ``probe``, and on the examples that are ``gone``. ``left``: where in the model without them an
    id of theirs is still found, and how many; all zero, or it is no unlearning. ``requests_out`` requests were left
    out whole, ``turns_cut`` turns cut from others' contexts. ``unattributed`` examples of others share a session with
    them and have turns in their context that may be theirs: of no turn the log says who spoke it.
    """

    compared: Compared
    without: Without
    moved: Mapping[str, Mapping[str, Moved]]
    left: Mapping[str, int]
    requests_out: int
    turns_cut: int
    unattributed: int

    @property
    def is_clean(self) -> bool:
        """Whether nothing of theirs is left."""
        return not any(self.left.values())

    @property
    def is_same(self) -> bool:
        """Whether both ways serve the same bytes: as they must where the log has nothing of theirs."""
        recorded, changed = self.compared.ways
        return digest(recorded) == digest(changed)


def unlearn(requests: Callable[[], Iterable[Asked]], those: Sequence[Someone]) -> Unlearned:
    """Fold what ``requests`` gives as it is, and without ``those``; both judged by the labels of others.

    Raises:
        NotFound: there is no genesis.
        ModelRefused: without them there is no model left, or nothing in the log is theirs and the bytes differ.
    """
    without = Without.of(those, requests())
    compared = compare(requests, {}, without=without)
    recorded, changed = (way.model for way in compared.ways)
    if recorded is None or changed is None:
        raise ModelRefused("no model is left without them")
    groups = {group: _distinct(requests(), group, without) for group in GROUPS}
    changes = _changes(requests(), without)
    found = Unlearned(
        compared=compared,
        without=without,
        moved={g: moved(recorded, changed, (one.input for one in examples)) for g, examples in groups.items()},
        left=left_in(changed, without.ids),
        requests_out=changes["requests_out"],
        turns_cut=changes["turns_cut"],
        unattributed=changes["unattributed"],
    )
    if not without.ids and not found.is_same:
        raise ModelRefused("the log has nothing of theirs, yet the two folds differ: the fold is not reproducible here")
    return found


def left_in(model: Model, ids: Iterable[str]) -> dict[str, int]:
    """How many of the examples ``ids`` are known to ``model``: among what it folded, in its probe, by logits met.

    It asks the model itself, not what it was given: a model keeps hashes of the last ids that it took in.
    """
    gone = list(ids)
    hashes = {id_hash(id_) for id_ in gone}
    asked = {row.tobytes() for row in model.state.get(IDS, np.zeros((0, 16), dtype=np.uint8))}
    met = [array for name, array in model.state.items() if name.startswith("met/") and name.endswith(".names")]
    return {
        "folded": sum(one in model.folded for one in hashes),
        "probe": len(hashes & asked),
        "met": sum(int(np.isin(names_of(gone), names).sum()) for names in met) if gone else 0,
    }


def _distinct(requests: Iterable[Asked], group: str, without: Without) -> Iterator[TrainExample]:
    """The examples of ``group``, each once, as they were."""
    seen = set[str]()
    for asked in requests:
        for example in asked.manifest.new:
            of = "gone" if example in without else "probe" if asked.manifest.kind == "probe" else "others"
            if of == group and example.id not in seen:
                seen.add(example.id)
                yield example


def _changes(requests: Iterable[Asked], without: Without) -> dict[str, int]:
    """What was done to requests, besides taking examples out; and what could not be."""
    found, seen = {"requests_out": 0, "turns_cut": 0, "unattributed": 0}, set[str]()
    for asked in requests:
        found["requests_out"] += without.kept(asked) is None
        for example in asked.manifest.new:
            if example not in without and example.id not in seen:
                seen.add(example.id)
                before, after = _turns(example), _turns(without.cut(example))
                found["turns_cut"] += before - after
                found["unattributed"] += bool(after) and example.input.session in without.words
    return found


def _turns(example: TrainExample) -> int:
    return len(example.input.payload.context or ())


def to_json(found: Unlearned) -> dict[str, object]:
    """``found`` as one JSON object."""
    recorded, changed = (digest(way) for way in found.compared.ways)
    return {
        "without": [str(someone) for someone in found.without.those],
        "examples": dict(found.without.found),
        "requests_out": found.requests_out,
        "turns_cut": found.turns_cut,
        "unattributed": found.unattributed,
        "left": dict(found.left),
        "clean": found.is_clean,
        "same": found.is_same,
        "digest": changed,
        "recorded_digest": recorded,
        "moved": {
            group: {task: {name: round(x, 6) for name, x in one.to_dict().items()} for task, one in tasks.items()}
            for group, tasks in found.moved.items()
        },
        **compared_json(found.compared),
    }


def lines_of(found: Unlearned) -> Iterator[str]:
    """In words, what was left out and what is left."""
    for someone, count in found.without.found.items():
        yield (
            f"{someone}: {count:,} examples left out" if count else f"{someone}: nothing in the log; is it spelled so?"
        )
    yield f"requests left out whole: {found.requests_out:,}; turns cut from others' contexts: {found.turns_cut:,}"
    if found.unattributed:
        yield f"{found.unattributed:,} examples of others in the same sessions have turns that may be theirs and stay"
    where = ", ".join(f"{name} {count}" for name, count in found.left.items())
    yield f"ids of theirs left in the model: {where}"
    yield "both folds serve the same bytes" if found.is_same else "the served weights differ from the recorded ones"

"""Which events stand behind a version of the model, and what share each had in what it was told.

The requests are folded by the fold's own rules with a step that learns nothing and writes down what it was to learn
from. So what the fold passes over (a repeated example, a request that cannot be used, an example that is only asked,
what a reset took back) is passed over here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice

from learners.fold import fold
from learners.model import Floats, Model
from learners.rehearsal import shares
from learners.snapshot import snapshot
from learners.step import Progress
from schemas.training import TrainExample
from streams.checkpoints import parsed
from streams.compare import kept_snapshot
from streams.engines.broker import Broker
from streams.refold import UNFOLDED, NotFound, published_as
from streams.requests import Asked

PARTIES = ("learner", "rater", "group", "task")


@dataclass(frozen=True, slots=True)
class Source:
    """One event behind a version: an example, what it was told with, and its ``share`` of all that was told.

    ``new`` and ``again`` are the sums of what the steps multiplied its loss with, as a new example and as a replayed
    one, ``replayed`` how often it was replayed. ``gone`` says why it would not be learned from now; empty if it would.
    """

    example: TrainExample
    new: float
    again: float
    replayed: int
    share: float
    gone: str = ""


@dataclass(frozen=True, slots=True)
class Explained:
    """The events behind ``version`` that were folded since ``since``, those with the largest share first.

    ``asked`` examples are in the probe and were never learned from; ``undone`` is the sum of what a reset took back.
    """

    version: str
    since: int
    steps: int
    sources: tuple[Source, ...]
    asked: int
    undone: float

    def totals(self, party: str) -> dict[str, tuple[int, float]]:
        """Events and share by ``learner``, ``rater``, ``group`` or ``task``, the largest first.

        An event with labels of two tasks counts whole for both, so shares of tasks may add up to more than 1. Those
        without a learner or a group stand under an empty name.
        """
        events, found = Counter[str](), defaultdict[str, float](float)
        for source in self.sources:
            for name in _names(source.example, party):
                events[name] += 1
                found[name] += source.share
        return {name: (events[name], share) for name, share in sorted(found.items(), key=lambda one: (-one[1], one[0]))}

    @property
    def gone(self) -> float:
        """The share of what was taken back since: it stays in the model until the log is folded without it."""
        return sum(source.share for source in self.sources if source.gone)


@dataclass(slots=True)
class Scribe:
    """A step that learns nothing: it writes down what each example's loss would be multiplied with."""

    new: Sequence[TrainExample] = ()
    replayed: Sequence[TrainExample] = ()
    shares: Sequence[float] = ()

    def __call__(
        self, model: Model, new: Sequence[TrainExample], replayed: Sequence[TrainExample], weights: Floats, seed: int,
        consolidate: bool,
    ) -> tuple[Model, Progress]:  # fmt: skip
        """The model, one step further, its parameters as they were."""
        self.new, self.replayed = new, replayed
        self.shares = shares(weights, len(new), model.settings).tolist()
        return replace(model, steps=model.steps + 1), Progress({}, {}, {}, {}, {})


@dataclass(slots=True)
class _Told:
    """What each step of a lineage was told, by the offset of its request: (example id, share, whether it was new)."""

    steps: dict[int, list[tuple[str, float, bool]]] = field(default_factory=dict)
    examples: dict[str, TrainExample] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)
    undone: float = 0.0

    def step(self, offset: int, said: Scribe) -> None:
        found = [*said.new, *said.replayed]
        self.examples.update((one.id, one) for one in found)
        marks = [n < len(said.new) for n in range(len(found))]
        self.steps[offset] = [(e.id, s, new) for e, s, new in zip(found, said.shares, marks, strict=True)]

    def back_to(self, offset: int) -> None:
        """Forget what was told from ``offset`` on."""
        for later in [at for at in self.steps if at >= offset]:
            self.undone += sum(share for _, share, _ in self.steps.pop(later))


def wanted(broker: Broker, tenant: str, model: str, version: str) -> tuple[int, str | None]:
    """The offset at which ``version`` ends, and its lineage if that is still to be held against the fold's own.

    A worker on another machine may have given a lineage a new name (``streams.worker``), so what was published needs
    no lineage of the fold's. Raises NotFound, NoSuchVersion.
    """
    try:
        return published_as(broker, tenant, model, version).next_offset, None
    except NotFound:
        lineage, offset = parsed(version)
        if offset is None:
            raise
        return offset, lineage


def explain(
    requests: Callable[[], Iterable[Asked]],
    until: int | None = None,
    since: int = 0,
    lineage: str | None = None,
    gone: Callable[[TrainExample], str] = lambda example: "",
) -> Explained:
    """What the version of ``lineage`` at offset ``until`` was told from offset ``since`` on: by default what all the
    requests come to, from its genesis.

    Of an example e, over the steps r since then whose effect no reset has taken back,

        share(e) = Σ_r s_r(e) / Σ_e' Σ_r s_r(e')

    where s_r(e) is what step r multiplied e's loss with: its sample weight over the size of its part, new or replayed
    (``learners.rehearsal.shares``, ``learners.step``). It is a share of what the model was *told*, not of what came of
    it: how steep a loss was, clipping, paces, the order of steps, constraints, consolidation and the pull of DER++
    towards logits met are no part of it. That would be an influence (Koh & Liang 2017), which needs second derivatives
    of a model at its optimum, and an online model never is; ``currere fold --without`` measures it by leaving out.

    ``gone`` says of an example why it would not be learned from now. Raises NotFound if there is no
    such version since then.
    """
    model, told = _read(requests, until)
    if model is None or until not in (None, model.next_offset):
        raise NotFound(f"no request ends at offset {until}, so no version does; see `currere model list`")
    if since > model.next_offset:
        raise NotFound(f"--since names offset {since}, and {model.version} ends before; see `currere model list`")
    if lineage not in (None, model.lineage):
        raise NotFound(f"at offset {until} the log folds to lineage {model.lineage}, not {lineage}")
    new, again, replayed = defaultdict[str, float](float), defaultdict[str, float](float), Counter[str]()
    steps = {offset: step for offset, step in told.steps.items() if offset >= since}
    for id_, share, is_new in (one for step in steps.values() for one in step):
        (new if is_new else again)[id_] += share
        replayed[id_] += not is_new
    whole = sum(new.values()) + sum(again.values())
    sources = [
        Source(one, new[id_], again[id_], replayed[id_], (new[id_] + again[id_]) / whole if whole else 0.0, gone(one))
        for id_, one in told.examples.items()
        if id_ in new or id_ in again
    ]
    sources.sort(key=lambda source: (-source.share, source.example.id))
    return Explained(model.version, since, len(steps), tuple(sources), len(told.asked), told.undone)


def _read(requests: Callable[[], Iterable[Asked]], until: int | None) -> tuple[Model | None, _Told]:
    """The model at ``until`` with parameters as they began, and what it was told."""
    wanted = {one.manifest.version for one in requests() if one.manifest.kind == "reset"}
    kept: dict[str, bytes] = {}
    back = partial(kept_snapshot, kept)
    model, told, scribe = None, _Told(), Scribe()
    for asked in (asked for asked in requests() if until is None or asked.offset < until):
        manifest = asked.manifest
        try:
            model, report = fold(model, manifest, asked.weights, asked.id, asked.offset, back, scribe)
        except UNFOLDED:
            continue
        if model.version in wanted:
            kept[model.version] = snapshot(model)
        if not report.event.applied:
            continue
        if manifest.kind == "genesis":
            told = _Told()
        elif manifest.kind == "reset":
            _, good = parsed(manifest.version or "")
            told.back_to(good or 0)
        elif manifest.kind == "probe":
            told.asked.update(one.id for one in manifest.new)
        else:
            told.step(asked.offset, scribe)
    return model, told


def _names(example: TrainExample, party: str) -> Iterable[str]:
    given: Mapping[str, Iterable[str]] = {
        "learner": (example.input.learner or "",),
        "rater": (example.rater,),
        "group": (example.input.group or "",),
        "task": example.labels,
    }
    return given[party]


def to_json(found: Explained, top: int) -> dict[str, object]:
    """``found`` as one JSON object, with the ``top`` events of each list."""
    return {
        "version": found.version,
        "since": found.since,
        "steps": found.steps,
        "events": len(found.sources),
        "asked": found.asked,
        "undone": round(found.undone, 6),
        "gone_share": round(found.gone, 6),
        "top": [_source(source) for source in found.sources[:top]],
        "by": {party: [_total(party, *one) for one in islice(found.totals(party).items(), top)] for party in PARTIES},
    }


def _total(party: str, name: str, counted: tuple[int, float]) -> dict[str, object]:
    events, share = counted
    return {party: name, "events": events, "share": round(share, 6)}


def _source(source: Source) -> dict[str, object]:
    one = source.example
    return {
        "example": one.id,
        "interaction": one.interaction,
        "feedback": one.feedback,
        "learner": one.input.learner,
        "group": one.input.group,
        "rater": one.rater,
        "labels": dict(one.labels),
        "new": round(source.new, 6),
        "again": round(source.again, 6),
        "replayed": source.replayed,
        "share": round(source.share, 6),
        "gone": source.gone,
    }

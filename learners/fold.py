"""The model is a fold over a log: model[n+1] = fold(model[n], request[n])."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from learners.model import Floats, Model, Rows, genesis, id_hash
from learners.probe import PROBE, never_asked, probe_now, set_probe
from learners.request import NEW, REPLAYED, Weights, check_weights
from learners.snapshot import restore
from learners.step import Progress, step
from learners.tasks import check_label
from schemas.errors import ModelRefused, UnusableEvent
from schemas.training import TrainExample, TrainRequest, TrainStep

Snapshots = Callable[[str], bytes]


class Learn(Protocol):
    """One step: ``learners.step.step``, or whoever only wants to know what is learned from."""

    def __call__(
        self, model: Model, new: Sequence[TrainExample], replayed: Sequence[TrainExample], weights: Floats, seed: int,
        consolidate: bool,
    ) -> tuple[Model, Progress]:  # fmt: skip
        """The model after it, and what it did."""


@dataclass(frozen=True, slots=True)
class StepReport:
    """What a request did to the model: the event that says so, and the rows touched of each table."""

    event: TrainStep
    touched: Mapping[str, Rows]


def no_snapshots(version: str) -> bytes:
    """For a log without resets. Raises ModelRefused."""
    raise ModelRefused(f"the log resets to {version}, but no snapshots were given to the fold")


def fold(
    model: Model | None,
    manifest: TrainRequest,
    weights: Weights,
    request_id: str,
    offset: int,
    snapshots: Snapshots = no_snapshots,
    learn: Learn = step,
) -> tuple[Model, StepReport]:
    """The model after the request ``request_id`` at ``offset``, and what it did. ``model`` is consumed.

    A new example or a request that was folded before, and is among the ids still remembered (``learners.folded``), is
    no part of it; replayed examples recur rightly. A genesis begins a lineage whatever stood before; a reset goes back
    to a snapshot, which ``snapshots`` finds by version, but remembers what was folded since, so that it is not folded
    again.

    Raises:
        UnusableEvent: there is no model yet and this is no genesis, or a label or weight cannot be.
        ModelRefused: the request lies before the model's next offset, or the snapshot of a reset is not whole.
        ConfigurationError: the settings of a genesis cannot be.
    """
    if model is not None and offset < model.next_offset:
        raise ModelRefused(f"the request at offset {offset} was folded: the model stands at {model.version}")
    if model is not None and id_hash(request_id) in model.folded:
        model = replace(model, next_offset=offset + 1)
        return model, _report(model, manifest, request_id, offset, applied=False)
    if manifest.kind == "genesis":
        begun = genesis(manifest, request_id, offset)
        return begun, _report(begun, manifest, request_id, offset, applied=True)
    if model is None:
        raise UnusableEvent(f"a {manifest.kind} at offset {offset} has no genesis before it")
    if manifest.kind == "reset":
        return _reset(model, manifest, request_id, offset, snapshots)
    if manifest.kind == "probe":
        return _probe(model, manifest, request_id, offset)
    return _step(model, manifest, weights, request_id, offset, learn)


def _step(
    model: Model, manifest: TrainRequest, weights: Weights, request_id: str, offset: int, learn: Learn
) -> tuple[Model, StepReport]:
    check_weights(manifest, weights)
    check_labels(model, manifest)
    first = {example.id: n for n, example in reversed([*enumerate(manifest.new)])}
    fresh = [n for n, example in enumerate(manifest.new) if first[example.id] == n and not _is_folded(model, example)]
    again = [n for n, may in enumerate(never_asked(model, manifest.replayed)) if may]
    model = replace(_remembering(model, manifest, request_id), next_offset=offset + 1)
    if not fresh and (manifest.new or not again):
        return model, _report(model, manifest, request_id, offset, applied=False)
    new, replayed = [manifest.new[n] for n in fresh], [manifest.replayed[n] for n in again]
    shares = np.concatenate((weights[NEW][fresh], weights[REPLAYED][again]))
    model, progress = learn(model, new, replayed, shares, manifest.seed, manifest.consolidate)
    scores, alerts = probe_now(model)
    report = _report(model, manifest, request_id, offset, applied=True, new=new)
    said = {name: getattr(progress, name) for name in ("losses", "norms", "rates", "guidance")}
    event = report.event.model_copy(update={**said, "probe": scores, "alerts": alerts})
    return model, StepReport(event, progress.touched)


def _probe(model: Model, manifest: TrainRequest, request_id: str, offset: int) -> tuple[Model, StepReport]:
    """The model that is asked these examples from now on, and never learns from them."""
    check_labels(model, manifest)
    set_probe(model.state, manifest.new, model.settings)
    model = replace(_remembering(model, manifest, request_id), next_offset=offset + 1)
    return model, _report(model, manifest, request_id, offset, applied=True)


def _is_folded(model: Model, example: TrainExample) -> bool:
    return id_hash(example.id) in model.folded


def check_labels(model: Model, manifest: TrainRequest) -> None:
    """Raise UnusableEvent unless the request has examples, each of them labels, and every label can be."""
    examples = (*manifest.new, *manifest.replayed)
    if not examples:
        raise UnusableEvent("a step without examples has nothing to learn from")
    for example in examples:
        if not example.labels:
            raise UnusableEvent(f"example {example.id} has no label to learn from")
        for name, value in example.labels.items():
            check_label(model.settings.task(name), value)


def _reset(
    model: Model, manifest: TrainRequest, request_id: str, offset: int, snapshots: Snapshots
) -> tuple[Model, StepReport]:
    if manifest.version is None:
        raise UnusableEvent("a reset names the version that it goes back to")
    good = restore(snapshots(manifest.version))
    if good.lineage != model.lineage or good.settings != model.settings:
        raise ModelRefused(f"{manifest.version} is of another lineage or other settings than {model.version}")
    touched = {name: _touched_by_either(model, good, name) for name in good.tables}
    model.folded.add(id_hash(request_id))
    asked = {name: array for name, array in model.state.items() if name.startswith(PROBE)}
    good = replace(good, next_offset=offset + 1, folded=model.folded, state={**good.state, **asked})
    return good, StepReport(_report(good, manifest, request_id, offset, applied=True).event, touched)


def _touched_by_either(model: Model, good: Model, name: str) -> Rows:
    return np.union1d(good.tables[name].rows(), model.tables[name].rows())


def _remembering(model: Model, manifest: TrainRequest, request_id: str) -> Model:
    model.folded.update(map(id_hash, (request_id, *(example.id for example in manifest.new))))
    return model


def _report(
    model: Model,
    manifest: TrainRequest,
    request_id: str,
    offset: int,
    *,
    applied: bool,
    new: list[TrainExample] | None = None,
) -> StepReport:
    event = TrainStep(
        model=manifest.model,
        lineage=model.lineage,
        version=model.version,
        request=request_id,
        offset=offset,
        applied=applied,
        losses={},
        norms={},
        rates={},
        new=tuple(example.id for example in new or ()),
        replayed=tuple(example.id for example in manifest.replayed) if applied else (),
    )
    return StepReport(event, {})

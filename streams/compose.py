"""Train requests: everything that one gradient step needs, in one event, each example with the weight it has in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from learners.caps import capped
from learners.entry import MemorySettings
from learners.request import NEW, REPLAYED, Weights, encode_request
from learners.settings import LearningSettings
from schemas import topics
from schemas.codec import encode
from schemas.envelope import Origin, derive_id
from schemas.training import TrainExample, TrainRequest
from streams.processor import Output

PROBE = "probe"


def genesis_request(model: str, learning: LearningSettings, seed: int) -> Output:
    """The record that begins a model: its settings, tasks and seed. The same settings give the same record."""
    manifest = TrainRequest(kind="genesis", model=model, seed=seed, reason="first", settings=learning.to_dict())
    began = datetime.fromtimestamp(0, UTC)
    return _request(manifest, derive_id("genesis", model, str(seed)), began, (), {})


@dataclass(frozen=True, slots=True)
class Chosen:
    """An example that a request takes: what it says, and the same as JSON."""

    example: TrainExample
    stored: bytes

    @classmethod
    def of(cls, example: TrainExample) -> Chosen:
        """``example`` with its JSON."""
        return cls(example, encode(example))

    def again(self, replayed: int) -> Chosen:
        """The same, which was replayed ``replayed`` times before."""
        if not replayed:
            return self
        example = self.example.model_copy(update={"replayed": replayed})
        return Chosen(example, b'%b,"replayed":%d}' % (self.stored[:-1], replayed))


def step_request(
    model: str,
    new: Sequence[Chosen],
    replayed: Sequence[Chosen],
    replay_weights: Sequence[float],
    seed: int,
    time: datetime,
    causes: tuple[Origin, ...],
    new_weights: Sequence[float] | None = None,
) -> Output:
    """One gradient step's request, named after its newest example; without ``new_weights`` each new one weighs one."""
    frame = TrainRequest(kind="step", model=model, seed=seed, reason="feedback")
    weights = {
        NEW: np.ones(len(new), np.float32) if new_weights is None else np.asarray(new_weights, np.float32),
        REPLAYED: np.asarray(replay_weights, np.float32),
    }
    return _of_examples(frame, "request", {"new": new, "replayed": replayed}, time, causes, weights)


def probe_request(model: str, aside: Sequence[Chosen], seed: int, time: datetime, causes: tuple[Origin, ...]) -> Output:
    """The request that sets examples aside, named after the newest of them."""
    frame = TrainRequest(kind="probe", model=model, seed=seed, reason="probe")
    return _of_examples(frame, PROBE, {"new": aside}, time, causes, {})


def sample_weights(
    settings: MemorySettings,
    new: Sequence[TrainExample],
    replayed: Sequence[TrainExample],
    replay_weights: Sequence[float],
    trust: Callable[[str], float],
    replay_share: float = 1.0,
    delays: Sequence[float] | None = None,
) -> tuple[list[float], list[float]]:
    """What each new and each replayed example's loss is multiplied with:

        new: importance · trust · delay · caps        replayed: replay's correction · trust · caps

    ``trust`` gives a rater's weight, ``delays`` what corrects for late labels, one a new example. The caps are of
    the gradient: the step divides the new ones' losses by their number, the replayed ones' by theirs, times
    ``replay_share``; of the sum of that no learner and then no rater has more than its share.
    """
    trusted = {rater: trust(rater) for rater in {example.rater for example in (*new, *replayed)}}
    late = delays or [1.0] * len(new)
    worth = _importances(settings, new)
    first = [w * trusted[e.rater] * d for e, w, d in zip(new, worth, late, strict=True)]
    again = [w * trusted[e.rater] for e, w in zip(replayed, replay_weights, strict=True)]
    parts = [1 / max(len(new), 1)] * len(new) + [replay_share / max(len(replayed), 1)] * len(replayed)
    shares = [weight * part for weight, part in zip([*first, *again], parts, strict=True)]
    examples = [*new, *replayed]
    left = shares
    if any(learners := [example.input.learner for example in examples]):
        left = capped(left, learners, settings.learner_share)
    if len(trusted) > 1:  # a single rater has everything
        left = capped(left, [example.rater for example in examples], settings.rater_share)
    if left is shares:
        return first, again
    weights = [
        weight * (after / before) if after < before else weight
        for weight, before, after in zip([*first, *again], shares, left, strict=True)
    ]
    return weights[: len(new)], weights[len(new) :]


def _importances(settings: MemorySettings, new: Sequence[TrainExample]) -> list[float]:
    """Each importance over the mean of ``new``, to the power that the settings say; all one where that is zero."""
    if not settings.importance_power:
        return [1.0] * len(new)
    worth = [max(example.importance, settings.least_weight) for example in new]
    mean = sum(worth) / max(len(worth), 1)
    return [float((one / mean) ** settings.importance_power) for one in worth]


def _of_examples(
    frame: TrainRequest,
    kind: str,
    parts: Mapping[str, Sequence[Chosen]],
    time: datetime,
    causes: tuple[Origin, ...],
    weights: Weights,
) -> Output:
    """The request of ``frame`` with examples, whose JSON is copied, not written anew."""
    manifest = frame.model_copy(update={name: tuple(c.example for c in part) for name, part in parts.items()})
    lists = [b'"%b":[%b]' % (name.encode(), b",".join(c.stored for c in part)) for name, part in parts.items() if part]
    written = b",".join((encode(frame)[:-1], *lists)) + b"}"
    return _request(manifest, derive_id(kind, parts["new"][-1].example.id), time, causes, weights, written)


def _request(
    manifest: TrainRequest,
    id_: str,
    time: datetime,
    causes: tuple[Origin, ...],
    weights: Weights,
    written: bytes | None = None,
) -> Output:
    value = encode_request(manifest, weights, written)
    return Output(topics.TRAIN_REQUEST, manifest.model, id_, time, manifest, causes, value)

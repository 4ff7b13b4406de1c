"""Train requests: everything that one gradient step needs, in one event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from learners.request import NEW, REPLAYED, encode_request
from learners.settings import LearningSettings
from schemas import topics
from schemas.codec import encode
from schemas.envelope import Origin, derive_id
from schemas.training import TrainExample, TrainRequest
from streams.processor import Output


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
) -> Output:
    """One gradient step's request, named after its newest example. The examples' JSON is copied, not written anew."""
    frame = TrainRequest(kind="step", model=model, seed=seed, reason="feedback")
    parts = {"new": new, "replayed": replayed}
    manifest = frame.model_copy(update={name: tuple(c.example for c in part) for name, part in parts.items()})
    lists = [b'"%b":[%b]' % (name.encode(), b",".join(c.stored for c in part)) for name, part in parts.items() if part]
    written = b",".join((encode(frame)[:-1], *lists)) + b"}"
    weights = {NEW: np.ones(len(new), np.float32), REPLAYED: np.asarray(replay_weights, np.float32)}
    return _request(manifest, derive_id("request", new[-1].example.id), time, causes, weights, written)


def _request(
    manifest: TrainRequest,
    id_: str,
    time: datetime,
    causes: tuple[Origin, ...],
    weights: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]],
    written: bytes | None = None,
) -> Output:
    value = encode_request(manifest, weights, written)
    return Output(topics.TRAIN_REQUEST, manifest.model, id_, time, manifest, causes, value)

"""Train requests: everything that one gradient step needs, in one event."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from learners.request import NEW, REPLAYED, encode_request
from learners.settings import LearningSettings
from schemas import topics
from schemas.envelope import Origin, derive_id
from schemas.training import TrainExample, TrainRequest
from streams.processor import Output


def genesis_request(model: str, learning: LearningSettings, seed: int) -> Output:
    """The record that begins a model: its settings, tasks and seed. The same settings give the same record."""
    manifest = TrainRequest(kind="genesis", model=model, seed=seed, reason="first", settings=learning.to_dict())
    began = datetime.fromtimestamp(0, UTC)
    return _request(manifest, derive_id("genesis", model, str(seed)), began, (), {})


def step_request(
    model: str,
    new: Sequence[TrainExample],
    replayed: Sequence[TrainExample],
    replay_weights: Sequence[float],
    seed: int,
    time: datetime,
    causes: tuple[Origin, ...],
) -> Output:
    """One gradient step's request, named after its newest example."""
    manifest = TrainRequest(
        kind="step", model=model, seed=seed, reason="feedback", new=tuple(new), replayed=tuple(replayed)
    )
    weights = {NEW: np.ones(len(new), np.float32), REPLAYED: np.asarray(replay_weights, np.float32)}
    return _request(manifest, derive_id("request", new[-1].id), time, causes, weights)


def _request(
    manifest: TrainRequest,
    id_: str,
    time: datetime,
    causes: tuple[Origin, ...],
    weights: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]],
) -> Output:
    value = encode_request(manifest, weights)
    return Output(topics.TRAIN_REQUEST, manifest.model, id_, time, manifest, causes, value)

"""A train request as bytes: the manifest in the metadata of a safetensors value, the sample weights its tensors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from schemas import codec
from schemas.errors import UndecodableEvent, UnusableEvent
from schemas.training import TrainRequest

Weights = Mapping[str, npt.NDArray[np.float32]]

NEW, REPLAYED = "weights.new", "weights.replayed"


def encode_request(manifest: TrainRequest, weights: Weights, written: bytes | None = None) -> bytes:
    """The value of a train request; equal requests are equal bytes. ``written`` is the manifest's JSON, if it is known.

    Raises UnusableEvent if the weights do not fit.
    """
    check_weights(manifest, weights)
    arrays = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in weights.items()}
    return save(arrays, metadata={"manifest": (written or codec.encode(manifest)).decode()})


def decode_request(value: bytes) -> tuple[TrainRequest, Weights]:
    """The manifest and weights of a train request.

    Raises:
        UndecodableEvent: the bytes are no safetensors value with a manifest and float32 tensors.
        UnusableEvent: the weights are not one finite, non-negative number an example.
        TooLarge: the value is larger than any value may be.
    """
    manifest = codec.decode_data(TrainRequest, codec.manifest(value))
    return manifest, read_weights(manifest, value)


def read_weights(manifest: TrainRequest, value: bytes) -> Weights:
    """The weights beside a manifest that was read already. Raises UndecodableEvent, UnusableEvent."""
    try:
        weights = load(value)
    except SafetensorError as error:
        raise UndecodableEvent(f"the value is no safetensors: {error}") from error
    check_weights(manifest, weights)
    return weights


def check_weights(manifest: TrainRequest, weights: Mapping[str, npt.NDArray[np.generic]]) -> None:
    """Raise UnusableEvent unless a step's request has one finite weight >= 0 for each of its examples."""
    wanted = {NEW: len(manifest.new), REPLAYED: len(manifest.replayed)} if manifest.kind == "step" else {}
    if set(weights) != set(wanted):
        raise UnusableEvent(f"a {manifest.kind} has the tensors {sorted(wanted)}, not {sorted(weights)}")
    for name, count in wanted.items():
        array = weights[name]
        if array.dtype != np.float32 or array.shape != (count,):
            raise UnusableEvent(f"{name} is {array.dtype} {list(array.shape)}, expected float32 [{count}]")
        if not (np.isfinite(array).all() and (array.astype(np.float32) >= 0).all()):
            raise UnusableEvent(f"{name} holds a weight that is negative or not finite")

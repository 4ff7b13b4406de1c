"""A model as bytes and back: safetensors, never pickle. Only rows ever touched are in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TypeVar, cast

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from learners.fingerprint import fingerprint
from learners.folded import BYTES, Folded
from learners.model import Dense, Model, Table, served_digest, trained_digest
from learners.optimiser import packed_width
from learners.parameters import EMBED, dense_shapes, table_widths
from learners.served import Served
from learners.settings import LearningSettings
from schemas.errors import CurrereError, ModelRefused

FORMAT = 2
STATE = "state/"
Tensors = Mapping[str, npt.NDArray[np.generic]]
Scalar = TypeVar("Scalar", bound=np.generic)


def snapshot(model: Model) -> bytes:
    """All of ``model``; the same model gives the same bytes, and ``restore`` folds on from them as it would.

    Tensors: ``served/NAME`` (float16) is what a consumer needs; ``trained/NAME`` (packed), ``steps/NAME`` and
    ``state/NAME`` what folding on needs as well. Of a table they hold the rows ``NAME.rows`` (int32). The metadata's
    ``manifest`` is JSON.
    """
    manifest = {
        "format": FORMAT,
        "settings": model.settings.to_dict(),
        "lineage": model.lineage,
        "next_offset": model.next_offset,
        "steps": model.steps,
        "digest": served_digest(model),
        "trained_digest": trained_digest(model),
        "fingerprint": fingerprint(),
    }
    tensors: dict[str, npt.NDArray[np.generic]] = {"folded": model.folded.to_array()}
    for name, table in model.tables.items():
        rows = table.rows()
        tensors[f"{name}.rows"] = rows.astype(np.int32)
        tensors[f"served/{name}"] = table.served[rows]
        tensors[f"trained/{name}"] = table.packed[rows]
    for name, dense in model.dense.items():
        tensors[f"served/{name}"] = dense.served
        tensors[f"trained/{name}"] = dense.packed
        tensors[f"steps/{name}"] = dense.steps
    tensors |= {f"{STATE}{name}": array for name, array in model.state.items()}
    return save(tensors, metadata={"manifest": json.dumps(manifest, sort_keys=True)})


def restore(value: bytes) -> Model:
    """The model that ``snapshot`` wrote. Raises ModelRefused unless it is whole and its digests are its own."""
    manifest, tensors = _opened(value)
    try:
        settings = _settings(manifest)
        model = Model(
            settings=settings,
            lineage=str(manifest["lineage"]),
            next_offset=_number(manifest, "next_offset"),
            steps=_number(manifest, "steps"),
            tables={name: _table(name, width, settings, tensors) for name, width in table_widths(settings).items()},
            dense={name: _dense(name, shape, tensors) for name, shape in dense_shapes(settings).items()},
            folded=_folded(tensors["folded"]),
            state={name.removeprefix(STATE): t.copy() for name, t in tensors.items() if name.startswith(STATE)},
        )
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise ModelRefused(f"the snapshot lacks or misshapes {error}") from error
    if served_digest(model) != manifest["digest"] or trained_digest(model) != manifest["trained_digest"]:
        raise ModelRefused(f"the snapshot of {model.version} does not have the digests that it claims")
    return model


def served_from_snapshot(value: bytes) -> Served:
    """What a consumer needs of a snapshot: its float16 arrays. Raises ModelRefused as ``restore`` does."""
    manifest, tensors = _opened(value)
    try:
        settings = _settings(manifest)
        arrays = {}
        for name, width in table_widths(settings).items():
            if name == EMBED or len(tensors[f"{name}.rows"]):
                arrays[name] = _scattered(tensors, name, f"served/{name}", np.float16, (settings.buckets, width))
        for name, shape in dense_shapes(settings).items():
            arrays[name] = _shaped(tensors[f"served/{name}"], np.float16, shape).copy()
        found = Served(settings, str(manifest["lineage"]), _number(manifest, "next_offset"), arrays)
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise ModelRefused(f"the snapshot lacks or misshapes {error}") from error
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise ModelRefused(f"the snapshot of {found.version} holds a number that is not finite")
    if found.digest() != manifest["digest"]:
        raise ModelRefused(f"the snapshot of {found.version} does not have the digest that it claims")
    return found


def _opened(value: bytes) -> tuple[Mapping[str, object], Tensors]:
    try:
        length = int.from_bytes(value[:8], "little")
        manifest = json.loads(json.loads(value[8 : 8 + length])["__metadata__"]["manifest"])
        if manifest["format"] != FORMAT:
            raise ModelRefused(f"the snapshot has format {manifest['format']}, this code reads {FORMAT}")
        return manifest, load(value)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ModelRefused(f"the bytes are no snapshot: {error!r}") from error


def _settings(manifest: Mapping[str, object]) -> LearningSettings:
    try:
        return LearningSettings.from_dict(cast(Mapping[str, object], manifest["settings"]))
    except CurrereError as error:
        raise ModelRefused(f"the snapshot's settings cannot be: {error}") from error


def _number(manifest: Mapping[str, object], name: str) -> int:
    value = manifest[name]
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{name}, which is {value!r}")
    return value


def _table(name: str, width: int, settings: LearningSettings, tensors: Tensors) -> Table:
    packed = (settings.buckets, packed_width(width))
    return Table(
        packed=_scattered(tensors, name, f"trained/{name}", np.float32, packed),
        served=_scattered(tensors, name, f"served/{name}", np.float16, (settings.buckets, width)),
    )


def _dense(name: str, shape: tuple[int, ...], tensors: Tensors) -> Dense:
    return Dense(
        packed=_shaped(tensors[f"trained/{name}"], np.float32, (4, *shape)).copy(),
        served=_shaped(tensors[f"served/{name}"], np.float16, shape).copy(),
        steps=_shaped(tensors[f"steps/{name}"], np.int64, (1,)).copy(),
    )


def _scattered(
    tensors: Tensors, name: str, of: str, dtype: type[Scalar], shape: tuple[int, ...]
) -> npt.NDArray[Scalar]:
    """An array of ``shape`` that is zero but for the stored rows."""
    rows = _shaped(tensors[f"{name}.rows"], np.int32, (len(tensors[f"{name}.rows"]),))
    if len(rows) and (rows[0] < 0 or rows[-1] >= shape[0] or (np.diff(rows) <= 0).any()):
        raise ValueError(f"{name}.rows, which are not rising within [0, {shape[0]})")
    found = np.zeros(shape, dtype=dtype)
    found[rows] = _shaped(tensors[of], dtype, (len(rows), *shape[1:]))
    return found


def _shaped(array: npt.NDArray[np.generic], dtype: type[Scalar], shape: tuple[int, ...]) -> npt.NDArray[Scalar]:
    if array.dtype != dtype or array.shape != shape:
        raise ValueError(f"an array of {array.dtype} {list(array.shape)}, expected {list(shape)}")
    return cast("npt.NDArray[Scalar]", array)


def _folded(ids: npt.NDArray[np.generic]) -> Folded:
    return Folded.of(_shaped(ids, np.uint8, (len(ids), BYTES)))

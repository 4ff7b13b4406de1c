"""What changed in a range of the log, as parts small enough for a broker, and how a consumer takes it in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from learners.model import Model, Rows, served_digest
from learners.parameters import dense_shapes, table_widths
from learners.served import Halves, Served
from learners.settings import LearningSettings
from schemas import codec
from schemas.errors import BadEvent, ModelRefused
from schemas.model import Delta

Tensors = dict[str, npt.NDArray[Any]]

MAX_PART_BYTES = 850_000
HEADER_BYTES = 1_500  # of a part beside its tensors' bytes: manifest, and a line for each tensor
TENSOR_HEADER_BYTES = 120


@dataclass(frozen=True, slots=True)
class Changes:
    """The rows of each table that changed since offset ``since``, rising."""

    since: int
    rows: Mapping[str, Rows]

    def and_then(self, touched: Mapping[str, Rows]) -> Changes:
        """These and the rows that one more request touched."""
        none = np.zeros(0, dtype=np.int64)
        names = sorted(set(self.rows) | set(touched))
        return Changes(
            self.since, {name: np.union1d(self.rows.get(name, none), touched.get(name, none)) for name in names}
        )


def no_changes(since: int) -> Changes:
    """Nothing has changed since offset ``since``."""
    return Changes(since, {})


def delta_parts(
    model: Model, changes: Changes, a: int, b: int, model_name: str, max_bytes: int = MAX_PART_BYTES
) -> list[bytes]:
    """The values at ``b``, where ``model`` stands, of all that changed in [a, b), in parts of ``max_bytes`` at most.

    Raises ValueError when the changes do not begin at or before ``a`` or the model does not stand at ``b``.
    """
    if changes.since > a or model.next_offset != b or not a < b:
        raise ValueError(f"changes since {changes.since} of a model at {model.next_offset} are no delta [{a}, {b})")
    contents = list(_packed(model, changes, max_bytes - HEADER_BYTES))
    manifest = Delta(
        model=model_name, lineage=model.lineage, version=model.version, a=a, b=b, part=0, parts=len(contents),
        digest=served_digest(model),
    )  # fmt: skip
    parts = []
    for number, tensors in enumerate(contents):
        mine = manifest.model_copy(update={"part": number})
        parts.append(save(tensors, metadata={"manifest": codec.encode(mine).decode()}))
    return parts


def _packed(model: Model, changes: Changes, budget: int) -> Iterator[Tensors]:
    """The tensors of part after part, each within ``budget`` bytes: dense parameters, then as many rows as fit."""
    tensors: Tensors = {}
    room = budget
    for name, dense in model.dense.items():
        size = dense.served.nbytes + TENSOR_HEADER_BYTES
        if tensors and size > room:
            yield tensors
            tensors, room = {}, budget
        tensors[name] = dense.served
        room -= size
    for name, rows in changes.rows.items():
        table = model.tables[name].served
        each = 4 + table.itemsize * table.shape[1]
        while len(rows):
            fitting = (room - 2 * TENSOR_HEADER_BYTES) // each
            if fitting <= 0:
                yield tensors
                tensors, room = {}, budget
                continue
            some, rows = rows[:fitting], rows[fitting:]
            tensors |= {f"{name}.rows": some.astype(np.int32), f"{name}.values": table[some]}
            room -= len(some) * each + 2 * TENSOR_HEADER_BYTES
    yield tensors


def apply_delta(served: Served, parts: Sequence[bytes]) -> Served:
    """What ``served`` becomes at the end of the delta whose ``parts`` these are, in any order.

    ``served`` is left as it is, so that who reads it meanwhile sees no half; arrays that did not change are shared.

    Raises:
        ModelRefused: a part is missing, unreadable or of another delta, ``served`` does not stand in [a, b), a number
            is not finite, a shape or row is not the settings' own, or the result lacks the digest that was promised.
    """
    opened = sorted(map(_opened, parts), key=lambda part: part[0].part)
    manifest = _agreed([part for part, _ in opened])
    if manifest.lineage != served.lineage or not manifest.a <= served.next_offset < manifest.b:
        raise ModelRefused(f"the delta [{manifest.a}, {manifest.b}) of {manifest.lineage} is not for {served.version}")
    for _, tensors in opened:
        _check_tensors(served.settings, tensors)
    arrays = {**served.arrays, **_changed(served, [tensors for _, tensors in opened])}
    found = replace(served, next_offset=manifest.b, arrays=arrays)
    if found.digest() != manifest.digest:
        raise ModelRefused(f"{served.version} with the delta to {manifest.version} does not have the digest promised")
    return found


def _changed(served: Served, parts: Sequence[Tensors]) -> dict[str, Halves]:
    """The arrays that differ once ``parts`` are applied: copies, or what a part holds whole."""
    changed: dict[str, Halves] = {}
    for tensors in parts:
        for name, tensor in tensors.items():
            table, _, what = name.rpartition(".")
            if what == "values":
                if table not in changed:
                    changed[table] = _copy(served, table)
                changed[table][tensors[f"{table}.rows"]] = tensor
            elif what != "rows":
                changed[name] = tensor
    return changed


def _copy(served: Served, table: str) -> Halves:
    if table in served.arrays:
        return served.arrays[table].copy()
    return np.zeros((served.settings.buckets, table_widths(served.settings)[table]), dtype=np.float16)


def _opened(part: bytes) -> tuple[Delta, Tensors]:
    try:
        return codec.decode_data(Delta, codec.manifest(part)), load(part)
    except (BadEvent, SafetensorError) as error:
        raise ModelRefused(f"a part of a delta cannot be read: {error}") from error


def _agreed(manifests: Sequence[Delta]) -> Delta:
    """The manifest that all parts share. Raises ModelRefused unless they are all the parts of one delta."""
    if not manifests:
        raise ModelRefused("a delta has at least one part")
    first = manifests[0]
    if [part.part for part in manifests] != list(range(first.parts)):
        raise ModelRefused(f"parts {[part.part for part in manifests]} of a delta of {first.parts} parts")
    if any(part.model_copy(update={"part": 0}) != first for part in manifests):
        raise ModelRefused(f"the parts are of several deltas, one of them to {first.version}")
    return first


def _check_tensors(settings: LearningSettings, tensors: Tensors) -> None:
    """Raise ModelRefused unless each tensor has the name, type, shape and rows that the settings allow."""
    widths, shapes = table_widths(settings), dense_shapes(settings)
    for name, tensor in tensors.items():
        table, _, what = name.rpartition(".")
        if name in shapes:
            _check(name, tensor, np.float16, shapes[name])
        elif table in widths and what == "rows" and f"{table}.values" in tensors:
            _check(name, tensor, np.int32, (len(tensor),))
            if len(tensor) and not (tensor.min() >= 0 and tensor.max() < settings.buckets):
                raise ModelRefused(f"{name} holds a row outside [0, {settings.buckets})")
        elif table in widths and what == "values" and f"{table}.rows" in tensors:
            _check(name, tensor, np.float16, (len(tensors[f"{table}.rows"]), widths[table]))
        else:
            raise ModelRefused(f"the delta holds {name!r}, which is no parameter under these settings")


def _check(name: str, tensor: npt.NDArray[np.generic], dtype: type[np.generic], shape: tuple[int, ...]) -> None:
    if tensor.dtype != dtype or tensor.shape != shape:
        raise ModelRefused(f"{name} is {tensor.dtype} {list(tensor.shape)}, expected {list(shape)}")
    if not np.isfinite(tensor).all():
        raise ModelRefused(f"{name} holds a number that is not finite")

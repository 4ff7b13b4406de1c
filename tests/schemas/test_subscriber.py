"""A subscriber written from the published document alone ends with the bytes that the worker serves."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from typing import Any

import jsonschema
import numpy as np
import numpy.typing as npt
import pytest
import xxhash

from learners.delta import delta_parts, no_changes
from learners.fold import fold
from learners.model import Model, served, served_digest
from learners.snapshot import snapshot
from schemas.codec import manifest
from schemas.publish import json_schemas
from tests.learners.cases import begun, moves, ones, step_request

Arrays = dict[str, npt.NDArray[Any]]
TYPES = {"F16": "<f2", "I32": "<i4", "F32": "<f4", "U32": "<u4", "U8": "u1"}


def opened(value: bytes) -> tuple[dict[str, Any], Arrays]:
    """The manifest and tensors of a safetensors file, as the document describes it."""
    (length,) = struct.unpack("<Q", value[:8])
    header = json.loads(value[8 : 8 + length])
    told = json.loads(header.pop("__metadata__")["manifest"])
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + length + at for at in entry["data_offsets"])
        tensors[name] = np.frombuffer(value[begin:end], TYPES[entry["dtype"]]).reshape(entry["shape"])
    return told, tensors


def digest(arrays: Arrays) -> str:
    """As the document describes it."""
    root = hashlib.sha256()
    for name in sorted(arrays):
        shape = arrays[name].shape
        root.update(f"{name} <f2 ({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})\n".encode())
        for first in range(0, shape[0], 4096):
            root.update(xxhash.xxh3_128(arrays[name][first : first + 4096].tobytes()).digest())
    return root.hexdigest()


@dataclass
class Subscriber:
    """Arrays at an offset of a lineage."""

    lineage: str
    offset: int
    arrays: Arrays

    @classmethod
    def from_checkpoint(cls, value: bytes) -> Subscriber:
        told, tensors = opened(value)
        arrays: Arrays = {}
        for tensor, values in tensors.items():
            name = tensor.removeprefix("served/")
            if name != tensor and f"{name}.rows" in tensors:
                arrays[name] = np.zeros((told["settings"]["buckets"], values.shape[1]), "<f2")
                arrays[name][tensors[f"{name}.rows"]] = values
            elif name != tensor:
                arrays[name] = values.copy()
        assert digest(arrays) == told["digest"]
        return cls(told["lineage"], told["next_offset"], arrays)

    def take(self, parts: list[bytes]) -> None:
        read = [opened(part) for part in parts]
        told = read[0][0]
        assert (told["lineage"], told["parts"]) == (self.lineage, len(parts))
        assert told["a"] <= self.offset < told["b"]
        copy = {name: array.copy() for name, array in self.arrays.items()}
        for _, tensors in read:
            for name, tensor in tensors.items():
                if name.endswith(".values"):
                    table = name.removesuffix(".values")
                    copy[table][tensors[f"{table}.rows"]] = tensor
                elif not name.endswith(".rows"):
                    copy[name] = tensor
        assert digest(copy) == told["digest"]
        self.arrays, self.offset = copy, told["b"]


def folded(model: Model, until: int, max_bytes: int) -> tuple[Model, list[bytes]]:
    changes, a = no_changes(model.next_offset), model.next_offset
    for offset in range(a, until):
        request = step_request(moves(4 * offset, 4))
        model, report = fold(model, request, ones(request), f"request-{offset}", offset)
        changes = changes.and_then(report.touched)
    return model, delta_parts(model, changes, a, until, "main", max_bytes)


@pytest.mark.parametrize("max_bytes", [850_000, 12_000])
def test_a_subscriber_written_from_the_document_serves_what_the_worker_serves(max_bytes: int) -> None:
    model, _ = folded(begun(), 4, max_bytes)
    subscriber = Subscriber.from_checkpoint(snapshot(model))
    for until in (6, 9):
        model, parts = folded(model, until, max_bytes)
        subscriber.take(parts)
        assert f"{subscriber.lineage}:{subscriber.offset}" == served(model).version
        assert digest(subscriber.arrays) == served_digest(model)


def test_a_delta_s_manifest_is_the_published_one() -> None:

    _, parts = folded(begun(), 3, 12_000)
    for part in parts:
        jsonschema.validate(json.loads(manifest(part)), json_schemas()["urn:currere:schema:edu.delta:1.0"])

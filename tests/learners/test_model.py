from __future__ import annotations

import json
import struct
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load, save

from learners.fold import fold
from learners.model import Table, genesis, served, served_digest, served_view, trained_digest
from learners.served import BLOCK_ROWS, merkle_root
from learners.snapshot import restore, served_from_snapshot, snapshot
from schemas.codec import manifest
from schemas.errors import ModelRefused, UnusableEvent
from tests.learners.cases import begun, folded, genesis_request, moves, ones, step_request


def test_a_genesis_is_a_function_of_its_record():
    assert trained_digest(genesis(genesis_request(), "one")) == trained_digest(genesis(genesis_request(), "two"))
    assert trained_digest(genesis(genesis_request(seed=8), "one")) != trained_digest(begun())


def test_two_genesis_records_begin_two_lineages():
    assert genesis(genesis_request(), "one").lineage != genesis(genesis_request(), "two").lineage


def test_a_version_is_lineage_and_next_offset():
    model = folded(begun(), 1, 3)
    assert model.version == f"{model.lineage}:4"


def test_a_lineage_begins_with_a_genesis_record():
    with pytest.raises(UnusableEvent):
        genesis(step_request(moves(0, 1)), "one")


def test_a_restored_model_is_the_same_and_folds_on_bit_identically():
    model = folded(begun(), 1, 4)
    again = restore(snapshot(model))
    assert snapshot(again) == snapshot(model)
    assert snapshot(folded(again, 5, 8)) == snapshot(folded(model, 5, 8))


def test_a_restored_model_remembers_what_it_folded():
    again = restore(snapshot(folded(begun(), 1, 1)))
    repeated = step_request(moves(4, 4))
    _, report = fold(again, repeated, ones(repeated), "another", 2)
    assert not report.event.applied


def test_a_snapshot_holds_only_rows_ever_touched():
    model = folded(begun(), 1, 1)
    tensors = load(snapshot(model))
    assert tensors["embed.rows"].tolist() == model.tables["embed"].rows().tolist()
    assert len(tensors["served/linear.depth"]) == 0


def test_a_consumer_builds_what_is_served_from_the_snapshot():
    model = folded(begun(), 1, 4)
    found = served_from_snapshot(snapshot(model))
    assert (found.version, found.settings, found.digest()) == (model.version, model.settings, served_digest(model))
    assert {name: array.tolist() for name, array in found.arrays.items()} == {
        name: array.tolist() for name, array in served(model).arrays.items()
    }


@pytest.mark.parametrize("name", ["served/embed", "served/head.move.bias", "trained/embed"])
def test_a_snapshot_whose_numbers_were_changed_is_refused(name: str):
    value = snapshot(folded(begun(), 1, 4))
    tensors = {key: array.copy() for key, array in load(value).items()}
    tensors[name].flat[0] += 1
    with pytest.raises(ModelRefused, match="digest"):
        restore(save(tensors, metadata={"manifest": manifest(value).decode()}))


def test_a_snapshot_with_rows_outside_the_table_is_refused():
    value = snapshot(folded(begun(), 1, 4))
    tensors = {key: array.copy() for key, array in load(value).items()}
    tensors["embed.rows"][-1] = 1 << 20
    for opened in (restore, served_from_snapshot):
        with pytest.raises(ModelRefused, match="rows"):
            opened(save(tensors, metadata={"manifest": manifest(value).decode()}))


def test_a_snapshot_that_lacks_an_array_is_refused():
    value = snapshot(begun())
    tensors = {key: array for key, array in load(value).items() if key != "served/trunk.bias"}
    for opened in (restore, served_from_snapshot):
        with pytest.raises(ModelRefused, match=r"trunk\.bias"):
            opened(save(tensors, metadata={"manifest": manifest(value).decode()}))


@pytest.mark.parametrize(
    "value",
    [b"", b"short", b"\x80\x04K\x01.", struct.pack("<Q", 1 << 60), struct.pack("<Q", 2) + b"{}",
     save({"seen": np.zeros(1)}, metadata={"manifest": "{}"}),
     save({"seen": np.zeros(1)}, metadata={"manifest": "[]"})],
)  # fmt: skip
def test_bytes_that_are_no_snapshot_are_refused(value: bytes):
    for opened in (restore, served_from_snapshot):
        with pytest.raises(ModelRefused):
            opened(value)


def test_a_snapshot_of_another_format_is_refused():
    value = snapshot(begun())
    other = json.dumps({**json.loads(manifest(value)), "format": 99})
    with pytest.raises(ModelRefused, match="99"):
        restore(save(load(value), metadata={"manifest": other}))


def test_a_copy_of_what_is_served_outlives_the_next_step_and_a_view_does_not():
    model = folded(begun(), 1, 4)
    kept, view = served(model), served_view(model)
    digest = kept.digest()
    folded(model, 5, 5)
    assert kept.digest() == digest != view.digest()


def test_a_digest_tells_values_names_types_and_shapes_apart():
    array = np.arange(3 * BLOCK_ROWS, dtype=np.float32).reshape(-1, 1)
    changed = array.copy()
    changed[-1] += 1
    others = [{"a": changed}, {"b": array}, {"a": array.astype(np.int32)}, {"a": array.reshape(-1, 3)}]
    assert len({merkle_root(arrays) for arrays in [{"a": array}, *others]}) == 5


def test_a_table_that_is_absent_has_the_digest_of_the_zeros_that_it_stands_for():
    weights = served(begun())
    zeros = np.zeros((weights.settings.buckets, 3), dtype=np.float16)
    assert replace(weights, arrays={**weights.arrays, "linear.move": zeros}).digest() == weights.digest()


def test_taking_memory_changes_no_bit():
    table = Table.zero(64, 64)
    table.packed[:], table.served[:] = np.float32(-0.0), np.float16(-0.0)
    before = table.packed.tobytes(), table.served.tobytes()
    table.take_memory()
    assert (table.packed.tobytes(), table.served.tobytes()) == before

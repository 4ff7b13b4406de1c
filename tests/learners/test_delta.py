from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from learners.delta import Changes, apply_delta, delta_parts, no_changes
from learners.fold import fold
from learners.model import Model, served, served_digest
from learners.served import Served
from schemas import codec
from schemas.errors import ModelRefused
from schemas.model import Delta
from schemas.topics import MAX_VALUE_BYTES
from tests.learners.cases import begun, moves, ones, step_request


def folded_with_changes(model: Model, until: int) -> tuple[Model, Changes]:
    """``model`` folded to offset ``until``, and what changed on the way."""
    changes = no_changes(model.next_offset)
    for offset in range(model.next_offset, until):
        request = step_request(moves(4 * offset, 4), moves(max(0, 4 * offset - 2), 2))
        model, report = fold(model, request, ones(request), f"request-{offset}", offset)
        changes = changes.and_then(report.touched)
    return model, changes


def between(a: int, b: int, max_bytes: int = 850_000) -> tuple[Served, Model, list[bytes]]:
    """What is served at ``a``, the model at ``b``, and the delta from one to the other."""
    start, _ = folded_with_changes(begun(), a)
    kept = served(start)
    model, changes = folded_with_changes(start, b)
    return kept, model, delta_parts(model, changes, a, b, "main", max_bytes)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(2, 9), min_size=1, max_size=5, unique=True).map(sorted))
def test_a_chain_of_deltas_with_any_cuts_gives_what_the_worker_serves(cuts: list[int]):
    model = begun()
    follower = served(model)
    for cut in cuts:
        a = model.next_offset
        model, changes = folded_with_changes(model, cut)
        follower = apply_delta(follower, delta_parts(model, changes, a, cut, "main"))
        assert follower.digest() == served_digest(model)
        assert follower.version == model.version


@pytest.mark.parametrize("stands", [2, 3, 5])
def test_whoever_stands_within_the_range_may_apply_a_delta(stands: int):
    model, _ = folded_with_changes(begun(), 2)
    changes = no_changes(2)
    for offset in range(2, 6):
        if offset == stands:
            follower = served(model)
        request = step_request(moves(4 * offset, 4))
        model, report = fold(model, request, ones(request), f"request-{offset}", offset)
        changes = changes.and_then(report.touched)
    assert apply_delta(follower, delta_parts(model, changes, 2, 6, "main")).digest() == served_digest(model)


@pytest.mark.parametrize("stands", [1, 6])
def test_whoever_stands_outside_the_range_is_refused(stands: int):
    _, _, parts = between(2, 6)
    outside, _ = folded_with_changes(begun(), stands)
    with pytest.raises(ModelRefused, match="not for"):
        apply_delta(served(outside), parts)


def test_every_part_fits_into_a_message_and_the_parts_are_whole_in_any_order():
    before, model, parts = between(1, 8, max_bytes=4_000)
    assert len(parts) > 2
    assert max(map(len, parts)) <= 4_000 < MAX_VALUE_BYTES
    assert apply_delta(before, parts[::-1]).digest() == served_digest(model)


def test_a_part_that_is_missing_or_comes_twice_is_refused():
    before, _, parts = between(1, 8, max_bytes=4_000)
    for wrong in ([], parts[1:], parts[:-1], [*parts, parts[0]]):
        with pytest.raises(ModelRefused):
            apply_delta(before, wrong)


def test_parts_of_two_deltas_are_refused():
    before, _, parts = between(1, 8, max_bytes=4_000)
    _, _, others = between(1, 7, max_bytes=4_000)
    with pytest.raises(ModelRefused):
        apply_delta(before, [*parts[:-1], *others[-1:]])


def test_the_manifest_says_what_the_delta_is():
    _, model, parts = between(2, 6)
    found = codec.decode_data(Delta, codec.manifest(parts[0]))
    assert (found.model, found.lineage, found.version) == ("main", model.lineage, model.version)
    assert (found.a, found.b, found.part, found.parts) == (2, 6, 0, len(parts))
    assert found.digest == served_digest(model)


def test_applying_leaves_the_old_untouched_and_shares_what_did_not_change():
    before, _, parts = between(3, 6)
    digest = before.digest()
    after = apply_delta(before, parts)
    assert before.digest() == digest != after.digest()
    changed = [name for name, array in after.arrays.items() if array is not before.arrays.get(name)]
    assert all(not np.shares_memory(after.arrays[name], before.arrays[name]) for name in changed)


def altered(parts: list[bytes], **tensors: np.ndarray) -> list[bytes]:
    """The delta of one part with some of its tensors replaced."""
    (part,) = parts
    return [save({**load(part), **tensors}, metadata={"manifest": codec.manifest(part).decode()})]


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("trunk.bias", np.full(8, np.nan, np.float16)),
        ("trunk.bias", np.zeros(8, np.float32)),
        ("trunk.bias", np.zeros(9, np.float16)),
        ("trunk.bias", np.ones(8, np.float16)),
        ("embed.rows", np.array([0], np.int32)),
        ("embed.rows", np.zeros((1, 1), np.int64)),
        ("elsewhere", np.zeros(1, np.float16)),
        ("linear.depth.values", np.zeros((1, 1), np.float16)),
    ],
)
def test_a_delta_whose_tensors_are_not_the_settings_own_is_refused(name: str, wrong: np.ndarray):
    before, _, parts = between(3, 6)
    digest = before.digest()
    with pytest.raises(ModelRefused):
        apply_delta(before, altered(parts, **{name: wrong}))
    assert before.digest() == digest


@pytest.mark.parametrize("row", [-1, 8192])
def test_a_row_outside_the_table_is_refused(row: int):
    before, _, parts = between(3, 6)
    rows = load(parts[0])["embed.rows"].copy()
    rows[0] = row
    with pytest.raises(ModelRefused, match="outside"):
        apply_delta(before, altered(parts, **{"embed.rows": rows}))


def test_bytes_that_are_no_delta_are_refused():
    before, _, parts = between(3, 6)
    for wrong in (b"", parts[0][:100], parts[0][:-1]):
        with pytest.raises(ModelRefused):
            apply_delta(before, [wrong])


def test_a_delta_of_another_lineage_is_refused():
    before, _, parts = between(3, 6)
    with pytest.raises(ModelRefused, match="not for"):
        apply_delta(replace(before, lineage="other"), parts)


def test_changes_that_begin_too_late_make_no_delta():
    model, changes = folded_with_changes(begun(), 4)
    with pytest.raises(ValueError, match="delta"):
        delta_parts(model, changes, 0, 4, "main")

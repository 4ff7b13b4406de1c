from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from learners.request import decode_request, encode_request
from schemas import codec
from schemas.errors import BadEvent, UnusableEvent
from tests.learners.cases import genesis_request, moves, ones, step_request


@given(st.lists(st.floats(0, 100, width=32), min_size=3, max_size=3))
def test_a_request_survives_its_way_through_bytes(weights: list[float]):
    request = step_request(moves(0, 2), moves(2, 1))
    given = {"weights.new": np.float32(weights[:2]), "weights.replayed": np.float32(weights[2:])}
    manifest, found = decode_request(encode_request(request, given))
    assert manifest == request
    assert {name: array.tolist() for name, array in found.items()} == {name: a.tolist() for name, a in given.items()}


def test_a_genesis_has_no_tensors():
    manifest, weights = decode_request(encode_request(genesis_request(), {}))
    assert (manifest, weights) == (genesis_request(), {})


def test_equal_requests_are_equal_bytes():
    request = step_request(moves(0, 2))
    assert encode_request(request, ones(request)) == encode_request(request, ones(request))


@pytest.mark.parametrize(
    "weights",
    [
        {},
        {"weights.new": np.ones(2, np.float32)},
        {"weights.new": np.ones(3, np.float32), "weights.replayed": np.ones(0, np.float32)},
        {"weights.new": np.ones(2, np.float64), "weights.replayed": np.ones(0, np.float32)},
        {"weights.new": np.float32([1, -1]), "weights.replayed": np.ones(0, np.float32)},
        {"weights.new": np.float32([1, np.nan]), "weights.replayed": np.ones(0, np.float32)},
    ],
)
def test_weights_that_do_not_fit_are_unusable(weights: dict[str, np.ndarray]):
    manifest = codec.encode(step_request(moves(0, 2))).decode()
    with pytest.raises(UnusableEvent):
        decode_request(save(weights, metadata={"manifest": manifest}))


def test_bytes_that_are_no_request_are_a_bad_event():
    request = step_request(moves(0, 2))
    value = encode_request(request, ones(request))
    for wrong in (b"", value[:50], value[:-1]):
        with pytest.raises(BadEvent):
            decode_request(wrong)

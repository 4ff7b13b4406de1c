"""The pretrained encoder inside the fold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from learners.encode import encode
from learners.fold import fold
from learners.model import Model, served, trained_digest
from learners.predict import predict_arrays
from learners.sentence_layer import WEIGHT, head_of
from tests.learners.cases import SMALL, genesis_request, moves, ones, said, step_request

READING = replace(SMALL, encoder="ngram+sentence")


def folded(steps: int = 3) -> Model:
    model, _ = fold(None, genesis_request(READING), {}, "genesis", 0)
    for number in range(1, steps + 1):
        request = step_request(moves(6 * number, 6))
        model, _ = fold(model, request, ones(request), f"request-{number}", number)
    return model


def test_two_folds_of_one_log_are_the_same_bytes() -> None:
    assert trained_digest(folded()) == trained_digest(folded())


def test_a_step_moves_the_layer_and_the_head_of_the_labelled_task_only() -> None:
    begun, model = folded(steps=0), folded()
    assert (model.dense[WEIGHT].packed[0] != begun.dense[WEIGHT].packed[0]).any()
    assert model.dense[head_of("move")].packed[0].any()
    assert not model.dense[head_of("support")].packed[0].any()


def test_served_logits_are_those_without_the_layer_and_what_it_adds() -> None:
    weights, features = served(folded()), encode([said("Why do you think so?")], READING)
    without = replace(weights, arrays={n: a for n, a in weights.arrays.items() if not n.startswith("sentence.")})
    arrays = {name: array.astype(np.float32) for name, array in weights.arrays.items()}
    hidden = np.maximum(features.sentence @ arrays[WEIGHT] + arrays["sentence.bias"], 0)
    added = predict_arrays(weights, features)["move"] - predict_arrays(without, features)["move"]
    np.testing.assert_allclose(added, hidden @ arrays[head_of("move")], rtol=1e-3, atol=1e-5)

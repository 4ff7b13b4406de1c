from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from learners.parameters import task_of
from learners.sentence_features import SENTENCE
from learners.sentence_layer import BIAS, HIDDEN, WEIGHT, added, head_of, shapes
from tests.learners.cases import SMALL

READING = replace(SMALL, encoder="ngram+sentence")


def drawn() -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(3)
    return {name: torch.randn(shape, generator=draw) for name, shape in shapes(READING).items()}


def test_without_the_sentence_encoder_there_is_no_layer() -> None:
    assert shapes(SMALL) == {}
    assert added({}, torch.zeros(2, 0), ["move"]) == {}


def test_each_task_has_a_head_of_its_own_as_wide_as_its_logits() -> None:
    expected = {head_of(task.name): (HIDDEN, task.logits) for task in SMALL.tasks}
    assert shapes(READING) == {WEIGHT: (SENTENCE, HIDDEN), BIAS: (HIDDEN,), **expected}


def test_a_head_belongs_to_its_task_and_the_layer_to_all() -> None:
    assert [task_of(name) for name in (head_of("move"), WEIGHT, BIAS)] == ["move", None, None]


def test_what_is_added_is_a_head_of_one_hidden_layer() -> None:
    layer, sentence = drawn(), torch.randn(5, SENTENCE, generator=torch.Generator().manual_seed(4))
    hidden = np.maximum(sentence.numpy() @ layer[WEIGHT].numpy() + layer[BIAS].numpy(), 0)
    found = added(layer, sentence, ["move", "support"])
    assert list(found) == ["move", "support"]
    for task, logits in found.items():
        np.testing.assert_allclose(logits.numpy(), hidden @ layer[head_of(task)].numpy(), rtol=1e-3, atol=1e-2)


def test_a_layer_whose_heads_are_zero_adds_nothing() -> None:
    layer = {name: value * (not name.startswith("head.")) for name, value in drawn().items()}
    assert not added(layer, torch.ones(3, SENTENCE), ["move"])["move"].any()

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from learners.analyzer import batch, forward, losses, masked, see
from learners.encode import encode
from learners.parameters import EMBED, dense_shapes, table_widths
from learners.targets import target, targets
from schemas.interaction import Payload
from tests.learners.cases import CLAIM, DEPTH, MOVE, SMALL, SUPPORT, said

INPUTS = [said("why is it twelve?", before=[("student", "twelve")]), said("", "student"), said("okay", "unknown")]


def parameters(rows: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random ones, of tables with ``rows`` rows."""
    draw = torch.Generator().manual_seed(seed)
    shapes = {name: (rows, width) for name, width in table_widths(SMALL).items()} | dense_shapes(SMALL)
    return {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()}


def test_the_linear_bag_adds_its_rows_to_the_logits():
    given = batch(encode(INPUTS, SMALL))
    whole = parameters(len(given.touched))
    without = {name: value for name, value in whole.items() if not name.startswith("linear.")}
    difference = forward(whole, given, [MOVE])["move"] - forward(without, given, [MOVE])["move"]
    edges = given.bags[::3].tolist()
    for example, (first, end) in enumerate(pairwise(edges)):
        expected = whole["linear.move"][given.positions[first:end]].sum(0)
        torch.testing.assert_close(difference[example], expected, rtol=1e-4, atol=1e-4)


def test_logits_of_an_example_do_not_depend_on_its_batch():
    together = batch(encode(INPUTS, SMALL))
    table = parameters(SMALL.buckets)
    for position, one in enumerate(INPUTS):
        alone = batch(encode([one], SMALL))
        found = [
            forward({n: v[g.touched] if n in table_widths(SMALL) else v for n, v in table.items()}, g, SMALL.tasks)
            for g in (alone, together)
        ]
        for task in SMALL.tasks:
            torch.testing.assert_close(found[0][task.name][0], found[1][task.name][position])


def test_touched_rows_are_those_of_the_features_each_once():
    features = encode(INPUTS, SMALL)
    given = batch(features)
    assert given.touched.tolist() == sorted(set(features.rows.tolist()))
    assert (given.touched[given.positions.numpy()] == features.rows).all()


def test_the_loss_of_classes_is_the_cross_entropy_of_each_that_has_a_label():
    logits = {"move": torch.tensor([[1.0, 0.0, -1.0], [0.0, 0.0, 0.0]])}
    labels = [targets(MOVE, [{"move": "none"}, {"move": "press"}, {}])]
    first = -math.log(math.exp(1) / (math.exp(1) + 1 + math.exp(-1)))
    assert losses(logits, labels)["move"].tolist() == pytest.approx([first, math.log(3)])


@pytest.mark.parametrize(("task", "value"), [(CLAIM, ("reason",)), (SUPPORT, 5.0), (DEPTH, 0.3)])
def test_the_loss_of_other_tasks_is_the_binary_cross_entropy_of_every_logit(task, value):
    logits = np.linspace(-1, 1, task.logits).reshape(1, -1)
    share = 1 / (1 + np.exp(-logits))
    wanted = target(task, value)
    expected = -(wanted * np.log(share) + (1 - wanted) * np.log(1 - share)).sum()
    found = losses({task.name: torch.tensor(logits, dtype=torch.float32)}, [targets(task, [{task.name: value}])])
    assert found[task.name].item() == pytest.approx(expected, rel=1e-5)


def test_the_embedding_width_is_the_settings():
    assert table_widths(SMALL)[EMBED] == SMALL.dim


def test_a_hidden_modality_is_as_if_it_had_never_been_there():
    settings = replace(SMALL, audio_dim=3, video_dim=2)
    both = INPUTS[0].model_copy(update={"payload": Payload(text="why?", audio=(1, 2, 3), video=(4, 5))})
    heard = INPUTS[0].model_copy(update={"payload": Payload(text="why?", audio=(1, 2, 3))})
    hidden = masked(batch(encode([both], settings)), torch.tensor([[1.0, 0.0]]))
    alone = batch(encode([heard], settings))
    assert torch.equal(hidden.video, alone.video)
    assert torch.equal(hidden.audio, alone.audio)
    assert torch.equal(hidden.present, alone.present)


def test_the_trunk_sees_as_many_numbers_as_it_has_rows():
    settings = replace(SMALL, audio_dim=3, video_dim=2)
    given = batch(encode(INPUTS, settings))
    parameters = {EMBED: torch.zeros(len(given.touched), SMALL.dim)}
    assert see(parameters, given, ()).inputs.shape == (len(INPUTS), dense_shapes(settings)["trunk.weight"][0])

"""Agreement between modalities: what each part of its loss is, and what it leaves alone."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given as having
from hypothesis import strategies as st
from torch import Tensor

from learners.analyzer import Batch
from learners.consistency import TEMPERATURE, alone, consistency, contrast, divergence, embeddings
from learners.modalities import AUDIO, TEXT, VIDEO, columns, shapes, tasks_of, weight_of
from learners.settings import LearningSettings
from learners.targets import targets
from learners.tasks import Task

ASKED = Task(name="asked", kind="categorical", classes=("none", "closed", "open"), group="question", agrees=(AUDIO,))
DEPTH = Task(name="depth", kind="regression", range=(0, 1), group="depth", agrees=(VIDEO,))
WAIT = Task(name="wait", kind="regression", range=(0, 30), group="rest", agrees=(AUDIO,))
MOVE = Task(name="move", kind="categorical", classes=("none", "press"), group="move")
CLAIM = Task(name="claim", kind="multilabel", classes=("claim", "reason"), group="move", agrees=(AUDIO, VIDEO))
TASKS = (ASKED, DEPTH, WAIT, MOVE, CLAIM)
BOTH = LearningSettings(tasks=TASKS, dim=2, audio_dim=5, video_dim=4, consistency_dim=3)
LABELS = [{"asked": "open", "depth": 0.5, "wait": 3.0, "move": "press", "claim": ("claim",)}] * 6
PARTS = {"contrast", "alone", "accord"}


def parameters(settings: LearningSettings = BOTH, seed: int = 0) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=draw).requires_grad_() for name, shape in shapes(settings).items()}


def moments(n: int = 6, seed: int = 1, absent: tuple[tuple[int, int], ...] = ()) -> tuple[Batch, Tensor]:
    """A batch of ``n`` moments and its text; ``absent`` names (moment, 0 for audio or 1 for video)."""
    draw = torch.Generator().manual_seed(seed)
    present = torch.ones(n, 2)
    for place in absent:
        present[place] = 0
    audio = torch.randn(n, 5, generator=draw) * present[:, :1]
    video = torch.randn(n, 4, generator=draw) * present[:, 1:]
    none = torch.zeros(0, dtype=torch.int64)
    batch = Batch(none.numpy(), none, none, torch.zeros(n, 1), audio, video, present, torch.ones(n), torch.zeros(n, 0))
    return batch, torch.randn(n, 6, generator=draw)


def parts(given: Batch, text: Tensor, new: int, settings: LearningSettings = BOTH) -> dict[str, Tensor]:
    found = [targets(task, LABELS[: len(given)]) for task in settings.tasks]
    return consistency(parameters(settings), given, text, found, new, settings)


def test_where_only_text_is_looked_at_nothing_is_to_agree():
    text_only = replace(BOTH, audio_dim=0, video_dim=0)
    given, text = moments()
    assert shapes(text_only) == {}
    assert parts(given, text, 6, text_only) == {}
    assert embeddings({}, given, text, text_only) == {}


def test_without_weight_there_is_nothing_to_learn_either():
    assert shapes(replace(BOTH, consistency_weight=0.0)) == {}


def test_each_modality_speaks_of_the_tasks_that_name_it_and_text_of_all_of_these():
    assert tasks_of(AUDIO, BOTH) == (ASKED, WAIT, CLAIM)
    assert tasks_of(VIDEO, BOTH) == (DEPTH, CLAIM)
    assert tasks_of(TEXT, BOTH) == (ASKED, DEPTH, WAIT, CLAIM)
    assert tasks_of(TEXT, replace(BOTH, video_dim=0)) == (ASKED, WAIT, CLAIM)


def test_the_logits_of_a_modality_stand_behind_its_point_each_once():
    for name, width in ((TEXT, 6), (AUDIO, 5), (VIDEO, 4)):
        places = [at for _, where in columns(name, BOTH) for at in range(where.start, where.stop)]
        assert places == list(range(BOTH.consistency_dim, BOTH.consistency_dim + len(places)))
        assert shapes(BOTH)[weight_of(name)] == (width, BOTH.consistency_dim + len(places))


def test_points_have_norm_one_and_are_zero_where_the_modality_is_absent():
    given, text = moments(absent=((2, 0), (3, 1)))
    found = embeddings(parameters(), given, text, BOTH)
    norms = {name: points.norm(dim=1) for name, points in found.items()}
    torch.testing.assert_close(norms[TEXT], torch.ones(6))
    torch.testing.assert_close(norms[AUDIO], given.present[:, 0])
    torch.testing.assert_close(norms[VIDEO], given.present[:, 1])


def points_of(n: int, seed: int = 0) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    drawn = {name: torch.randn(n, 3, generator=draw) for name in (TEXT, AUDIO, VIDEO)}
    return {name: each / each.norm(dim=1, keepdim=True) for name, each in drawn.items()}


def same(n: int) -> dict[str, Tensor]:
    return dict.fromkeys((TEXT, AUDIO, VIDEO), torch.ones(n))


def test_the_contrast_is_the_mean_of_cross_entropies_of_finding_ones_own():
    points = points_of(4)
    expected = []
    for pair in combinations(points, 2):
        for one, other in (pair, pair[::-1]):
            for i in range(3):
                near = [float(points[one][i] @ points[other][j]) / TEMPERATURE for j in range(4)]
                expected.append(math.log(sum(map(math.exp, near))) - near[i])
    found = contrast(points, same(4), same(3))
    assert float(found) == pytest.approx(sum(expected) / len(expected), rel=1e-4)


def test_modalities_that_place_all_moments_alike_lose_the_log_of_how_many_there_are():
    points = dict.fromkeys((TEXT, AUDIO), torch.tensor([[1.0, 0.0]]).expand(5, 2))
    assert float(contrast(points, same(5), same(5))) == pytest.approx(math.log(5), rel=1e-5)


def test_what_is_absent_is_nobodys_rival_and_no_anchor():
    points = points_of(6)
    there = {**same(6), AUDIO: torch.tensor([1.0, 1.0, 0.0, 1.0, 1.0, 0.0])}
    kept = torch.tensor([0, 1, 3, 4])
    pair = {name: points[name] for name in (TEXT, AUDIO)}
    moved = {TEXT: points[TEXT], AUDIO: torch.where(there[AUDIO].bool()[:, None], points[AUDIO], -points[AUDIO])}
    torch.testing.assert_close(contrast(pair, there, there), contrast(moved, there, there))
    heard = contrast({AUDIO: points[AUDIO], VIDEO: points[VIDEO]}, there, there)
    whole = {AUDIO: points[AUDIO][kept], VIDEO: points[VIDEO][kept]}
    # seen from the audio every video is a rival; seen from the video only what was heard
    assert float(heard) >= float(contrast(whole, same(4), same(4)))


def test_moments_whose_audio_is_unclear_count_less():
    given, text = moments()
    unheard = replace(given, clarity=torch.zeros(6))
    silent = replace(given, present=given.present * torch.tensor([0.0, 1.0]), audio=given.audio * 0)
    for name in ("alone", "accord"):
        torch.testing.assert_close(parts(unheard, text, 6)[name], parts(silent, text, 6)[name])


def test_replayed_examples_are_no_anchors_and_teach_no_head():
    given, text = moments()
    turned = replace(given, audio=torch.cat((given.audio[:4], -given.audio[4:])))
    for name in ("alone", "accord"):
        torch.testing.assert_close(parts(given, text, 4)[name], parts(turned, text, 4)[name], rtol=0, atol=0)
    assert parts(given, text, 4)["contrast"] != parts(turned, text, 4)["contrast"]  # but rivals they are


def test_a_batch_of_replayed_examples_alone_loses_nothing():
    given, text = moments()
    assert all(part.item() == 0 for part in parts(given, text, 0).values())


def test_the_parts_grow_with_the_weight_in_the_settings():
    given, text = moments()
    once, twice = parts(given, text, 6), parts(given, text, 6, replace(BOTH, consistency_weight=1.0))
    assert set(once) == PARTS
    for name in PARTS:
        torch.testing.assert_close(2 * once[name], twice[name])


def test_only_labelled_tasks_are_taught():
    given, text = moments()
    found = [targets(MOVE, LABELS)]
    said = consistency(parameters(), given, text, found, 6, BOTH)
    assert (float(said["alone"]), float(said["accord"])) == (0, 0)


def test_a_modality_by_itself_is_linear_in_what_it_is_given():
    given, text = moments()
    held = parameters()
    said = alone(held, given, text, BOTH)
    for task, at in columns(AUDIO, BOTH):
        expected = given.audio @ held["agree.audio.weight"][:, at] + held["agree.audio.bias"][at]
        torch.testing.assert_close(said[AUDIO][task.name], expected)


LOGITS = st.lists(st.floats(-8, 8, width=32), min_size=3, max_size=3)


@having(LOGITS, LOGITS)
def test_the_divergence_of_classes_is_symmetric_and_at_most_ln_2(one: list[float], other: list[float]):
    p, q = torch.tensor([one]), torch.tensor([other])
    found = divergence(ASKED, p, q).item()
    assert found == pytest.approx(divergence(ASKED, q, p).item(), abs=1e-5)
    assert -1e-5 <= found <= math.log(2) + 1e-5
    assert divergence(ASKED, p, p).item() == pytest.approx(0, abs=1e-5)


def test_the_divergence_of_classes_is_the_mean_of_both_to_the_middle():
    p, q = np.array([0.7, 0.2, 0.1]), np.array([0.1, 0.3, 0.6])
    middle = (p + q) / 2
    expected = ((p * np.log(p / middle)).sum() + (q * np.log(q / middle)).sum()) / 2
    found = divergence(ASKED, torch.tensor(np.log(p))[None].float(), torch.tensor(np.log(q))[None].float())
    assert float(found) == pytest.approx(expected, rel=1e-4)


def test_modalities_sure_of_opposite_bits_are_ln_2_apart_whatever_their_number():
    sure = torch.tensor([[30.0, -30.0]])
    assert divergence(CLAIM, sure, -sure).item() == pytest.approx(math.log(2), rel=1e-4)


@pytest.mark.parametrize(("one", "other"), [(3.0, 3.5), (3.0, 9.0)])
def test_waits_are_compared_in_seconds_quadratically_within_one(one: float, other: float):
    logits = [torch.tensor([[math.log(seconds / (30 - seconds))]]) for seconds in (one, other)]
    apart = abs(one - other)
    expected = apart**2 / 2 if apart <= 1 else apart - 0.5
    assert divergence(WAIT, *logits).item() == pytest.approx(expected, rel=1e-3)


def test_steps_along_the_gradient_bring_what_belongs_together_together():
    given, text = moments(n=6, seed=4)
    held = {name: value.detach() for name, value in parameters().items()}
    found = [targets(task, LABELS) for task in TASKS]

    def lost() -> Tensor:
        return consistency(held, given, text, found, 6, BOTH)["contrast"]

    before = float(lost())
    for _ in range(60):
        held = {name: value.requires_grad_() for name, value in held.items()}
        gradients = torch.autograd.grad(lost(), list(held.values()))
        held = {n: (v - 0.2 * g).detach() for (n, v), g in zip(held.items(), gradients, strict=True)}
    assert float(lost()) < before / 2

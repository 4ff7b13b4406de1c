"""What research asks of the outputs, asked by constraints: proofs that they guide and do nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from learners import guidance
from learners.guidance import NAMES, SLACK, dot, guided, no_multipliers, projected, updated
from learners.model import Model, trained_digest
from learners.parameters import EMBED
from learners.settings import LearningSettings
from learners.step import step
from learners.tasks import Constraint, default_tasks
from schemas.interaction import Payload
from schemas.prediction import ExampleInput
from schemas.training import TrainExample
from tests.learners.cases import begun, example, said

GUIDED = tuple(task for task in default_tasks() if task.constraint is not None)
SETTINGS = LearningSettings(
    tasks=GUIDED, buckets=8192, dim=4, hidden=8, warm_up_steps=0, dense_rate=1e-2, guidance_rate=0.5, guidance_limit=4.0
)
STEPS = 60


def moment(number: int) -> TrainExample:
    """A moment whose labels go against all four: open questions that look closed, short waits, support that rises
    with mastery, contingent replies called a coin's toss."""
    mastery = (0.3, 0.75, 0.95)[number % 3]
    payload = Payload(text=f"what do you see in picture {number}")
    given = ExampleInput(session="lesson", role="teacher", payload=payload, mastery=mastery)
    made = example(
        f"moment-{number}", given,
        question_type="open" if number % 3 == 0 else "closed", wait_time=1.0, responsiveness=0.5,
        scaffolding=("hints", "modeling", "explaining") if mastery > 0.9 else (),
    )  # fmt: skip
    return made.model_copy(update={"flags": ("prefers_open_questions",)})


MOMENTS = tuple(moment(number) for number in range(18))
ONES = np.ones(len(MOMENTS), dtype=np.float32)


def taught(settings: LearningSettings, steps: int = STEPS, with_: Sequence[TrainExample] = MOMENTS) -> Model:
    model = begun(settings)
    for _ in range(steps):
        model, _ = step(model, with_, (), ONES[: len(with_)])
    return model


def violations_of(model: Model) -> dict[str, float]:
    """What a further step says of each constraint."""
    _, progress = step(model, MOMENTS, (), ONES)
    return {name: progress.guidance[f"{name}.violation"] for name in NAMES}


def without(name: Constraint | None) -> LearningSettings:
    """The settings with one constraint switched off; None: all."""
    tasks = [replace(task, research_weight=0.0) if name in (None, task.constraint) else task for task in GUIDED]
    return replace(SETTINGS, tasks=tuple(tasks))


def measured(settings: LearningSettings) -> dict[str, float]:
    """The violations of a model taught under ``settings``, measured with all constraints in view."""
    model = taught(settings)
    return violations_of(replace(model, settings=SETTINGS))


@pytest.fixture(scope="module")
def all_on() -> dict[str, float]:
    return measured(SETTINGS)


def test_slack_constraints_leave_every_bit_as_it_is():
    kept = [example(f"kept-{n}", said(f"why is it so {n}"), question_type="closed") for n in range(6)]
    with_them, without_them = taught(SETTINGS, 5, kept), taught(without(None), 5, kept)
    assert {n: a.packed.tobytes() for n, a in with_them.dense.items()} == {
        n: a.packed.tobytes() for n, a in without_them.dense.items()
    }
    assert with_them.tables[EMBED].packed.tobytes() == without_them.tables[EMBED].packed.tobytes()


def test_without_an_active_constraint_the_gradient_is_the_very_same_object():
    gradients = {"a": np.ones(3, dtype=np.float32)}
    violated = {"wait_time": torch.tensor(0.5)}
    assert (
        guided(gradients, violated, no_multipliers(), lambda _: pytest.fail("nobody asks for its gradient"))
        is gradients
    )


def test_flipping_the_signs_of_embedding_units_changes_nothing_but_their_signs():
    """A sum of parameters is not the same under this symmetry of the network; research cannot depend on it either."""
    flip = np.array([1, -1, -1, 1], dtype=np.float32)

    def flipped(model: Model) -> Model:
        fields = model.dense["trunk.weight"].packed
        fields[:2, : 3 * 4] *= np.tile(flip, 3)[None, :, None]
        model.tables[EMBED].packed[:, :4] *= flip
        return model

    straight, mirrored = begun(SETTINGS), flipped(begun(SETTINGS))
    for _ in range(8):
        straight, one = step(straight, MOMENTS, (), ONES)
        mirrored, other = step(mirrored, MOMENTS, (), ONES)
    assert one.guidance == other.guidance
    assert max(one.guidance[f"{name}.multiplier"] for name in NAMES) > 0
    assert (flip * mirrored.tables[EMBED].packed[:, :4] == straight.tables[EMBED].packed[:, :4]).all()


def test_violated_constraints_shrink(all_on: dict[str, float]):
    unguided = measured(without(None))
    assert all(all_on[name] < unguided[name] for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_with_a_constraint_switched_off_its_own_violation_rises(name: Constraint, all_on: dict[str, float]):
    assert measured(without(name))[name] > all_on[name]


def test_the_loss_of_a_task_without_a_constraint_stays_what_it_was():
    tasks = tuple(task for task in default_tasks() if task.constraint or task.name == "teacher_move")
    moves = [m.model_copy(update={"labels": {**m.labels, "teacher_move": "revoicing"}}) for m in MOMENTS]
    losses = []
    for settings in (replace(SETTINGS, tasks=tasks), replace(SETTINGS, tasks=tasks, guidance_rate=0.0)):
        _, progress = step(taught(settings, with_=moves), moves, (), ONES)
        losses.append(progress.losses["teacher_move"])
    assert losses[0] <= losses[1] + 0.02


def test_a_multiplier_never_leaves_its_bounds():
    model = taught(replace(SETTINGS, guidance_rate=50.0), 10)
    assert (model.state["guidance"][:, 0] >= 0).all()
    assert (model.state["guidance"][:, 0] <= SETTINGS.guidance_limit).all()


def test_a_multiplier_follows_the_mean_violation_beyond_its_slack():
    after = updated(no_multipliers(), {"wait_time": torch.tensor(0.45)}, SETTINGS)
    mean = (1 - guidance.SMOOTHING) * (0.45 - SLACK["wait_time"])
    row = after[NAMES.index("wait_time")]
    assert row.tolist() == pytest.approx([SETTINGS.guidance_rate * 0.25 * mean, mean], rel=1e-5)


def test_calling_everything_open_violates_question_quality_too():
    task = next(task for task in GUIDED if task.constraint == "question_quality")
    labels = np.array([[0, 0, 1]] + [[0, 1, 0]] * 9, dtype=np.float32)
    all_open = torch.tensor([[-9.0, -9.0, 9.0]] * 10)
    moments = [m.model_copy(update={"labels": {}}) for m in MOMENTS[:10]]
    found = guidance.question_quality(guidance.Moment(task, all_open, labels, moments, SETTINGS))
    assert found is not None
    assert found.item() == pytest.approx(guidance.PRECISION - 1 / 10, abs=1e-4)


def test_the_violation_is_whole_where_nothing_at_all_is_called_open():
    """In 32 bits exp(-200) is 0: soft precision would be 0 / 0, and a multiplier that is NaN stays so."""
    task = next(task for task in GUIDED if task.constraint == "question_quality")
    labels = np.array([[0, 0, 1]], dtype=np.float32)
    logits = torch.tensor([[100.0, 0.0, -100.0]], requires_grad=True)
    moments = [MOMENTS[0].model_copy(update={"flags": ("prefers_open_questions",)})]
    found = guidance.question_quality(guidance.Moment(task, logits, labels, moments, SETTINGS))
    assert found is not None
    assert found.item() == pytest.approx(1 + guidance.PRECISION)
    (gradient,) = torch.autograd.grad(found, logits)
    assert torch.isfinite(gradient).all()


def test_a_wait_within_three_to_seven_seconds_is_kept_and_others_miss_by_their_share():
    task = next(task for task in GUIDED if task.constraint == "wait_time")
    for seconds, share in ((5.0, 0.0), (1.5, 0.5), (14.0, 1.0)):
        logit = np.log(seconds / (30 - seconds))
        open_one = [MOMENTS[0]]
        at = guidance.Moment(task, torch.tensor([[logit]]), np.zeros((1, 1), np.float32), open_one, SETTINGS)
        found = guidance.wait_time(at)
        assert found is not None
        assert found.item() == pytest.approx(share, abs=1e-5)


vectors = arrays(np.float32, 5, elements=st.floats(-8, 8, width=32))


@given(vectors, vectors)
def test_what_is_projected_no_longer_goes_against(g, a):
    found = projected({"p": g}, {"p": a})
    assert dot(found, {"p": a}) >= -1e-3 * (1 + dot({"p": a}, {"p": a}))
    if dot({"p": g}, {"p": a}) >= 0:
        assert found["p"] is g


def test_adding_a_constant_to_the_gradient_moves_what_no_example_says_anything_about():
    """g + c is the gradient of L + c·Σθ: it has no bound and sees no label. This is why guidance is not that."""
    c, rate, steps = 0.1, 0.5, 200
    features, labels = torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), torch.tensor([1.0, 0.0])
    theta = torch.zeros(2, requires_grad=True)
    for _ in range(steps):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(features @ theta, labels)
        (gradient,) = torch.autograd.grad(loss, theta)
        theta = (theta - rate * (gradient + c)).detach().requires_grad_()
    assert theta[1].item() == pytest.approx(-rate * c * steps, rel=1e-4)  # no example has this feature
    assert theta[0].item() == pytest.approx(math.log((1 - c) / c), rel=1e-3)  # ... and what decides is held down there


def test_constraints_leave_alone_what_no_example_says_anything_about():
    model = taught(SETTINGS, 10)
    rows = model.tables[EMBED].rows()
    untouched = np.setdiff1d(np.arange(SETTINGS.buckets), rows)
    assert not model.tables[EMBED].packed[untouched].any()
    assert trained_digest(model) == trained_digest(taught(SETTINGS, 10))

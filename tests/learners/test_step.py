from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from learners.encode import encode
from learners.model import trained_digest
from learners.parameters import EMBED
from learners.step import step
from tests.learners.cases import SMALL, begun, example, folded, moves, said


def weights(count: int, value: float = 1.0) -> np.ndarray:
    return np.full(count, value, dtype=np.float32)


def test_the_loss_of_what_is_taught_again_and_again_falls():
    model, first = step(begun(), moves(0, 6), (), weights(6))
    for _ in range(60):
        model, last = step(model, moves(0, 6), (), weights(6))
    assert last.losses["total"] < 0.2 * first.losses["total"]


def test_a_step_touches_no_row_that_its_examples_do_not_have():
    taught = moves(0, 3)
    rows = set(encode([e.input for e in taught], SMALL).rows.tolist())
    model, _ = step(begun(), taught, (), weights(3))
    model, progress = step(model, taught, (), weights(3))
    assert set(progress.touched[EMBED].tolist()) <= rows
    untouched = np.setdiff1d(np.arange(SMALL.buckets), progress.touched[EMBED])
    assert not model.tables[EMBED].packed[untouched].any()


def test_a_task_without_labels_stays_as_it_was():
    model, progress = step(begun(), moves(0, 4), (), weights(4))
    assert "linear.depth" not in progress.touched
    assert not model.dense["head.depth.weight"].packed.any()
    assert not model.is_taught("depth")
    assert set(progress.losses) == {"total", "move", "rehearsal"}


def test_examples_of_weight_nought_change_nothing_but_the_decay():
    _, progress = step(begun(), moves(0, 4), (), weights(4, 0.0))
    assert progress.losses["total"] == 0
    assert all(len(rows) == 0 for rows in progress.touched.values())


def test_replay_weighs_as_the_settings_say():
    settings = replace(SMALL, replay_weight=0.25)
    both = step(begun(settings), moves(0, 4), moves(0, 4), weights(8))[1]
    new = step(begun(settings), moves(0, 4), (), weights(4))[1]
    assert both.losses["total"] == pytest.approx(1.25 * new.losses["total"], rel=1e-5)


def test_rates_rise_over_the_warm_up_and_follow_the_groups():
    _, progress = step(begun(), moves(0, 2), (), weights(2))
    assert progress.rates["dense"] == pytest.approx(SMALL.dense_rate / SMALL.warm_up_steps)


def test_a_long_gradient_is_clipped():
    _, progress = step(begun(replace(SMALL, clip_norm=1e-3)), moves(0, 4), (), weights(4))
    assert progress.norms["clipped"] == pytest.approx(1e-3)
    assert progress.norms["raw"] > 1e-3


def test_a_task_that_decays_shrinks_its_own_rows_and_by_its_share_of_the_tasks_the_shared_ones():
    model, again = folded(begun(), 1, 3), folded(begun(), 1, 3)
    tasks = tuple(replace(task, decay=0.2) if task.name == "move" else task for task in SMALL.tasks)
    again = replace(again, settings=replace(SMALL, tasks=tasks))
    before = {name: table.packed[:, : table.width].copy() for name, table in model.tables.items()}
    model, progress = step(model, moves(0, 4), (), weights(4))
    again, _ = step(again, moves(0, 4), (), weights(4))
    for name, share in (("linear.move", 0.2), (EMBED, 0.2 / len(tasks))):
        rows = progress.touched[name]
        lost = model.tables[name].packed[rows] - again.tables[name].packed[rows]
        width = model.tables[name].width
        np.testing.assert_allclose(lost[:, :width], share * before[name][rows], atol=1e-6)


def test_a_row_and_its_average_move_only_when_the_row_is_touched():
    model = folded(begun(), 1, 3)
    before = model.tables[EMBED].packed.copy()
    model, progress = step(model, moves(50, 2), (), weights(2))
    untouched = np.setdiff1d(np.arange(SMALL.buckets), progress.touched[EMBED])
    assert (model.tables[EMBED].packed[untouched] == before[untouched]).all()


def test_served_values_are_the_averages_rounded():
    model = folded(begun(), 1, 5)
    for table in model.tables.values():
        assert (table.served == table.packed[:, table.width : 2 * table.width].astype(np.float16)).all()
    for dense in model.dense.values():
        assert (dense.served == dense.packed[1].astype(np.float16)).all()


def test_the_same_step_gives_the_same_bytes():
    assert len({trained_digest(folded(begun(), 1, 5)) for _ in range(2)}) == 1


def test_several_tasks_are_learned_in_one_step():
    both = [
        example("one", said("go on"), move="press", support=5.0),
        example("two", said("because", "student"), claim=("reason",), depth=0.9),
    ]
    _, progress = step(begun(), both, (), weights(2))
    assert set(progress.losses) == {"total", "move", "support", "claim", "depth", "rehearsal"}

"""A frozen probe inside the fold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from learners.fold import fold
from learners.metrics import Prequential
from learners.model import served_view, trained_digest
from learners.predict import predict
from learners.snapshot import restore, snapshot
from schemas.errors import UnusableEvent
from schemas.training import TrainRequest
from tests.learners.cases import SMALL, begun, example, moves, ones, said, step_request

SETTINGS = replace(SMALL, probe_steps=4, warm_up_steps=0)
PROBE = moves(100, 9)


def probe_request(examples=PROBE) -> TrainRequest:
    return TrainRequest(kind="probe", model="main", seed=1, reason="probe", new=tuple(examples))


def folded_on(count: int, probe=PROBE):
    """A model with a probe and ``count`` steps, and their reports."""
    model, reports = begun(SETTINGS), []
    model, _ = fold(model, probe_request(probe), {}, "probe", model.next_offset)
    for n in range(count):
        request = step_request(moves(6 * n, 6))
        model, report = fold(model, request, ones(request), f"request-{n}", model.next_offset)
        reports.append(report)
    return model, reports


def test_the_probe_is_asked_every_so_many_steps():
    _, reports = folded_on(9)
    assert [bool(report.event.probe) for report in reports] == [False, False, False, True] * 2 + [False]


def test_its_scores_are_those_of_the_served_average():
    model, reports = folded_on(4)
    tally = Prequential()
    for one, said_ in zip(PROBE, predict(served_view(model), [e.input for e in PROBE]), strict=True):
        tally.update("move", one.labels["move"], said_["move"], 0.0)
    wanted = tally.summary()["move"]["all"]
    assert reports[-1].event.probe["move.mcc"] == wanted["mcc"]
    assert model.state["probe.skill/move"].tolist() == [np.float32(wanted["mcc"])]


def test_setting_a_probe_aside_teaches_nothing():
    with_probe, without = folded_on(0)[0], begun(SETTINGS)
    assert {n: d.packed.tobytes() for n, d in with_probe.dense.items()} == {
        n: d.packed.tobytes() for n, d in without.dense.items()
    }


def test_an_example_of_the_probe_is_never_learned_from():
    model, _ = folded_on(0)
    request = step_request(PROBE[:3])
    _, report = fold(model, request, ones(request), "again", model.next_offset)
    assert not report.event.applied


def test_a_model_restored_between_two_evaluations_scores_the_same():
    straight, _ = folded_on(6)
    broken = restore(snapshot(straight))
    request = step_request(moves(300, 6))
    for n in range(2):
        straight, one = fold(straight, request, ones(request), f"more-{n}", straight.next_offset)
        broken, other = fold(broken, request, ones(request), f"more-{n}", broken.next_offset)
        request = step_request(moves(400, 6))
    assert one.event == other.event
    assert one.event.probe
    assert trained_digest(straight) == trained_digest(broken)


def test_a_probe_may_come_in_several_requests_and_forgets_what_the_smaller_one_scored():
    model, _ = folded_on(4)
    for n in range(2):  # the second brings nothing new
        model, _ = fold(model, probe_request(moves(200, 3)), {}, f"probe-{n}", model.next_offset)
    assert not [name for name in model.state if name.startswith(("probe.skill", "probe.history"))]
    at_once, _ = folded_on(4, (*PROBE, *moves(200, 3)))
    asked = {
        name: array.tolist() for name, array in at_once.state.items() if name.startswith(("probe.ids", "probe.se"))
    }
    assert {name: model.state[name].tolist() for name in asked} == asked


def test_a_snapshot_does_not_hold_what_was_said_in_the_probe():
    model, _ = folded_on(4)
    content = snapshot(model)
    assert all(one.input.payload.text.encode() not in content for one in PROBE)
    assert b"word100" not in content


def test_an_example_of_the_probe_is_not_learned_from_as_a_replayed_one():
    with_it, without = folded_on(2)[0], folded_on(2)[0]
    new = moves(300, 6)
    request, plain = step_request(new, PROBE[:3]), step_request(new)
    with_it, _ = fold(with_it, request, ones(request), "more", with_it.next_offset)
    without, _ = fold(without, plain, ones(plain), "more", without.next_offset)
    assert trained_digest(with_it) == trained_digest(without)


def test_a_label_that_cannot_be_makes_no_probe():
    wrong = example("wrong", said("why?"), move="shouting")
    with pytest.raises(UnusableEvent, match="shouting"):
        folded_on(0, [wrong])


def test_a_reset_goes_back_but_keeps_the_probe_and_its_history():
    begun_ = begun(SETTINGS)
    good = snapshot(begun_)
    version = begun_.version
    model, _ = folded_on(4)
    reset = TrainRequest(kind="reset", model="main", seed=1, reason="test", version=version)
    back, _ = fold(model, reset, {}, "reset", model.next_offset, snapshots=lambda _: good)
    assert len(back.state["probe.history"]) == 1
    assert back.steps == 0


def test_a_probe_that_says_nothing_of_its_speakers_is_not_scored():
    model, reports = folded_on(4, [example("q", said("because it is twelve", "student"), move="none")])
    assert [report.event.probe for report in reports] == [{}] * 4
    assert "probe.history" not in model.state


def test_a_request_that_only_replays_the_probe_changes_nothing():
    model, _ = folded_on(2)
    before = trained_digest(model)
    request = step_request((), PROBE[:3])
    model, report = fold(model, request, ones(request), "only-the-probe", model.next_offset)
    assert not report.event.applied
    assert trained_digest(model) == before

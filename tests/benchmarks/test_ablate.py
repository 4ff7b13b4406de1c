"""Ablation: what is switched, what is paired with what, and what a difference is called."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import ablate
from benchmarks.ablate import Job, difference, effects, in_short, jobs, share
from benchmarks.ablate_data import FITS, Item, Stream
from benchmarks.ablate_parts import BOTH, PARTS, REAL, SIMULATED, Part, Recipe, chosen
from benchmarks.ablate_run import run
from learners.bootstrap import Interval
from learners.paired import BLOCKS, Floats, matthews
from learners.settings import LearningSettings
from tests.learners.cases import MOVE, MOVES, SMALL, moves, said

RECIPE = Recipe(learning=SMALL)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_a_part_that_is_switched_twice_is_as_it_was(part: Part) -> None:
    once = part.switched(Recipe())
    assert part.is_on(once) != part.is_on(Recipe())
    assert part.is_on(part.switched(once)) == part.is_on(Recipe())


def test_another_way_to_replay_is_not_the_absence_of_replay() -> None:
    der = Recipe().with_({"learning.replay": "der++"})
    on = {part.name: part.is_on(der) for part in chosen(["replay", "der++", "er-ace"])}
    assert on == {"replay": True, "der++": True, "er-ace": False}


def test_a_part_runs_only_on_data_where_it_can_have_an_effect() -> None:
    todo = jobs(chosen(["replay", "trust"]), BOTH, seeds=2)
    assert {job.part for job in todo if job.data == REAL} == {None, "replay"}
    assert {job.part for job in todo if job.data == SIMULATED} == {None, "replay", "trust"}
    assert {job.seed for job in todo} == {0, 1}


def counts(right: float, seeds: int = 4, n: int = 60) -> Floats:
    """Of two classes, in each of ten blocks ``n`` labels, of which a share is answered rightly."""
    found = np.zeros((seeds, BLOCKS, 2, 2))
    for block in range(10):
        found[:, block] = n / 2 * np.array([[right, 1 - right], [1 - right, right]])
    return found


def test_a_difference_is_the_mean_over_seeds_of_the_difference_of_figures() -> None:
    one, other = counts(0.9), counts(0.6)
    expected = [float(matthews(a.sum(axis=0)) - matthews(b.sum(axis=0))) for a, b in zip(one, other, strict=True)]
    assert difference(one, other, 0, 0.95).value == pytest.approx(np.mean(expected))
    assert difference(one, other, 0, 0.95, share).value == pytest.approx(0.3)


def test_what_all_blocks_agree_on_is_certain_and_what_they_do_not_is_not() -> None:
    one, other = counts(0.9), counts(0.6)
    sure = difference(one, other, 0, 0.95)
    assert sure.low == pytest.approx(sure.high)
    mixed = other.copy()
    mixed[:, ::2] = one[:, ::2]
    mixed[:, 1::2] = counts(0.2)[:, 1::2]
    assert not difference(mixed, other, 0, 0.95).excludes_zero


def test_what_a_part_adds_is_with_it_less_without_it_whichever_is_the_default() -> None:
    """The replay is on by default, so the switched runs are without it; of DER++ they are with it."""
    runs = {Job(REAL, None, seed): {"probe": counts(0.8)[0]} for seed in range(2)}
    worse = {Job(REAL, name, seed): {"probe": counts(0.6)[0]} for name in ("replay", "der++") for seed in range(2)}
    found = effects({**runs, **worse}, chosen(["replay", "der++"]), 0.95)[REAL]
    signs = {name: by_probe["probe"].value > 0 for name, by_probe in found.items()}
    assert signs == {name: chosen([name])[0].is_on(Recipe()) for name in ("replay", "der++")}


def test_parts_help_hurt_or_show_nothing() -> None:
    found = {"now": Interval(0.1, 0.05, 0.2), "before": Interval(-0.1, -0.2, -0.05), "later": Interval(0.1, -0.1, 0.3)}
    assert in_short(found) == "helps: now; hurts: before; no difference shown: later"


def test_a_run_answers_every_probe_as_often_as_it_is_asked() -> None:
    names = list(MOVES)
    items = [Item(f"teacher {n % 5}", said(f"{MOVES[names[n % 3]]} again"), MOVE.name, names[n % 3]) for n in range(30)]
    stream = Stream(moves(0, 64), [0.0] * 64, {"unseen": items})
    found = run(stream, RECIPE, seed=1)["unseen"]
    assert found.sum() == len(items)
    assert matthews(found.sum(axis=0)) > 0.5  # the sentences tell their move


def test_the_same_seed_gives_the_same_answers() -> None:
    names = list(MOVES)
    items = [Item(f"t{n}", said(f"word{n} word{n + 1}"), MOVE.name, names[n % 3]) for n in range(40)]
    stream = Stream(moves(0, 64), [0.0] * 64, {"unseen": items})
    plain = run(stream, RECIPE, seed=1)["unseen"]
    assert (run(stream, RECIPE, seed=1)["unseen"] == plain).all()


def test_a_wait_fits_that_lies_in_the_band() -> None:
    waits = LearningSettings(buckets=4096, dim=2, hidden=4)
    asked = Stream([], [], {"waits": [Item("s", said("why?"), "wait_time", FITS[1])]})
    untrained = 15.0  # the middle of the range is what a model says that has learned nothing
    inside = Recipe(learning=waits).with_({"learning.wait_high_s": untrained + 1})
    assert run(asked, inside, seed=1)["waits"].sum(axis=0)[1].tolist() == [0, 1]
    assert run(asked, Recipe(learning=waits), seed=1)["waits"].sum(axis=0)[1].tolist() == [1, 0]


def test_without_any_data_it_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = str(tmp_path / "nothing")
    assert ablate.main(["--data", missing, "--simulator", missing]) == 2
    assert missing in capsys.readouterr().err


def test_the_result_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    runs = {
        Job(REAL, name, seed): {"probe": counts(0.8 if name is None else 0.6)[0]}
        for name in (None, "replay")
        for seed in range(2)
    }
    told, by_default = effects(runs, chosen(["replay"]), 0.95), ablate.levels(runs)
    given = ablate.parser().parse_args(["--json"])
    found = json.loads(json.dumps(ablate.result(told, by_default, given, 1.0)))
    assert found["data"][REAL]["parts"]["replay"]["adds"]["probe"]["verdict"] == "helps"
    ablate.show(told, by_default)
    assert "helps: probe" in capsys.readouterr().out

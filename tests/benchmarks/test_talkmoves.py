"""The talk-moves bench cuts by teacher, counts what was said, and its figures are what their names say."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import numpy as np
import pytest

from benchmarks import encode as encode_bench
from benchmarks import talkmoves
from benchmarks.talkmoves_data import Recording, Reservoir, cut, group_of, lessons
from benchmarks.talkmoves_run import Job, Run
from benchmarks.talkmoves_summary import figures, summary
from learners.paired import matthews

MOVES = {"T": ["none", "restating", "press_for_accuracy"], "S": ["none", "making_a_claim"]}


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """Twelve teachers' lessons of ten sentences."""
    rows = [
        {
            "conv": f"lesson {lesson}", "group": f"teacher {lesson % 12}", "seq": at, "role": role, "label": at % 2,
            "text": f"{move} word {at}", "move": move,
        }
        for lesson in range(24)
        for at in range(10)
        for role in ["TS"[at % 2]]
        for move in [MOVES[role][at // 2 % len(MOVES[role])]]
    ]  # fmt: skip
    path = tmp_path / "stream.jsonl.gz"
    with gzip.open(path, "wt") as file:
        file.writelines(f"{json.dumps(row)}\n" for row in rows)
    return path


def test_a_teacher_is_learned_from_or_asked_about_never_both(recorded: Path) -> None:
    whole = lessons(recorded, 4)
    parts = [cut(whole, salt, 0) for salt in "abcdef"]
    for part in parts:
        assert not {group_of(one) for one in part.learn} & {group_of(one) for one in part.probe}
        assert len(part.learn) + len(part.probe) == sum(map(len, whole))
    assert len({frozenset(group_of(one) for one in part.probe) for part in parts}) > 1


def test_a_lesson_stays_in_order_among_others(recorded: Path) -> None:
    learn = cut(lessons(recorded, 4), "a", 0).learn
    for session in {one.input.session for one in learn}:
        mine = [int(one.id.rsplit("/", 1)[1]) for one in learn if one.input.session == session]
        assert mine == sorted(mine)
    assert [one.id for one in learn] != [one.id for one in cut(lessons(recorded, 4), "a", 1).learn]


def test_teachers_alone_keep_the_students_in_their_contexts(recorded: Path) -> None:
    alone = Recording(lessons(recorded, 4)[0], ()).of_teachers()
    assert {one.input.role for one in alone.learn} == {"teacher"}
    assert "student" in {turn.role for one in alone.learn for turn in one.input.payload.context or ()}


def test_a_reservoir_holds_as_many_as_it_may_and_only_what_it_met(recorded: Path) -> None:
    met = lessons(recorded, 4)[0]
    kept = Reservoir(3, random.Random(0))
    for one in met:
        kept.meet(one)
    assert len(kept.sample(99)) == 3
    assert {one.id for one in kept.kept} <= {one.id for one in met}


def test_figures_are_means_over_cuts_of_all_their_groups_together() -> None:
    one, other = np.array([[5.0, 1], [2, 7]]), np.array([[4.0, 3], [1, 2]])
    found = figures([{"a": one, "b": other}, {"a": one}], ("none", "move"))
    assert found["mcc"] == round(float(np.mean(matthews(np.array([one + other, one])))), 4)
    low, high = found["mcc_interval"]
    assert low <= found["mcc"] <= high


def test_the_price_of_one_pass_is_to_the_best_offline_pass() -> None:
    right, wrong = np.diag([5.0, 5]), np.full((2, 2), 5.0)

    def run(kind: str, tables: list[np.ndarray[tuple[int, int], np.dtype[np.float64]]], epochs: int = 0) -> Run:
        teachers = [np.pad(table, (0, 5)) for table in tables]
        students = [np.pad(table, (0, 3)) for table in tables]
        job = Job(f"default/{kind}", Path(), {}, "cut", 0, epochs)
        unseen = [{"teacher_move": {"a": t}, "student_move": {"a": s}} for t, s in zip(teachers, students, strict=True)]
        return Run(job, unseen, {"teacher_move": teachers[0], "student_move": students[0]}, [], {"pass_s": 1.0})

    found = summary([run("online", [wrong]), run("offline", [wrong, right, wrong], 3)])
    assert found["offline"]["price_mcc"] == 1.0


def test_the_bench_measures_what_it_promises(
    recorded: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    small = ["--set", "buckets=4096", "--set", "hidden=8", "--jobs", "1", "--epochs", "1", "--salts", "1"]
    assert talkmoves.main(["--data", str(recorded), *small, "--json", "--plots", str(tmp_path / "plots")]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {"default", "bag_of_words", "published", "bars"} <= set(found)
    assert {"teacher", "student", "teachers_alone", "offline", "cuts"} <= set(found["default"])
    assert {path.suffix for path in (tmp_path / "plots").iterdir()} == {".svg"}


def test_the_ratio_of_encoders_is_the_median_of_the_rounds_ratios() -> None:
    found = encode_bench.result(100, encode_s=[2.0, 4.0, 1.0], bare_s=[1.0, 4.0, 0.9])
    assert (found["ratio"], found["met"]) == (0.9, True)
    assert found["encode_per_s"] == 50


def test_both_encoders_meet_the_same_sentences(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert encode_bench.main(["--data", str(recorded), "--sentences", "60", "--rounds", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["encode_per_s"] > 0 < found["bare_per_s"]

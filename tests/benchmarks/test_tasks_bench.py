"""The bench over further task sets: nothing leaks over a cut, each example is new once, scores are what they say."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.tasks_data import Case, Part, apart, cases, part, stream, tasks_of, together
from benchmarks.tasks_run import Job, Learner, Pace, Run, measured, score
from benchmarks.tasks_summary import as_object, summary
from learners.settings import LearningSettings
from learners.tasks import Task
from schemas.feedback import LabelValue
from schemas.interaction import Payload
from schemas.prediction import ExampleInput
from schemas.training import TrainExample

TINY = LearningSettings(tasks=tasks_of(("mathdial",)), buckets=4096, dim=2, hidden=2)
MOVES = TINY.tasks[0].classes


def case(number: int, unit: str = "u", move: str = "focus") -> Case:
    name = f"{unit}/{number}"
    given = ExampleInput(session=unit, role="teacher", payload=Payload(text=f"{move} {number}"))
    labels: dict[str, LabelValue] = {"tutor_move": move}
    return Case(TrainExample(id=name, interaction=name, feedback=name, rater="r", input=given, labels=labels), unit)


CASES = [case(number, f"unit-{number % 13}", MOVES[number % 4]) for number in range(60)]


def test_each_case_is_kept_back_once_and_its_unit_with_it() -> None:
    cuts = [part({"mathdial": CASES}, fold, 3) for fold in range(3)]
    assert sorted(one.id for cut in cuts for one in cut.probe["mathdial"]) == sorted(one.example.id for one in CASES)
    for cut in cuts:
        met = {one.input.session for one in cut.learn["mathdial"]}
        assert met.isdisjoint(one.input.session for one in cut.probe["mathdial"])


def test_what_shares_a_problem_with_a_set_kept_back_is_not_learned_from_any_set() -> None:
    shared, other = case(0, "shared"), case(1, "other")
    cut = apart({"mathdial": [shared, other]}, {"mrbench": [case(2, "shared")]}, seed=0)
    assert cut.learn["mathdial"] == [other.example]


def test_a_stream_holds_each_example_once_and_keeps_the_order_of_a_session() -> None:
    said = stream(CASES, seed=1)
    assert sorted(one.id for one in said) == sorted(one.example.id for one in CASES)
    for unit in {one.unit for one in CASES}:
        mine = [one.id for one in said if one.input.session == unit]
        assert mine == [one.example.id for one in CASES if one.unit == unit]


def test_streams_together_keep_their_orders() -> None:
    one, other = [case(n).example for n in range(20)], [case(n, "v").example for n in range(30)]
    mixed = together((one, other), seed=0)
    assert [e for e in mixed if e.input.session == "u"] == one
    assert [e for e in mixed if e.input.session == "v"] == other


def test_dialogues_of_two_sets_on_one_problem_are_one_unit(tmp_path: Path) -> None:
    rows = {
        "mathdial/stream.jsonl.gz": {
            "conv": "d", "seq": 0, "speaker": "Teacher", "role": "T", "text": "Hi.", "move": "generic",
        },
        "mathdial/conversations_stream.jsonl.gz": {"conv": "d", "question": "Two and two?\n How many?"},
        "mrbench/stream.jsonl.gz": {
            "conv": "m", "seq": 0, "history": "Tutor: The question is: Two and two? How many? \n Student: 5",
            "response": "No.", "labels": dict.fromkeys(
                ("Mistake_Identification", "Mistake_Location", "Providing_Guidance", "Actionability"), "No"
            ),
        },
    }  # fmt: skip
    for name, row in rows.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        with gzip.open(tmp_path / name, "wt") as file:
            file.write(json.dumps(row) + "\n")
    assert cases(tmp_path, "mathdial")[0].unit == cases(tmp_path, "mrbench")[0].unit


def test_a_rare_class_weighs_as_much_more_as_it_is_rarer() -> None:
    learner = Learner(TINY, Pace(new=4, replayed=0, more=0, balance=1.0), seed=0)
    common, rare = [case(n, move="focus").example for n in range(6)], [case(9, move="telling").example] * 2
    learner._count([*common, *rare])
    assert learner.weight(rare[0]) / learner.weight(common[0]) == pytest.approx(len(common) / len(rare))
    total = sum(learner.weight(one) for one in (*common, *rare))
    assert total == pytest.approx(len(common) + len(rare))


def test_each_example_is_new_to_the_model_once() -> None:
    learner = Learner(TINY, Pace(new=8, replayed=4, more=1), seed=0)
    learner.meet([one.example for one in CASES])
    requests = -(-len(CASES) // 8) * 2
    assert len(learner.model.folded) == 1 + requests + len(CASES)
    assert learner.model.steps == requests


def test_a_job_scores_after_each_set_in_turn_and_is_the_same_again() -> None:
    cut = part({"mathdial": CASES, "cima": []}, 0, 3)
    tiny = {"buckets": 4096, "dim": 2, "hidden": 2}
    job = Job("x", 0, cut, ("mathdial", "cima"), tiny, Pace(more=0), in_turn=True)
    found = measured(job)
    assert len(found.scores) == 2
    assert found == measured(job)


def test_scores_are_one_for_the_truth_and_count_classes_alike() -> None:
    task = Task("t", "categorical", ("a", "b", "c"))
    truth = np.eye(3, dtype=np.float32)[[0, 0, 0, 1, 2]]
    assert score(task, truth, truth) == 1.0
    always_a = np.tile(np.array([[1, 0, 0]], dtype=np.float32), (5, 1))
    assert score(task, always_a, truth) == pytest.approx((2 * 3 / (5 + 3)) / 3)


def test_numbers_are_scored_by_their_order_alone() -> None:
    task = Task("t", "regression", range=(0.0, 2.0))
    truth = np.array([[0.0], [0.4], [1.0]], dtype=np.float32)
    assert score(task, np.array([[-9.0], [0.1], [0.2]], dtype=np.float32), truth) == pytest.approx(1.0)


def test_several_acts_are_scored_each_by_itself() -> None:
    task = Task("t", "multilabel", ("a", "b"))
    truth = np.array([[1, 0], [1, 1]], dtype=np.float32)
    said = np.array([[1, -1], [1, -1]], dtype=np.float32)
    assert score(task, said, truth) == pytest.approx((1.0 + 0.0) / 2)


def test_the_object_says_what_is_lost_together_and_forgotten_in_turn() -> None:
    sets = ("uptake", "mathdial")

    def run(name: str, *scores: tuple[float, float]) -> Run:
        return Run(f"default/{name}", 0, tuple({"uptake": u, "tutor_move": m} for u, m in scores))

    runs = [
        Run("default/alone/uptake", 0, ({"uptake": 0.6},)),
        Run("default/alone/mathdial", 0, ({"tutor_move": 0.7},)),
        run("together", (0.5, 0.75)),
        run("in-turn", (0.6, 0.1), (0.4, 0.7)),
    ]
    found = as_object({"default": summary(runs, sets, "default")}, [{"uptake": 0.3, "tutor_move": 0.4}], sets)
    lost = found["loss_together"]["default"]  # type: ignore[index]  # an object of objects
    assert lost == {"uptake": {"spearman": 0.1}, "mathdial": {"macro_f1": -0.05}}
    assert found["most_lost_together"]["default"] == pytest.approx(0.1)  # type: ignore[index]  # an object of objects
    assert found["forgetting"]["default"]["forgetting"] == pytest.approx(0.6 - 0.4)  # type: ignore[index]


def test_a_cut_is_plain_values() -> None:
    assert part({"mathdial": CASES}, 0, 3) == part({"mathdial": CASES}, 0, 3)
    assert isinstance(part({"mathdial": CASES}, 0, 3), Part)

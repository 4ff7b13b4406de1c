from __future__ import annotations

from pathlib import Path

import pytest

from learners.settings import LearningSettings
from learners.tasks import SETS, Task, check_label, default_tasks, load_tasks, task_from, task_sets
from schemas.errors import ConfigurationError, UnusableEvent
from tests.learners.cases import CLAIM, DEPTH, MOVE, SUPPORT

MOVES = {"none", "keep_everyone_together", "getting_students_to_relate", "restating", "revoicing"}


def test_the_shipped_tasks_are_those_of_the_analyzer_and_talk_moves():
    tasks = {task.name: task for task in default_tasks()}
    assert set(tasks) == {
        "question_type", "scaffolding", "emotional_support", "classroom_organization", "instructional_support",
        "conversation_depth", "wait_time", "responsiveness", "teacher_move", "student_move",
    }  # fmt: skip
    assert tasks["question_type"].classes == ("none", "closed", "open")
    assert set(tasks["teacher_move"].classes) == MOVES | {"press_for_accuracy", "press_for_reasoning"}
    assert (tasks["teacher_move"].role, tasks["student_move"].role) == ("teacher", "student")


def test_research_weights_of_the_shipped_tasks_sum_to_one():
    assert sum(task.research_weight for task in default_tasks()) == pytest.approx(1.0)


def test_another_task_is_added_by_a_file_alone(tmp_path: Path):
    file = tmp_path / "mine.toml"
    file.write_text('[[task]]\nname = "mood"\nkind = "categorical"\nclasses = ["calm", "lively"]\n')
    assert load_tasks(file) == (Task(name="mood", kind="categorical", classes=("calm", "lively")),)


def test_an_unknown_key_of_a_task_is_an_error_that_names_it():
    with pytest.raises(ConfigurationError, match="colour"):
        task_from({"name": "mood", "kind": "regression", "range": [0, 1], "colour": "red"})


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "a", "kind": "categorical", "classes": ["one"]},
        {"name": "a", "kind": "categorical", "classes": ["one", "one"]},
        {"name": "a", "kind": "multilabel", "classes": []},
        {"name": "a", "kind": "ordinal", "range": [1.5, 7]},
        {"name": "a", "kind": "regression"},
        {"name": "a", "kind": "regression", "range": [1, 0]},
        {"name": "a.b", "kind": "regression", "range": [0, 1]},
        {"name": "a", "kind": "guess", "range": [0, 1]},
        {"name": "a", "kind": "regression", "range": [0, 1], "role": "parent"},
        {"name": "a", "kind": "regression", "range": [0, 1], "decay": 1.0},
        {"name": "a", "kind": "regression", "range": [0, 1], "decay": -0.1},
    ],
)
def test_a_task_that_contradicts_itself_is_refused(wrong: dict[str, object]):
    with pytest.raises(ConfigurationError):
        task_from(wrong)


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"kind": "regression", "range": [0, 1], "constraint": "question_quality"}, "categorical"),
        ({"kind": "categorical", "classes": ["no", "yes"], "constraint": "question_quality"}, "open"),
        ({"kind": "categorical", "classes": ["no", "yes"], "constraint": "wait_time"}, "regression"),
        ({"kind": "regression", "range": [0, 1], "constraint": "silence"}, "silence"),
        ({"kind": "regression", "range": [0, 1], "agrees": ["smell"]}, "smell"),
    ],
)
def test_a_task_is_guided_and_agrees_only_as_its_kind_allows(wrong: dict[str, object], problem: str):
    with pytest.raises(ConfigurationError, match=problem):
        task_from({"name": "task", **wrong})


def test_a_task_survives_its_way_through_json():
    for task in default_tasks():
        assert task_from(task.to_dict()) == task


@pytest.mark.parametrize(
    ("task", "value"),
    [(MOVE, "press"), (CLAIM, ()), (CLAIM, ("claim", "reason")), (SUPPORT, 7.0), (DEPTH, 0.25)],
)
def test_a_possible_label_is_accepted(task: Task, value: str | float | tuple[str, ...]):
    check_label(task, value)


@pytest.mark.parametrize(
    ("task", "value"),
    [
        (None, "press"), (MOVE, "shout"), (MOVE, 1.0), (MOVE, ("press",)), (CLAIM, "claim"), (CLAIM, ("shout",)),
        (SUPPORT, 7.5), (SUPPORT, 8.0), (SUPPORT, "7"), (DEPTH, -0.1), (DEPTH, "deep"), (DEPTH, float("nan")),
    ],
)  # fmt: skip
def test_an_impossible_label_is_unusable(task: Task | None, value: str | float | tuple[str, ...]):
    with pytest.raises(UnusableEvent):
        check_label(task, value)


def test_task_sets_are_named_together_with_commas():
    assert load_tasks(Path("uptake, mathdial")) == (*load_tasks(Path("uptake")), *load_tasks(Path("mathdial")))


def test_a_set_is_a_file_that_can_be_named_too():
    assert load_tasks(SETS / "cima.toml") == load_tasks(Path("cima"))


def test_no_two_sets_share_a_task():
    assert len(load_tasks(Path(",".join(task_sets())))) == sum(len(load_tasks(Path(name))) for name in task_sets())


def test_the_talk_moves_of_the_set_are_those_of_the_default():
    assert set(load_tasks(Path("talkmoves"))) <= set(default_tasks())


@pytest.mark.parametrize("unknown", ["history", "uptake,history", ""])
def test_an_unknown_set_is_refused_with_those_that_are_known(unknown: str):
    with pytest.raises(ConfigurationError, match="the sets are cima, mathdial, mrbench, talkmoves, uptake"):
        load_tasks(Path(unknown))


def test_a_set_s_tasks_can_be_learned_with_the_settings_as_they_are():
    for name in task_sets():
        LearningSettings(tasks=load_tasks(Path(name)))  # their groups have rates

"""Each target is what its docstring says, over what was judged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from learners.agreement import alpha, consistency, kappa, quadratic_kappa, spearman
from learners.goals import OPEN, QUESTION, SCAFFOLDING, WAIT, OpenQuestions, WaitTime, goals
from learners.judged import Floats, Goal, Judged
from learners.tasks import default_tasks
from schemas.feedback import LabelValue
from schemas.prediction import Output

GOALS = {goal.name: goal for goal in goals(default_tasks())}
TECHNIQUES = next(task.classes for task in default_tasks() if task.name == SCAFFOLDING)
DOMAIN = "emotional_support"


def says(name: str, *others: str) -> Output:
    """An output that finds ``name`` most likely."""
    return Output(probabilities={name: 0.6, **{other: 0.4 / len(others) for other in others}})


def judged(
    labels: Mapping[str, LabelValue], outputs: Mapping[str, Output], item: str = "i", rater: str = "ann"
) -> Judged:
    return Judged("lesson", item, rater, labels, outputs)


def rows(goal: Goal, given: Sequence[Judged]) -> Floats:
    found = [row for one in given if (row := goal.row(one)) is not None]
    return np.array(found, dtype=np.float64)


def questions(pairs: str) -> Floats:
    """Rows of pairs like "oc": an open question that was taken for a closed one."""
    names = {"n": "none", "c": "closed", "o": "open"}
    given = [judged({QUESTION: names[p[0]]}, {QUESTION: says(names[p[1]], "other")}) for p in pairs.split()]
    return rows(OpenQuestions(), given)


def test_open_question_accuracy_is_over_questions_alone() -> None:
    table = questions("nn nn nn no oo oc on cc co")
    assert OpenQuestions().figure(table) == pytest.approx(2 / 5)


def test_f1_of_open_questions_counts_what_is_no_question() -> None:
    parts = OpenQuestions().parts(questions("nn nn nn no oo oc on cc co"))
    assert parts["f1"] == pytest.approx(2 * 1 / (3 + 3))  # three are open, three are said to be
    assert parts["recall_of_open"] == pytest.approx(1 / 3)
    assert parts["majority"] == pytest.approx(3 / 5)


def test_scaffolding_is_the_mean_f1_of_the_techniques_that_experts_marked() -> None:
    first, second, third = TECHNIQUES[:3]
    given = [((first, second), (first,)), ((first,), (first, third)), ((), (second,))]
    table = rows(
        GOALS["scaffolding_macro_f1"],
        [
            judged(
                {SCAFFOLDING: label}, {SCAFFOLDING: Output(probabilities={n: 0.9 * (n in said) for n in TECHNIQUES})}
            )
            for label, said in given
        ],
    )
    assert GOALS["scaffolding_macro_f1"].figure(table) == pytest.approx((2 * 2 / (2 + 2) + 2 * 0 / (1 + 1)) / 2)
    parts = GOALS["scaffolding_macro_f1"].parts(table)
    assert math.isnan(parts[third])
    assert parts["false_share"] == pytest.approx(2 / 4)


def test_domains_of_class_are_correlated_each_by_itself_and_the_least_counts() -> None:
    """One domain is answered upside down; over both at once their means alone would make a high correlation."""
    goal, given = GOALS["class_correlation"], []
    for n in range(3):
        labels = {DOMAIN: 1.0 + n, "classroom_organization": 5.0 + n}
        outputs = {DOMAIN: Output(value=3.0 - n), "classroom_organization": Output(value=5.0 + n)}
        given.append(judged(labels, outputs))
    assert goal.figure(rows(goal, given)) == pytest.approx(-1)
    parts = goal.parts(rows(goal, given))
    assert parts["classroom_organization_spearman"] == pytest.approx(1)
    assert math.isnan(parts["instructional_support_spearman"])


def test_a_missing_domain_leaves_the_others_what_they_are() -> None:
    goal, label, value = GOALS["class_correlation"], [1.0, 2, 2, 5, 7], [1.5, 1, 4, 3, 6]
    given = [judged({DOMAIN: a}, {DOMAIN: Output(value=b)}) for a, b in zip(label, value, strict=True)]
    others = [judged({"instructional_support": 3.0}, {"instructional_support": Output(value=b)}) for b in value]
    parts = goal.parts(rows(goal, [*given, *others]))
    assert parts[f"{DOMAIN}_spearman"] == pytest.approx(spearman(label, value))
    assert parts[f"{DOMAIN}_kappa"] == pytest.approx(quadratic_kappa(label, value))


def test_a_wait_is_judged_by_the_side_of_the_band_it_is_put_on() -> None:
    goal, waits = WaitTime(low_s=3, high_s=7), [(1.0, 2.9), (3.0, 7.0), (7.1, 6.9), (5.0, 2.0), (9.0, 20.0)]
    table = rows(goal, [judged({QUESTION: OPEN, WAIT: a}, {WAIT: Output(value=b)}) for a, b in waits])
    assert goal.figure(table) == pytest.approx(3 / 5)
    assert goal.parts(table) == pytest.approx({"majority": 2 / 5, "within": 2 / 5, "said_within": 2 / 5})


@pytest.mark.parametrize("question", ["closed", "none", None])
def test_only_open_questions_ask_for_a_wait(question: str | None) -> None:
    labels: dict[str, LabelValue] = {WAIT: 4.0, **({QUESTION: question} if question else {})}
    assert WaitTime().row(judged(labels, {WAIT: Output(value=4.0)})) is None


def test_expert_agreement_is_the_mean_kappa_of_the_labelled_tasks() -> None:
    goal = GOALS["expert_agreement"]
    types, moves = [("open", "open"), ("open", "closed"), ("none", "none")], [("none", "restating"), ("none", "none")]
    given = [judged({QUESTION: a}, {QUESTION: says(b, "x")}, f"q{n}") for n, (a, b) in enumerate(types)]
    given += [judged({"teacher_move": a}, {"teacher_move": says(b, "x")}, f"m{n}") for n, (a, b) in enumerate(moves)]
    expected = [kappa(*zip(*pairs, strict=True)) for pairs in (types, moves)]
    assert goal.figure(rows(goal, given)) == pytest.approx(sum(expected) / 2)


def test_experts_agree_with_one_another_on_what_several_judged() -> None:
    goal, said = GOALS["expert_agreement"], {"i": "oo", "j": "oc", "k": "cc", "l": "o"}
    names = {"o": "open", "c": "closed"}
    given = [
        judged({QUESTION: names[letter]}, {QUESTION: says("open", "closed")}, item, f"rater {n}")
        for item, letters in said.items()
        for n, letter in enumerate(letters)
    ]
    assert goal.parts(rows(goal, given))["experts_alpha"] == pytest.approx(alpha(list(said.values())))


def test_two_modalities_are_alike_by_task_and_interaction() -> None:
    goal, (text, audio) = GOALS["cross_modal_consistency"], (says("open", "closed"), says("closed", "open"))
    both = {
        "text": {QUESTION: text, WAIT: Output(value=3.0)},
        "audio": {QUESTION: audio, WAIT: Output(value=9.0)},
    }
    alike = consistency(text.probabilities or {}, audio.probabilities or {})
    table = rows(goal, [Judged("lesson", "i", "ann", {}, {}, both), Judged("lesson", "j", "ann", {}, {}, {"text": {}})])
    assert table.tolist() == [[pytest.approx((alike + 1 - 6 / 30) / 2)]]


@pytest.mark.parametrize("name", sorted(GOALS))
def test_without_labels_or_answers_there_is_no_row(name: str) -> None:
    assert GOALS[name].row(judged({}, {})) is None
    assert GOALS[name].row(judged({QUESTION: "open", WAIT: 3.0, DOMAIN: 2.0}, {QUESTION: Output()})) is None
    assert GOALS[name].row(judged({}, {QUESTION: says("open", "closed")})) is None

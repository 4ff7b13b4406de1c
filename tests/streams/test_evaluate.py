"""A version against recorded lessons: what it sees, what is counted, what the metrics are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from builders import input_of, said
from hypothesis import given
from hypothesis import strategies as st

from learners.calibration import calibration_error, equal_mass
from learners.metrics import scores
from learners.model import served
from learners.predict import predict
from learners.served import Served
from learners.tracker import Tracker
from schemas.feedback import LabelValue
from schemas.interaction import Interaction, Payload, SpeakerRole, Timing, Turn
from schemas.prediction import ExampleInput
from streams.evaluate import BATCH, evaluate, in_batches, labelled, reliability_plots
from streams.readers.form import Recorded
from streams.score import contexts
from tests.learners.cases import DEPTH, MOVE, MOVES, SMALL, begun, folded

TURNS = SMALL.context_turns


def recorded(
    number: int, text: str, session: str = "a", role: SpeakerRole = "teacher", **labels: LabelValue
) -> Recorded:
    """Sentence ``number`` of a session, two seconds after the one before."""
    timing = Timing(at_s=2.0 * number)
    data = Interaction(session=session, role=role, payload=Payload(text=text), timing=timing)
    return Recorded(data, f"{session}-{number}", session, 2.0 * number, tuple(labels.items()))


def lesson(count: int = 30) -> list[Recorded]:
    """Teachers' sentences that tell their move, and a student's between them that nobody labelled."""
    names, found = list(MOVES), []
    for number in range(count):
        move = names[number % 3]
        found.append(recorded(2 * number, f"{MOVES[move]} word{number}", move=names[(number * number) % 3]))
        found.append(recorded(2 * number + 1, "twelve", role="student"))
    return found


@pytest.fixture(scope="module")
def model() -> Served:
    return served(folded(begun(), 1, 6))


sentences = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from(("teacher", "student")), st.text(max_size=6)), max_size=20
)


@given(sentences)
def test_the_model_sees_what_the_session_role_would_have_shown_it(given_: list[tuple[str, SpeakerRole, str]]) -> None:
    given_ = sorted(given_, key=lambda one: one[0])
    found = [recorded(n, text, session, role, move="none") for n, (session, role, text) in enumerate(given_)]
    inputs = [(input_of(said(one.id), n), one.interaction) for n, one in enumerate(found)]
    as_the_role, _ = contexts(inputs, {}, TURNS)
    assert [seen for seen, _ in labelled(found, TURNS)] == as_the_role


def test_a_lesson_does_not_see_the_one_before_it() -> None:
    found = [recorded(0, "one", "a", move="none"), recorded(0, "two", "b", move="none")]
    assert [seen.payload.context for seen, _ in labelled(found, 3)] == [None, None]


def test_an_interaction_without_labels_is_context_and_not_counted() -> None:
    seen = list(labelled([recorded(0, "twelve", role="student"), recorded(1, "why?", move="press")], 3))
    assert [input_.payload.context for input_, _ in seen] == [(Turn(role="student", text="twelve"),)]


def test_the_metrics_are_those_of_the_predictions(model: Served) -> None:
    found = evaluate(model, lesson())["move"]
    seen, labels = _apart(lesson())
    shares = [[output["move"].probabilities[name] for name in MOVE.classes] for output in predict(model, seen)]
    wanted = scores([MOVE.classes.index(label) for label in labels], np.array(shares), MOVE.classes)
    assert found["n"] == wanted["n"] == len(labels)
    assert found["mcc"] == pytest.approx(wanted["mcc"])
    assert found["macro_f1_all"] == pytest.approx(wanted["macro_f1"])
    assert found["macro_f1"] == pytest.approx(wanted["macro_f1_besides"])
    assert found["ece"] == pytest.approx(wanted["ece"])
    assert found["per_class"] == {
        name: {"f1": pytest.approx(one["f1"]), "n": one["support"]} for name, one in wanted["per_class"].items()
    }


def _apart(found: Sequence[Recorded]) -> tuple[list[ExampleInput], list[str]]:
    pairs = list(labelled(found, TURNS))
    return [seen for seen, _ in pairs], [str(labels[0][1]) for _, labels in pairs]


def test_a_model_that_is_always_right_has_the_best_of_every_metric(model: Served) -> None:
    seen, _ = _apart(lesson())
    best = [max(o["move"].probabilities, key=o["move"].probabilities.__getitem__) for o in predict(model, seen)]
    right = iter(best)
    as_said = [
        recorded(
            n, one.interaction.payload.text, role=one.interaction.role, **({"move": next(right)} if one.labels else {})
        )
        for n, one in enumerate(lesson())
    ]
    found = evaluate(model, as_said)["move"]
    assert found["accuracy"] == found["macro_f1_all"] == 1.0
    assert found["mcc"] == (1.0 if len(set(best)) > 1 else 0.0)


def test_a_label_that_the_version_does_not_answer_is_counted_as_unscored(model: Served) -> None:
    lessons = [recorded(0, "why?", move="press", humour="dry"), recorded(1, "ten", role="student", move="press")]
    found = evaluate(model, lessons)
    assert (found["humour"]["n"], found["humour"]["unscored"]) == (0, 1)
    assert (found["move"]["n"], found["move"]["unscored"]) == (1, 1)


def test_a_task_of_numbers_has_errors_and_no_classes(model: Served) -> None:
    lessons = [recorded(n, "why?", **{DEPTH.name: n / 10}) for n in range(5)]
    seen = [input_ for input_, _ in labelled(lessons, TURNS)]
    errors = [abs(output[DEPTH.name].value - n / 10) for n, output in enumerate(predict(model, seen))]
    found = evaluate(model, lessons)[DEPTH.name]
    assert found["mae"] == pytest.approx(sum(errors) / len(errors))
    assert "per_class" not in found


def test_nothing_to_judge_is_no_metric(model: Served) -> None:
    assert evaluate(model, [recorded(0, "hm", role="student")]) == {}


@given(count=st.integers(0, 30), size=st.integers(1, 8))
def test_batches_hold_everything_in_order_and_are_full_but_the_last(count: int, size: int) -> None:
    pairs = list(labelled([recorded(n, "a", move="none") for n in range(count)], 1))
    found = list(in_batches(pairs, size))
    assert [pair for batch in found for pair in batch] == pairs
    assert all(len(batch) == size for batch in found[:-1])


def test_progress_is_told_by_the_batch() -> None:
    told: list[int] = []
    list(labelled((recorded(n, "a") for n in range(2 * BATCH + 1)), 1, told.append))
    assert told == [BATCH, 2 * BATCH]


def test_confidence_is_held_against_being_right(model: Served) -> None:
    found = evaluate(model, lesson())["move"]
    seen, labels = _apart(lesson())
    said = [output["move"].probabilities for output in predict(model, seen)]
    answers = [max(shares, key=shares.__getitem__) for shares in said]
    right = [answer == label for answer, label in zip(answers, labels, strict=True)]
    confidence = [shares[answer] for shares, answer in zip(said, answers, strict=True)]
    assert found["ece_equal_mass"] == pytest.approx(calibration_error(equal_mass(confidence, right)))
    assert found["brier_top"]["score"] == pytest.approx(np.mean((np.array(confidence) - right) ** 2))
    assert sum(n for _, _, n in found["reliability"]) == len(labels)


def test_a_tracker_observes_every_labelled_interaction(model: Served) -> None:
    tracker = Tracker(SMALL.tasks)
    evaluate(model, lesson(), tracker=tracker)
    found = {one.name: one for one in tracker.report(seed=1)}["expert_agreement"]
    assert found.n == len(_apart(lesson())[1])


def test_only_tasks_of_classes_have_a_reliability_diagram(model: Served) -> None:
    numbers = [recorded(100 + n, "why?", **{DEPTH.name: n / 10}) for n in range(5)]
    plots = reliability_plots(evaluate(model, [*lesson(), *numbers]))
    assert list(plots) == ["reliability-move"]

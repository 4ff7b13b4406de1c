"""Feedback meets the prediction that it judges: late, early, repeated, contradicting, retracting, or never."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import (
    DAY_S,
    HORIZON_S,
    MODEL,
    START_S,
    Room,
    Teller,
    input_of,
    judged,
    label,
    of,
    only,
    retraction,
    said,
    session_processor,
)

from learners.importance import DISAGREEMENT, FLAGS, RATED, disagreement
from learners.tasks import Task
from schemas import topics
from schemas.envelope import Origin, derive_id
from schemas.event import Data, Event
from schemas.feedback import Feedback, Flag, FlagName, Judgement, Preference, Rating, Score
from schemas.prediction import DeadLetter, Example, Fate, Prediction
from state.pending import GIVEN, labels_key
from streams.join import MOST_OTHERS, MOST_STANDING
from streams.message import Message
from streams.processor import Batch, Output, message, waiting_key
from streams.score import Scoring, scales_of
from streams.session import Session

FIRST_FEEDBACK = Origin(topics.FEEDBACK.name, 0, 0)


def room(teller: Teller | None = None) -> Room:
    return Room(session_processor(teller or Teller()))


def by_feedback(outputs: list[Output]) -> dict[str, Example]:
    return {example.feedback: example for example in of(outputs, Example)}


def test_a_late_label_is_scored_against_the_prediction_made_then() -> None:
    teller = Teller(0.25)
    here = room(teller)
    here.take(said("i"))
    then, version_then = teller.outputs("teacher"), teller.version
    teller.share = 1.0
    example = only(here.take(label("f", "i", "press")), Example)
    assert (example.predicted, example.predicted_by) == (then, version_then)
    assert example.reasons["disagreement"] > 0
    assert disagreement(example.predicted["move"], "press") == pytest.approx(1 - 0.25)


def test_the_error_of_a_number_is_measured_in_the_width_of_its_task_s_range() -> None:
    wide = Task(name="depth", kind="regression", range=(-3, 5))
    here = Room(Session(Scoring(MODEL, scales=scales_of([wide])), lambda: Teller(0.5)))
    here.take(said("i"))
    example = only(here.take(label("f", "i", 2.5, task="depth")), Example)
    assert example.reasons["disagreement"] == pytest.approx(DISAGREEMENT * (2.5 - 0.5) / (5 - -3))


def test_an_example_says_who_judged_what_when() -> None:
    here = room()
    here.take(said("i", at_s=START_S))
    here.now = START_S + 100
    (output,) = here.take(label("f", "i", "none", rater="ann", at_s=START_S + 90.5))
    example = only([output], Example)
    assert (example.kind, example.labels, example.rater) == ("label", {"move": "none"}, "ann")
    assert (example.interaction, example.feedback, example.model) == ("i", "f", MODEL)
    assert (example.delay_s, example.arrived_ms) == (90.5, int((START_S + 100) * 1000))
    assert (output.id, output.causes) == (derive_id("example", "f"), (FIRST_FEEDBACK,))


def test_a_label_in_the_same_batch_meets_its_interaction() -> None:
    outputs = room().take(label("f", "i"), said("i"))
    assert [type(output.data) for output in outputs] == [Prediction, Example]


def test_early_feedback_waits_and_is_joined_when_its_interaction_arrives() -> None:
    here = room()
    assert here.take(label("f", "i", at_s=START_S - 5)) == []
    assert waiting_key(FIRST_FEEDBACK) in here.shelf.values
    outputs = here.take(said("i", at_s=START_S))
    (example,) = of(outputs, Example)
    assert (example.feedback, example.delay_s) == ("f", -5.0)
    assert waiting_key(FIRST_FEEDBACK) not in here.shelf.values


def test_all_that_waits_for_an_interaction_is_joined_in_the_order_in_which_it_came() -> None:
    here = room()
    for n in range(3):
        here.take(label(f"f{n}", "i", rater=f"r{n}"))
    assert [example.feedback for example in of(here.take(said("i")), Example)] == ["f0", "f1", "f2"]


def test_feedback_whose_interaction_never_comes_expires_with_a_fate_after_the_horizon() -> None:
    here = room()
    here.take(label("f", "i"))
    here.now += HORIZON_S - 1
    assert here.take() == []
    here.now += 1
    (output,) = here.take()
    fate = only([output], Fate)
    assert (fate.fate, fate.input_id, fate.input_type) == ("expired", "f", Feedback.TYPE)
    assert (fate.origin, output.causes) == (str(FIRST_FEEDBACK), (FIRST_FEEDBACK,))
    assert here.shelf.values == {}


def test_one_that_waits_longer_expires_by_itself() -> None:
    here = room()
    here.take(label("f0", "i"))
    here.now += DAY_S
    here.take(label("f1", "i", rater="other"))
    here.now = START_S + HORIZON_S
    assert only(here.take(), Fate).input_id == "f0"
    (example,) = of(here.take(said("i", at_s=START_S)), Example)
    assert example.feedback == "f1"


def test_feedback_that_judges_after_the_horizon_expires_even_if_the_interaction_is_known() -> None:
    here = room()
    here.take(said("i", at_s=START_S))
    assert only(here.take(label("f", "i", at_s=START_S + HORIZON_S + 1)), Fate).fate == "expired"
    assert isinstance(only(here.take(label("g", "i", at_s=START_S + HORIZON_S)), Example), Example)


def test_a_label_of_a_task_that_was_not_asked_has_a_fate() -> None:
    here = room()
    here.take(said("i", role="student"))
    fate = only(here.take(label("f", "i", task="move")), Fate)
    assert (fate.fate, "students" in fate.detail) == ("unlabelled", True)


@pytest.mark.parametrize("known", [True, False])
def test_a_repeated_feedback_is_a_duplicate(known: bool) -> None:
    here, once = room(), label("f", "i")
    if known:
        here.take(said("i"))
    here.take(once)
    fate = only(here.take(once), Fate)
    assert (fate.fate, fate.input_id, fate.origin) == ("duplicate", "f", f"{topics.FEEDBACK.name}/0/1")


@pytest.mark.parametrize("together", [True, False])
def test_a_feedback_that_reuses_an_id_is_a_conflict(together: bool) -> None:
    here, first, second = room(), label("f", "i", "press"), label("f", "i", "none")
    here.take(said("i"))
    outputs = here.take(first, second) if together else [*here.take(first), *here.take(second)]
    (letter,) = of(outputs, DeadLetter)
    assert (letter.reason, letter.offset) == ("conflict", 1)
    assert by_feedback(outputs)["f"].labels == {"move": "press"}


def test_another_rater_s_label_stands_beside_and_is_named() -> None:
    here = room()
    here.take(said("i"), label("f0", "i", "press", rater="ann"))
    example = only(here.take(label("f1", "i", "none", rater="bob")), Example)
    assert (example.contradicts, example.revises) == (("f0",), None)
    third = only(here.take(label("f2", "i", "restating", rater="cid")), Example)
    assert third.contradicts == ("f0", "f1")


def test_another_rater_who_agrees_contradicts_nobody() -> None:
    here = room()
    here.take(said("i"), label("f0", "i", "press", rater="ann"))
    assert only(here.take(label("f1", "i", "press", rater="bob")), Example).contradicts == ()


def test_labels_of_other_tasks_contradict_nobody() -> None:
    here = room()
    here.take(said("i"), label("f0", "i", "press", rater="ann"))
    example = only(here.take(label("f1", "i", 0.5, task="depth", rater="bob")), Example)
    assert (example.contradicts, example.revises) == ((), None)


def test_a_revision_by_the_same_rater_replaces() -> None:
    here = room()
    here.take(said("i"), label("f0", "i", "press", rater="ann"))
    assert only(here.take(label("f1", "i", "none", rater="ann")), Example).revises == "f0"
    third = only(here.take(label("f2", "i", "press", rater="bob")), Example)
    assert third.contradicts == ("f1",), "f0 does not stand any more"


def test_a_retraction_by_the_same_rater_takes_the_label_back() -> None:
    here = room()
    here.take(said("i"), label("f0", "i", "press", rater="ann"))
    example = only(here.take(retraction("f1", "i", of="f0", rater="ann")), Example)
    assert (example.kind, example.retracts, example.labels) == ("retraction", "f0", {})
    assert only(here.take(label("f2", "i", "none", rater="bob")), Example).contradicts == ()


def test_a_retraction_before_its_target_waits_for_it() -> None:
    here = room()
    here.take(said("i"))
    assert here.take(retraction("f1", "i", of="f0")) == []
    outputs = here.take(label("f0", "i"))
    assert [(e.feedback, e.kind) for e in of(outputs, Example)] == [("f0", "label"), ("f1", "retraction")]


def test_a_retraction_before_its_target_before_their_interaction_waits_for_both() -> None:
    here = room()
    assert here.take(retraction("f1", "i", of="f0")) == []
    assert here.take(label("f0", "i")) == []
    outputs = here.take(said("i"))
    assert [(e.feedback, e.kind) for e in of(outputs, Example)] == [("f0", "label"), ("f1", "retraction")]


def test_a_retraction_of_early_feedback_follows_it() -> None:
    here = room()
    assert here.take(label("f0", "i"), retraction("f1", "i", of="f0")) == []
    outputs = here.take(said("i"))
    assert [(e.feedback, e.kind) for e in of(outputs, Example)] == [("f0", "label"), ("f1", "retraction")]


def test_a_retraction_whose_target_never_comes_expires() -> None:
    here = room()
    here.take(said("i"), retraction("f1", "i", of="f0"))
    here.now += HORIZON_S
    assert only(here.take(), Fate).fate == "expired"


def test_a_retraction_of_another_rater_s_is_a_dead_letter() -> None:
    here = room()
    here.take(said("i"), label("f0", "i", "press", rater="ann"))
    letter = only(here.take(retraction("f1", "i", of="f0", rater="bob")), DeadLetter)
    assert (letter.reason, letter.offset) == ("not-theirs", 1)
    assert only(here.take(label("f2", "i", "none", rater="bob")), Example).contradicts == ("f0",)


@pytest.mark.parametrize("known", [True, False])
def test_a_retraction_that_waited_for_another_rater_s_is_the_same_dead_letter(known: bool) -> None:
    first, second = label("f0", "i", rater="ann"), retraction("f1", "i", of="f0", rater="bob")
    here, there = room(), room()
    if known:
        here.take(said("i"))
    here.take(second)
    (early,) = [output for output in here.take(first) if isinstance(output.data, DeadLetter)]
    there.take(first)
    there.offsets[topics.FEEDBACK.name] = 0  # where the retraction stood in the other room
    (late,) = there.take(second)
    assert early == late


def test_a_retraction_on_another_interaction_is_a_dead_letter() -> None:
    here = room()
    here.take(said("i"), said("j"), label("f0", "i"))
    assert only(here.take(retraction("f1", "j", of="f0")), DeadLetter).reason == "not-theirs"


@pytest.mark.parametrize(
    ("judgement", "field"),
    [
        (Score(kind="score", value=80.0), ("score", 80.0)),
        (Rating(kind="rating", value=4), ("rating", 4)),
        (Preference(kind="preference", chosen="a", rejected="b"), ("preference", ("a", "b"))),
        (Flag(kind="flag", name="exemplary"), ("flag", "exemplary")),
    ],
)
def test_other_judgements_are_joined_as_judgements(judgement: Judgement, field: tuple[str, object]) -> None:
    here = room()
    here.take(said("i"))
    example = only(here.take(judged("f", "i", judgement)), Example)
    name, value = field
    assert (example.kind, getattr(example, name), example.labels) == ("judgement", value, {})


def test_a_flag_is_worth_what_it_says() -> None:
    here = room()
    here.take(said("i"))
    example = only(here.take(judged("f", "i", Flag(kind="flag", name="breakthrough"))), Example)
    assert FLAGS["breakthrough"] in example.reasons.values()


# What others have said of the same interaction.


def flagged(id: str, name: FlagName, rater: str = "rater") -> Event[Data]:
    return judged(id, "i", Flag(kind="flag", name=name), rater=rater)


def rated(id: str, value: int, rater: str = "rater") -> Event[Data]:
    return judged(id, "i", Rating(kind="rating", value=value), rater=rater)


@pytest.mark.parametrize("early", [True, False])
def test_a_label_of_a_flagged_moment_says_so_and_is_worth_more(early: bool) -> None:
    here, there = room(), room()
    there.take(said("i"))
    plain = only(there.take(label("f", "i")), Example)
    events = [said("i"), flagged("g", "breakthrough"), flagged("h", "exemplary", "bob")]
    example = by_feedback(here.take(*(events[::-1] if early else events), label("f", "i")))["f"]
    assert example.flags == ("breakthrough", "exemplary")
    marks = FLAGS["breakthrough"] + FLAGS["exemplary"]
    assert example.importance == pytest.approx(min(plain.importance + marks, 1))


def test_a_flag_that_two_raters_give_counts_once_and_one_taken_back_not_at_all() -> None:
    here = room()
    here.take(said("i"), flagged("g", "exemplary"), flagged("h", "exemplary", "bob"), flagged("k", "breakthrough"))
    assert only(here.take(label("f0", "i")), Example).reasons["flag:exemplary"] == FLAGS["exemplary"]
    back = only(here.take(retraction("r", "i", of="k")), Example)
    assert back.flags == only(here.take(label("f1", "i")), Example).flags == ("exemplary",)


def test_a_flag_after_others_names_all_that_stand() -> None:
    here = room()
    here.take(said("i"), flagged("g", "exemplary"))
    example = only(here.take(flagged("h", "breakthrough")), Example)
    assert (example.flag, example.flags) == ("breakthrough", ("breakthrough", "exemplary"))


@pytest.mark.parametrize(
    ("judgement", "bad"),
    [
        (Score(kind="score", value=10.0), 0.8),
        (Score(kind="score", value=50.0), 0.0),
        (Rating(kind="rating", value=1), 1.0),
        (Rating(kind="rating", value=2), 0.5),
        (Rating(kind="rating", value=5), 0.0),
        (Preference(kind="preference", chosen="b", rejected=derive_id("prediction", "i")), 0.5),
        (Preference(kind="preference", chosen=derive_id("prediction", "i"), rejected="b"), 0.0),
        (Preference(kind="preference", chosen="a", rejected="b"), 0.0),
    ],
)
def test_an_output_that_an_expert_found_bad_makes_its_label_worth_more(judgement: Judgement, bad: float) -> None:
    here = room()
    here.take(said("i"))
    own = only(here.take(judged("g", "i", judgement)), Example)
    example = only(here.take(label("f", "i")), Example)
    assert example.reasons.get("rated", 0.0) == own.reasons.get("rated", 0.0) == pytest.approx(RATED * bad)


def test_of_several_raters_the_worst_counts_and_of_one_rater_the_last() -> None:
    here = room()
    here.take(said("i"), rated("a", 1), rated("b", 2, "bob"))
    assert only(here.take(label("f0", "i")), Example).reasons["rated"] == RATED
    here.take(rated("c", 5))
    assert only(here.take(label("f1", "i")), Example).reasons["rated"] == RATED * 0.5


def test_an_example_says_what_others_said_of_its_task() -> None:
    here = room()
    here.take(said("i"), label("f0", "i", "press", rater="ann"), label("g", "i", 0.5, task="depth", rater="cid"))
    here.take(label("f1", "i", "none", rater="bob"))
    assert only(here.take(label("f2", "i", "press", rater="bob")), Example).others == {"ann": "press"}
    assert only(here.take(label("f3", "i", "press", rater="eve")), Example).others == {"ann": "press", "bob": "press"}


def test_a_crowd_of_raters_is_heard_each_but_not_carried_along_whole() -> None:
    here = room()
    crowd = [label(f"f{n}", "i", "press" if n % 2 else "none", rater=f"rater-{n}") for n in range(MOST_STANDING + 9)]
    found = by_feedback(here.take(said("i"), *crowd))
    assert len(found) == len(crowd)
    last = found[crowd[-1].id]
    assert list(last.others) == [f"rater-{n}" for n in range(len(crowd) - 1 - MOST_OTHERS, len(crowd) - 1)]
    assert len(GIVEN.validate_json(here.shelf.values[labels_key("i")])) == MOST_STANDING


# What an earlier owner has published stays so, whatever the state knows now.


def sent(*outputs: Output) -> dict[Origin, list[Message]]:
    partitions = dict.fromkeys(topics.BY_NAME, 1)
    return {o.causes[0]: [message(o, "oakfield", "/currere/oakfield/session", 0, partitions)] for o in outputs}


def adopting(here: Room, published: list[Output], *events: tuple[object, int]) -> tuple[list[Output], list[Origin]]:
    """One batch of ``events`` at their offsets, of which ``published`` is known."""
    inputs = [input_of(event, offset) for event, offset in events]  # type: ignore[arg-type]  # events
    batch = Batch(inputs, here.now, 0, here.shelf.due(here.now), sent(*published))
    plan = here.processor.run(batch, here.shelf.values)
    here.shelf.apply(plan.writes)
    return list(plan.outputs), list(plan.adopted)


def test_a_published_prediction_is_adopted_and_labels_are_scored_against_it() -> None:
    published = room(Teller(0.25)).take(said("i"))
    here = room(Teller(1.0))
    outputs, _ = adopting(here, published, (said("i"), 0))
    assert outputs == []
    assert only(here.take(label("f", "i")), Example).predicted == Teller(0.25).outputs("teacher")


def test_a_published_example_is_not_published_again_and_its_label_stands() -> None:
    there = room()
    there.take(said("i"))
    published = there.take(label("f0", "i", rater="ann"))
    here = room()
    here.take(said("i"))
    assert adopting(here, published, (label("f0", "i", rater="ann"), 0)) == ([], [FIRST_FEEDBACK])
    here.offsets[topics.FEEDBACK.name] = 1
    assert only(here.take(label("f1", "i", "none", rater="bob")), Example).contradicts == ("f0",)


def test_feedback_that_waits_adopts_its_published_example_when_its_interaction_comes_again() -> None:
    there = room()
    there.take(said("i"))
    published = there.take(label("f", "i"))
    here = room()
    assert adopting(here, published, (label("f", "i"), 0)) == ([], [])
    assert adopting(here, published, (said("i"), 0))[1] == [FIRST_FEEDBACK]


def test_feedback_that_had_expired_stays_expired_and_its_label_does_not_stand() -> None:
    there = room()
    there.take(label("f0", "i", rater="ann"))
    there.now += HORIZON_S
    published = there.take()
    here = room()
    here.take(said("i"))
    assert adopting(here, published, (label("f0", "i", rater="ann"), 0)) == ([], [FIRST_FEEDBACK])
    here.offsets[topics.FEEDBACK.name] = 1
    assert only(here.take(label("f1", "i", "none", rater="bob")), Example).contradicts == ()


def test_feedback_that_waits_again_stays_expired_when_its_interaction_comes() -> None:
    there = room()
    there.take(label("f0", "i"))
    there.now += HORIZON_S
    published = there.take()
    here = room()
    here.take(label("f0", "i"))
    outputs, adopted = adopting(here, published, (said("i"), 0))
    assert (of(outputs, Example), adopted) == ([], [FIRST_FEEDBACK])


def test_a_plan_is_a_function_of_batch_and_values_alone() -> None:
    here = room()
    here.take(said("i"), label("f", "j"))
    inputs = [input_of(label("g", "i"), 1), input_of(said("j"), 1)]
    batch = Batch(inputs, here.now, 0)
    before = dict(here.shelf.values)
    one, other = here.processor.run(batch, here.shelf.values), here.processor.run(replace(batch), before)
    assert (one, here.shelf.values) == (other, before)

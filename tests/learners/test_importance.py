"""Importance: a sum of named addends that needs no expert to be high."""

from __future__ import annotations

from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learners.importance import (
    CONTENT,
    DISAGREEMENT,
    FLAGS,
    RARITY,
    RATED,
    UNCERTAINTY,
    badness,
    disagreement,
    importance,
    marked,
    parted,
    uncertainty,
)
from schemas.feedback import FlagName
from schemas.prediction import Output

CERTAIN = {"question": Output(probabilities={"none": 1.0, "closed": 0.0, "open": 0.0})}


def plain(text: str, language: str | None = "en") -> dict[str, float]:
    return importance(text, language, {}, disagreement=None, flags=(), rarity=0.0)[1]


@given(
    text=st.text(max_size=40)
    | st.sampled_from(["Why? That's interesting, why so?", "tell me more: what do you think"]),
    language=st.sampled_from([None, "en", "en-US", "hi", "ta", "fr"]),
    probabilities=st.dictionaries(st.sampled_from("abc"), st.floats(0, 1)),
    wrong=st.none() | st.floats(0, 1),
    flags=st.sets(st.sampled_from([*FLAGS, "unknown"])),
    rarity=st.floats(0, 1),
)
def test_the_addends_sum_to_an_importance_between_zero_and_one(
    text: str,
    language: str | None,
    probabilities: dict[str, float],
    wrong: float | None,
    flags: set[str],
    rarity: float,
) -> None:
    outputs = {"task": Output(probabilities=probabilities)}
    value, reasons = importance(text, language, outputs, disagreement=wrong, flags=flags, rarity=rarity)
    assert 0 <= value <= 1
    assert sum(reasons.values()) == pytest.approx(value)


def test_a_confident_mistake_on_a_rare_class_passes_the_mission_threshold_without_an_expert_flag() -> None:
    value, reasons = importance("and why is that?", "en", CERTAIN, disagreement=0.99, flags=(), rarity=0.95)
    assert value > 0.8
    assert not any(name.startswith("flag:") for name in reasons)


def test_a_confident_model_gets_no_bonus() -> None:
    assert importance("ok", "en", CERTAIN, disagreement=0.0, flags=(), rarity=0.0) == (0, {})


def test_each_flag_is_one_addend_of_its_weight() -> None:
    _, reasons = importance("", "en", {}, disagreement=None, flags=("breakthrough", "perfect_wait_time"), rarity=0.0)
    assert reasons == {"flag:breakthrough": FLAGS["breakthrough"], "flag:perfect_wait_time": FLAGS["perfect_wait_time"]}


def test_an_unknown_flag_counts_for_nothing() -> None:
    assert importance("", "en", {}, disagreement=None, flags=("champion",), rarity=0.0) == (0, {})


def test_what_exceeds_one_is_taken_back_by_name() -> None:
    flags: tuple[FlagName, ...] = ("exemplary", "breakthrough", "perfect_scaffolding")
    value, reasons = importance("", "en", {}, disagreement=1.0, flags=flags, rarity=0.0)
    assert value == 1
    assert reasons["clipped"] == pytest.approx(1 - DISAGREEMENT - sum(FLAGS[name] for name in flags))


@pytest.mark.parametrize(
    ("text", "language", "cues"),
    [
        ("Why is that so?", "en", {"why_how": 0.3}),
        ("HOW did you get there", "en-IN", {"why_how": 0.3}),
        ("show the whyever", "en", {}),
        ("What do  you think, Sam?", "en", {"what_do_you_think": 0.2}),
        ("tell me more", "en", {"tell_me_more": 0.2}),
        ("That’s interesting. Can you say why?", "en", {"why_how": 0.3, "interesting_why": 0.3}),
        ("Why? That's interesting.", "en", {"why_how": 0.3}),
        ("क्यों?", "hi", {"why_how": 0.3}),
        ("यह कैसे हुआ।", "hi-IN", {"why_how": 0.3}),
        ("तुम क्या सोचते हो", "hi", {"what_do_you_think": 0.2}),
        ("और बताओ", "hi", {"tell_me_more": 0.2}),
        ("बहुत दिलचस्प, क्यों", "hi", {"why_how": 0.3, "interesting_why": 0.3}),
        ("क्योंकि वह बड़ा है", "hi", {}),
        ("ஏன்?", "ta", {"why_how": 0.3}),
        ("ஏனென்றால்", "ta", {}),
        ("நீங்கள் என்ன நினைக்கிறீர்கள்", "ta", {"what_do_you_think": 0.2}),
        ("மேலும் சொல்லுங்கள்", "ta", {"tell_me_more": 0.2}),
        ("சுவாரஸ்யமாக இருக்கிறது, ஏன்", "ta", {"why_how": 0.3, "interesting_why": 0.3}),
        ("why", "hi", {}),
        ("pourquoi? how chic", "fr", {}),
        ("why", None, {"why_how": 0.3}),
        ("ஏன்", None, {"why_how": 0.3}),
    ],
)
def test_cues_are_whole_words_of_the_language(text: str, language: str | None, cues: dict[str, float]) -> None:
    expected = {f"cue:{name}": CONTENT * weight for name, weight in cues.items()}
    assert plain(text, language) == pytest.approx(expected)


def test_a_long_text_of_half_a_cue_is_read_in_linear_time() -> None:
    assert "cue:interesting_why" not in plain("that's interesting " * 50_000 + "whyever")


def test_uncertainty_of_a_uniform_distribution_is_one_and_of_a_certain_one_zero() -> None:
    assert uncertainty({"t": Output(probabilities=dict.fromkeys("abcd", 0.25))}) == pytest.approx(1)
    assert uncertainty(CERTAIN) == 0


def test_uncertainty_is_the_mean_of_entropies_over_their_maxima() -> None:
    outputs = {**CERTAIN, "t": Output(probabilities={"a": 0.8, "b": 0.2}), "seconds": Output(value=3.0)}
    expected = (0 - (0.8 * log(0.8) + 0.2 * log(0.2)) / log(2)) / 2
    assert uncertainty(outputs) == pytest.approx(expected)
    _, reasons = importance("", "en", outputs, disagreement=None, flags=(), rarity=0.5)
    assert reasons == pytest.approx({"uncertainty": UNCERTAINTY * expected, "rarity": RARITY * 0.5})


def test_uncertainty_of_several_classes_is_the_mean_binary_entropy() -> None:
    assert uncertainty({"moves": Output(probabilities={"a": 0.5, "b": 0.5, "c": 0.5})}) == pytest.approx(1)
    assert uncertainty({"moves": Output(probabilities={"a": 0.5, "b": 1.0})}) == pytest.approx(1 / 2)


def test_disagreement_is_what_the_label_was_not_given() -> None:
    output = Output(probabilities={"open": 0.3, "closed": 0.7})
    assert disagreement(output, "open") == pytest.approx(1 - 0.3)
    assert disagreement(output, "new-class") == 1
    assert disagreement(output, ("open",)) == pytest.approx((0.7 + 0.7) / 2)


def test_disagreement_about_a_number_is_the_error_over_the_range() -> None:
    assert disagreement(Output(value=5.0), 2.0, scale=6) == pytest.approx(3 / 6)
    assert disagreement(Output(value=50.0), 2.0, scale=6) == 1


def test_an_output_that_says_nothing_does_not_disagree() -> None:
    assert disagreement(Output(), "open") == disagreement(Output(), 1.0) == disagreement(Output(), ("open",)) == 0


def test_a_bad_rating_is_one_addend_and_praise_is_none() -> None:
    _, reasons = importance("", "en", {}, disagreement=None, flags=(), rarity=0.0, rated=0.5)
    assert reasons == {"rated": RATED * 0.5}
    assert [badness(value, middle=3, worst=1) for value in (1, 2, 3, 5)] == [1, 0.5, 0, 0]
    assert [badness(value, middle=50, worst=0) for value in (0, 10, 90)] == [1, 0.8, 0]


@given(
    wrong=st.none() | st.floats(0, 1),
    flags=st.sets(st.sampled_from([*FLAGS])),
    rarity=st.floats(0, 1),
    rated=st.floats(0, 1),
)
def test_marks_can_be_told_apart_and_added_later(
    wrong: float | None, flags: set[FlagName], rarity: float, rated: float
) -> None:
    whole, reasons = importance("why", "en", CERTAIN, disagreement=wrong, flags=flags, rarity=rarity, rated=rated)
    bare, without = importance("why", "en", CERTAIN, disagreement=wrong, flags=(), rarity=rarity)
    assert marked(reasons) == pytest.approx(sum(FLAGS[flag] for flag in flags) + RATED * rated)
    assert marked(without) == 0
    assert min(parted(without)[0] + marked(reasons), 1) == pytest.approx(whole)
    assert min(parted(reasons)[0], 1) == pytest.approx(bare)

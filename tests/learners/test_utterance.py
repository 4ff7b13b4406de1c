from __future__ import annotations

import pytest

from learners.utterance import NAME, NUMBER, OTHER, hashed, read_utterance


@pytest.mark.parametrize(
    ("one", "other"), [("divide", "dividing"), ("three", "3"), ("thirds", "third"), ("Ann's", "Ann")]
)
def test_forms_of_a_word_have_one_stem(one: str, other: str):
    assert read_utterance(one).roots == read_utterance(other).roots != frozenset()


def test_closed_classes_have_no_roots():
    assert read_utterance("what is it?").roots == frozenset()


def test_words_of_any_lesson_are_their_own_kind_and_others_are_of_a_sort():
    assert read_utterance("why is the triangle 12 Laura").kinds == (
        hashed("why"), hashed("is"), hashed("the"), OTHER, NUMBER, NAME,
    )  # fmt: skip


def test_the_capital_that_begins_a_sentence_makes_no_name():
    assert read_utterance("Triangles have three sides").kinds[0] == OTHER


def test_a_call_by_name_is_a_name():
    assert read_utterance("Laura?").kinds[0] == NAME


def test_capitals_change_no_word():
    assert read_utterance("WHY Twelve?").words == read_utterance("why twelve?").words


def test_sizes_count_words_kinds_of_words_and_stems():
    assert read_utterance("the circle and the circles").sizes == (5, 4, 1)


@pytest.mark.parametrize("text", ["Well done! So what is left?", "It is 3. So what is left? ", "Why? So what is left?"])
def test_the_closing_words_are_those_of_the_last_sentence(text: str):
    assert read_utterance(text).closing == read_utterance("so what is left?").words


@pytest.mark.parametrize("text", ["", "So what is left?", "It is 3.5", "...", "Oh. "])
def test_one_sentence_has_no_closing_words_of_its_own(text: str):
    assert read_utterance(text).closing == ()

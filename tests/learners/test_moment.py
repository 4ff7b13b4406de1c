from __future__ import annotations

from learners.moment import NO_OVERLAP, NO_TURN, moment, overlap
from learners.utterance import SHARED, hashed, read_utterance
from tests.learners.cases import said

LAST_STUDENT, LAST_TEACHER, TURNS, LAST_ROLE, OWN_RUN = range(5)  # of a place


def ids(text: str) -> list[int]:
    return sorted(map(hashed, text.split()))


def test_what_is_taken_up_of_a_student_is_marked_whatever_its_form():
    found = moment(said("so you divided it", before=[("student", "by dividing")]), 8)
    assert found.skeleton == [hashed("so"), hashed("you"), SHARED, hashed("it")]


def test_fresh_words_are_in_none_of_the_students_last_turns():
    before = [("student", "red"), ("teacher", "hm"), ("student", "nine"), ("student", "apples")]
    assert moment(said("red nine apples fell", before=before), 8).fresh == ids("red fell")


def test_shared_words_are_the_last_student_utterances():
    before = [("student", "nine"), ("student", "apples"), ("teacher", "red")]
    assert moment(said("nine red apples", before=before), 8).shared == ids("apples")


def test_without_a_student_in_sight_nothing_is_new():
    found = moment(said("nine apples", before=[("teacher", "nine")]), 8)
    assert (found.shared, found.fresh, found.skeleton) == ((), (), ())


def test_a_place_counts_turns_back():
    before = [("student", "a"), ("teacher", "b"), ("teacher", "c")]
    place = moment(said("d", before=before), 8).place
    assert place[: OWN_RUN + 1] == (2, 0, 3, 0, 2)


def test_nobody_is_as_far_as_the_turns_reach():
    place = moment(said("d"), 8).place
    assert (place[LAST_STUDENT], place[LAST_TEACHER], place[TURNS], place[LAST_ROLE]) == (0, 0, 0, NO_TURN)


def test_an_overlap_counts_words_pairs_and_roots_that_both_have():
    one, other = read_utterance("two red apples fell"), read_utterance("three red apples fall")
    assert overlap(one, other) == (1, 2, 1, 2, *other.sizes)


def test_an_utterance_overlaps_itself_whole():
    one = read_utterance("two red apples")
    assert overlap(one, one) == (2, 3, 2, 3, *one.sizes)


def test_silence_overlaps_nothing():
    assert (
        overlap(read_utterance(""), read_utterance("two"))
        == NO_OVERLAP
        == overlap(read_utterance("two"), read_utterance(""))
    )

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
    assert (len(found.shared), len(found.fresh), len(found.skeleton)) == (0, 0, 0)


def test_a_place_counts_turns_back():
    before = [("student", "a"), ("teacher", "b"), ("teacher", "c")]
    place = moment(said("d", before=before), 8).place
    assert place[: OWN_RUN + 1] == (2, 0, 3, 0, 2)


def test_nobody_is_as_far_as_the_turns_reach():
    place = moment(said("d"), 8).place
    assert (place[LAST_STUDENT], place[LAST_TEACHER], place[TURNS], place[LAST_ROLE]) == (0, 0, 0, NO_TURN)


def between(one: str, other: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The overlap of two texts and the sizes of the other."""
    now, then = read_utterance(one), read_utterance(other)
    return overlap(now, then, now.vocabulary & then.vocabulary), then.sizes


def test_an_overlap_counts_words_pairs_and_roots_that_both_have():
    found, sizes = between("two red apples fell", "three red apples fall")
    assert found == (1, 2, 1, 2, *sizes)


def test_an_utterance_overlaps_itself_whole():
    found, sizes = between("two red apples", "two red apples")
    assert found == (2, 3, 2, 3, *sizes)


def test_silence_overlaps_nothing():
    assert between("", "two")[0] == NO_OVERLAP == between("two", "")[0]

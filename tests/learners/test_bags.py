from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from learners.bags import Lists, bagged, firsts, lasts, lists, ngrams, openings, table_of

HASHES = st.lists(st.lists(st.integers(0, 2**64 - 1), max_size=8), max_size=6)


def split(given: Lists, count: int) -> list[list[int]]:
    """The lists again, one for each of ``count`` examples."""
    return [given.values[given.owners == owner].tolist() for owner in range(count)]


@given(HASHES)
def test_lists_come_back_as_they_were(given: list[list[int]]):
    assert split(lists(given), len(given)) == given


@given(HASHES, st.integers(2, 4))
def test_ngrams_never_reach_from_one_list_into_the_next(given: list[list[int]], size: int):
    together = split(ngrams(lists(given), size), len(given))
    assert together == [ngrams(lists([each]), size).values.tolist() for each in given]
    assert [len(each) for each in together] == [max(0, len(each) - size + 1) for each in given]


@given(HASHES)
def test_first_and_last_are_those_of_each_list_that_has_any(given: list[list[int]]):
    assert split(firsts(lists(given)), len(given)) == [each[:1] for each in given]
    assert split(lasts(lists(given)), len(given)) == [each[-1:] for each in given]


@given(HASHES, st.integers(1, 6))
def test_an_opening_depends_on_the_first_few_alone(given: list[list[int]], size: int):
    cut = lists([each[:size] for each in given])
    assert split(openings(lists(given), size), len(given)) == split(openings(cut, size), len(given))


def test_the_order_of_an_opening_counts():
    one, other = openings(lists([[1, 2], [2, 1]]), 2).values
    assert one != other


def test_rows_of_a_table_are_lists():
    assert split(table_of(np.array([[1, 2], [3, 4]], dtype=np.uint64)), 2) == [[1, 2], [3, 4]]


@given(HASHES)
def test_bags_hold_of_each_example_what_they_hold_of_it_alone(given: list[list[int]]):
    def features(some: list[list[int]]) -> list[list[int]]:
        words = lists(some)
        found, starts = bagged(len(some), [[(1, words), (2, ngrams(words, 2))], [(3, words)]])
        assert starts[-1] == len(found)
        return [found[a:b].tolist() for a, b in pairwise(starts)]

    assert features(given) == [bag for each in given for bag in features([each])]


def test_a_word_is_another_feature_in_another_namespace():
    one, other = (bagged(1, [[(space, lists([[7]]))]])[0] for space in (1, 2))
    assert one != other

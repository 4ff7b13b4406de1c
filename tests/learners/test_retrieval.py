"""Retrieval at one: what a query's nearest key is."""

from __future__ import annotations

import numpy as np
import pytest

from learners.retrieval import retrieval_at_1

DRAW = np.random.default_rng(0)


def test_a_moment_finds_itself_whatever_the_pool_and_the_seed():
    points = DRAW.normal(size=(60, 8))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    assert all(retrieval_at_1(points, points, pool, seed) == 1 for pool in (2, 20, 60) for seed in range(3))


def test_keys_that_are_all_alike_are_found_as_often_as_by_guessing():
    assert retrieval_at_1(DRAW.normal(size=(100, 4)), np.ones((100, 4)), 50, 0) == pytest.approx(1 / 50)


def test_a_query_whose_key_is_a_rivals_finds_nothing():
    points = np.eye(10)
    assert retrieval_at_1(points, np.roll(points, 1, axis=0), 10, 0) == 0


def test_moments_that_fill_no_pool_are_not_asked():
    points = np.concatenate((np.eye(50), np.zeros((49, 50))))
    asked = np.random.default_rng(3).permutation(99)[:50]
    expected = np.where(asked < 50, 1.0, 0.0)
    # of the zeros each finds all keys of its pool alike
    expected[asked >= 50] = 1 / 50
    assert retrieval_at_1(points, points, 50, 3) == pytest.approx(expected.mean())


@pytest.mark.parametrize(("queries", "keys"), [(3, 3), (60, 59)])
def test_without_a_whole_pool_there_is_nothing_to_say(queries: int, keys: int):
    with pytest.raises(ValueError, match="no pool of 50"):
        retrieval_at_1(np.ones((queries, 2)), np.ones((keys, 2)), 50, 0)

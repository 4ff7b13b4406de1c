"""Rarity: what hardly ever comes is worth more than its share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learners.rarity import Met, rarity
from schemas.feedback import LabelValue
from schemas.prediction import Output

MOVES = Output(probabilities={"none": 0.7, "press": 0.2, "revoicing": 0.1})
LEVELS = Output(probabilities={str(level): 1 / 7 for level in range(1, 8)})


def met(**counts: int) -> Met:
    return Met({"move": counts})


def test_a_class_that_has_its_equal_share_is_not_rare_and_one_without_any_is_by_all_but_the_first_guess() -> None:
    seen = met(none=60, press=40)
    assert seen.rarity("move", "none", MOVES) == seen.rarity("move", "press", MOVES) == 0
    assert seen.rarity("move", "revoicing", MOVES) == pytest.approx(1 - 3 * 1 / 103)


def test_before_any_label_nothing_is_rare() -> None:
    assert Met().rarity("move", "press", MOVES) == 0


@given(st.dictionaries(st.sampled_from("abcd"), st.integers(0, 1_000)), st.integers(1, 10))
def test_rarity_is_a_share_and_falls_as_the_class_comes_more_often(counts: dict[str, int], classes: int) -> None:
    before = rarity(counts, "a", classes)
    more = {**counts, "a": counts.get("a", 0) + 1}
    assert 0 <= rarity(more, "a", max(classes, len(more))) <= rarity(counts, "a", max(classes, len(more))) <= 1
    assert 0 <= before <= 1


def test_a_set_is_as_rare_as_its_rarest_class_and_an_empty_one_is_not() -> None:
    seen = met(none=90, press=9, revoicing=1)
    assert seen.rarity("move", ("none", "revoicing"), MOVES) == seen.rarity("move", "revoicing", MOVES)
    assert seen.rarity("move", (), MOVES) == 0


@pytest.mark.parametrize(("label", "output"), [(0.5, Output(value=0.5)), (2.5, LEVELS), (3.0, None)])
def test_a_number_that_is_no_level_is_never_rare(label: LabelValue, output: Output | None) -> None:
    seen = Met()
    for _ in range(50):
        seen.meet("depth", 1.0, LEVELS)
    assert seen.rarity("depth", label, output) == 0


def test_the_level_of_a_scale_is_a_class() -> None:
    seen = Met()
    for _ in range(50):
        seen.meet("quality", 4.0, LEVELS)
    assert seen.counts == {"quality": {"4": 50}}
    assert seen.rarity("quality", 1.0, LEVELS) > seen.rarity("quality", 4.0, LEVELS) == 0


def test_bytes_restore_the_counts() -> None:
    seen = met(none=3, press=1)
    assert Met.from_bytes(seen.to_bytes()).counts == seen.counts

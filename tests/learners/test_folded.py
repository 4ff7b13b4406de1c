"""What was folded last is known, in order, and no more than so much of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from learners.folded import BYTES, Folded
from learners.model import id_hash

MOST = 4
NAMES = st.lists(st.sampled_from("abcdefghijkl"), max_size=60)


def hashes(names: Sequence[str]) -> list[bytes]:
    return [id_hash(name) for name in names]


def last(ids: Sequence[bytes], most: int) -> list[bytes]:
    """The ids that a memory of the last ``most`` holds: one that it still knows keeps its place."""
    held: list[bytes] = []
    for id_ in ids:
        held = held if id_ in held else [*held, id_][-most:]
    return held


@given(NAMES)
def test_it_holds_the_last_ids_in_the_order_in_which_they_came(names: list[str]) -> None:
    folded = Folded(hashes(names), MOST)
    assert list(folded) == last(hashes(names), MOST)
    assert len(folded) == len(last(hashes(names), MOST))


@given(NAMES, st.sampled_from("abcdefghijkl"))
def test_it_knows_what_it_holds_and_nothing_else(names: list[str], asked: str) -> None:
    assert (id_hash(asked) in Folded(hashes(names), MOST)) == (id_hash(asked) in last(hashes(names), MOST))


@given(NAMES, NAMES)
def test_who_was_written_out_and_read_again_goes_on_as_if_nothing_had_been(before: list[str], after: list[str]) -> None:
    whole = Folded(hashes([*before, *after]), MOST)
    again = Folded.of(Folded(hashes(before), MOST).to_array(), MOST)
    again.update(hashes(after))
    assert again == whole


@given(st.lists(st.integers(0, 10**6), unique=True, max_size=60), st.integers(1, 80))
def test_of_more_ids_than_it_may_hold_it_reads_the_last(numbers: list[int], most: int) -> None:
    ids = hashes(list(map(str, numbers)))
    read = Folded.of(np.frombuffer(b"".join(ids), dtype=np.uint8).reshape(-1, BYTES), most)
    assert list(read) == ids[-most:]
    assert [id_ in read for id_ in ids] == [id_ in ids[-most:] for id_ in ids]


@given(st.lists(st.integers(0, 40), max_size=60))
def test_ids_that_fall_on_one_place_are_told_apart(numbers: list[int]) -> None:
    alike = [bytes(BYTES - 1) + bytes([number]) for number in numbers]  # the table looks at the first eight bytes
    folded = Folded(alike, MOST)
    assert list(folded) == last(alike, MOST)
    assert [id_ in folded for id_ in alike] == [id_ in last(alike, MOST) for id_ in alike]


def test_a_memory_is_another_s_equal_if_both_hold_the_same_in_the_same_order() -> None:
    one, other = hashes("ab")
    assert Folded([one, other]) == Folded([one, other])
    assert Folded([one, other]) != Folded([other, one])

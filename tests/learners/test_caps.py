"""Caps on batch and gradient: nobody has more than a share while others are there, and nobody is held back alone."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learners.caps import capped, turn

NAMES = st.sampled_from([None, "a", "b", "c", "d"])
SHARES = st.sampled_from([0.1, 0.25, 0.5, 1.0])
LINE = st.lists(st.tuples(NAMES, NAMES), max_size=60)
WEIGHTED = st.lists(st.tuples(NAMES, st.floats(0, 1, allow_subnormal=False)), max_size=64)


@given(LINE, st.integers(1, 40), SHARES, SHARES)
def test_no_place_stays_empty_while_somebody_waits_and_the_first_always_comes(
    line: list[tuple[str | None, str | None]], size: int, learner: float, rater: float
) -> None:
    chosen = turn(line, size, (learner, rater))
    assert len(chosen) == min(size, len(line))
    assert chosen == sorted(set(chosen))
    assert chosen[:1] == ([0] if line else [])


@given(LINE, st.integers(1, 40), SHARES)
def test_who_has_more_than_the_cap_has_it_because_nobody_else_with_room_waits(
    line: list[tuple[str | None, str | None]], size: int, share: float
) -> None:
    line = [(None, rater) for _, rater in line]
    chosen = set(turn(line, size, (1.0, share)))
    present = {rater for _, rater in line} - {None}
    cap = max(int(max(share, 1 / max(len(present), 1)) * size), 1)
    held = Counter(line[at][1] for at in chosen)
    waiting = {line[at][1] for at in range(len(line)) if at not in chosen}
    if any(count > cap for name, count in held.items() if name is not None):
        assert all(name is not None and held[name] >= cap for name in waiting)


def test_an_adversary_who_sends_half_of_all_events_has_no_more_than_the_share_of_a_batch() -> None:
    line = [("mallory", "mallory") if n % 2 else (f"l{n % 20}", f"r{n % 8}") for n in range(200)]
    chosen = turn(line, 32, (0.1, 0.25))
    assert sum(line[at][0] == "mallory" for at in chosen) == int(0.1 * 32)


@given(LINE, st.integers(1, 8), SHARES)
def test_everybody_comes_within_as_many_batches_as_stood_before(
    line: list[tuple[str | None, str | None]], size: int, share: float
) -> None:
    waiting = list(range(len(line)))
    rounds = 0
    while waiting:
        rounds += 1
        taken = turn([line[at] for at in waiting], size, (share, share))
        gone = {waiting[at] for at in taken}
        waiting = [at for at in waiting if at not in gone]
        assert all(at >= rounds for at in waiting)


def test_a_single_rater_comes_in_order() -> None:
    assert turn([(None, "ann")] * 100, 32, (0.1, 0.5)) == list(range(32))


@given(WEIGHTED, SHARES)
def test_no_name_keeps_more_than_its_share_of_what_is_left(
    weighted: list[tuple[str | None, float]], share: float
) -> None:
    names, weights = [name for name, _ in weighted], [weight for _, weight in weighted]
    after = capped(weights, names, share)
    present = {name for name, weight in weighted if weight > 0}
    cap = max(share, 1 / max(len(present), 1))
    for name in present - {None}:
        held = sum(weight for other, weight in zip(names, after, strict=True) if other == name)
        assert held <= cap * sum(after) * (1 + 1e-6) + 1e-12


@given(WEIGHTED, SHARES)
def test_nothing_grows_and_who_is_below_the_cap_keeps_everything(
    weighted: list[tuple[str | None, float]], share: float
) -> None:
    names, weights = [name for name, _ in weighted], [weight for _, weight in weighted]
    after = capped(weights, names, share)
    assert all(0 <= new <= old for new, old in zip(after, weights, strict=True))
    if names:
        assert [new for new, name in zip(after, names, strict=True) if name is None] == [
            old for old, name in zip(weights, names, strict=True) if name is None
        ]
        least = min(names, key=lambda name: sum(w for n, w in weighted if n == name))
        assert all(new == old for new, old, name in zip(after, weights, names, strict=True) if name == least)


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_a_single_rater_keeps_every_weight(share: float) -> None:
    assert capped([0.3, 0.7, 1.0], ["ann"] * 3, share) == [0.3, 0.7, 1.0]


def test_one_of_two_is_cut_to_what_the_other_has() -> None:
    """With a share of one half, x ≤ (x + 1) / 2 means x ≤ 1."""
    assert sum(capped([1.0] * 32, ["a"] * 31 + ["b"], 0.5)[:31]) == pytest.approx(1.0)


def test_the_caps_of_several_hold_at_once() -> None:
    """Two names and the nameless are three, so that L = T / 3 and T = 2 L + 4: L = 4."""
    after = capped([1.0] * 24, ["a"] * 10 + ["b"] * 10 + [None] * 4, 0.3)
    assert sum(after[:10]) == pytest.approx(sum(after[10:20])) == pytest.approx(4.0)

"""Replay: half uniform, half by priority."""

from __future__ import annotations

from collections import Counter
from math import sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learners.entry import MemorySettings, entry
from learners.memory import Memory
from learners.replay import sample

RULES = MemorySettings(learner_share=1, rater_share=1)


def remembered(n: int) -> Memory:
    """A memory of ``n`` entries of which every tenth is important."""
    return Memory.of(
        RULES, [entry(RULES, f"e{i}", 1.0 if i % 10 == 0 else 0.1, "ab"[i % 2], None, None, i) for i in range(n)]
    )


@settings(deadline=None)
@given(n=st.integers(0, 60), seed=st.integers(0, 2**32))
def test_a_sample_has_no_repeats_and_is_a_function_of_content_and_seed(n: int, seed: int) -> None:
    memory = remembered(40)
    again = Memory.from_bytes(memory.to_bytes(), RULES)
    drawn = sample(memory, n, seed)
    assert drawn == sample(again, n, seed)
    assert len(set(drawn.ids)) == len(drawn.ids) == len(drawn.weights) == min(n, 40)
    assert set(drawn.ids) <= set(memory.entries)


def test_weights_undo_the_priority_of_the_mixture_up_to_beta() -> None:
    memory = remembered(100)
    drawn = sample(memory, 50, seed=1)
    total = 10 * 1.0**RULES.alpha + 90 * 0.1**RULES.alpha
    chance = {w: 0.5 / 100 + 0.5 * w**RULES.alpha / total for w in (1.0, 0.1)}
    lightest = min(chance.values())
    for id, weight in zip(drawn.ids, drawn.weights, strict=True):
        assert weight == pytest.approx((chance[memory.entries[id].weight] / lightest) ** -RULES.beta)


def test_entries_are_drawn_as_often_as_the_mixture_says() -> None:
    """Two draws from many: the first uniform, the second by priority; the chance that both meet is below 2 %."""
    memory, rounds = remembered(100), 3_000
    important = Counter(
        memory.entries[id].weight == 1.0 for seed in range(rounds) for id in sample(memory, 2, seed).ids
    )
    share = 10 / (10 + 90 * 0.1**RULES.alpha)
    expected = rounds * (0.1 + share)
    assert abs(important[True] - expected) < 4 * sqrt(2 * rounds * 0.25) + 0.02 * rounds


def test_each_half_is_drawn_by_its_own_chances() -> None:
    """Of four draws two are uniform: 2/N each; the others successive by priority among what is left. Of N entries of
    equal weight every one is drawn 4/N of the time (Pearson's chi-square, mean k - 1, variance 2 (k - 1))."""
    memory, rounds, n = Memory.of(RULES, [entry(RULES, str(i), 0.4, "a", None, None, i) for i in range(20)]), 2_000, 4
    drawn = Counter(id for seed in range(rounds) for id in sample(memory, n, seed).ids)
    expected = rounds * n / 20
    chi = sum((drawn[str(i)] - expected) ** 2 / expected for i in range(20))
    assert chi < 19 + 4 * sqrt(2 * 19)


def test_without_priorities_every_entry_weighs_the_same() -> None:
    memory = Memory.of(RULES, [entry(RULES, str(i), 0.4, "a", None, None, i) for i in range(30)])
    assert set(sample(memory, 10, seed=3).weights) == {1.0}

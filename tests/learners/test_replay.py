"""Replay: half uniform, half by priority."""

from __future__ import annotations

from collections import Counter
from itertools import permutations
from math import sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learners.entry import Entry, MemorySettings, entry
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
    again = Memory.of(RULES, reversed(memory.ordered))
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


def weighed(name: str, weight: float) -> Entry:
    return entry(RULES, name, weight, "a", None, None, 0)


def within_chance(counts: Counter[str], expected: dict[str, float], free: int) -> bool:
    """Pearson's chi-square below its mean by four standard deviations (mean ``free``, variance 2 ``free``)."""
    return sum((counts[name] - e) ** 2 / e for name, e in expected.items()) < free + 4 * sqrt(2 * free)


def test_the_second_half_is_drawn_by_priority_among_what_the_first_has_left() -> None:
    """Of two draws the first is any of N; then P(i) = Σ_{j≠i} 1/N · p_i / (S - p_j)."""
    weights = {"a": 0.05, "b": 0.2, "c": 0.5, "d": 1.0}
    memory, rounds = Memory.of(RULES, [weighed(*one) for one in weights.items()]), 8_000
    p = {name: weight**RULES.alpha for name, weight in weights.items()}
    total = sum(p.values())
    chance = {i: sum(p[i] / (total - p[j]) / len(p) for j in p if j != i) for i in p}
    drawn = Counter(sample(memory, 2, seed).ids[1] for seed in range(rounds))
    assert sum(chance.values()) == pytest.approx(1)
    assert within_chance(drawn, {name: rounds * share for name, share in chance.items()}, len(p) - 1)


def test_draws_by_priority_are_in_proportion_to_it_among_those_not_drawn_before() -> None:
    """Of four draws among four the last two are of any pair, in their order: P(i, j) = 1/6 · p_i / (p_i + p_j)."""
    weights = {"a": 0.05, "b": 0.2, "c": 0.5, "d": 1.0}
    memory, rounds = Memory.of(RULES, [weighed(*one) for one in weights.items()]), 8_000
    p = {name: weight**RULES.alpha for name, weight in weights.items()}
    chance = {i + j: 1 / 6 * p[i] / (p[i] + p[j]) for i, j in permutations(p, 2)}
    drawn = Counter("".join(sample(memory, 4, seed).ids[2:]) for seed in range(rounds))
    assert sum(chance.values()) == pytest.approx(1)
    assert within_chance(drawn, {pair: rounds * share for pair, share in chance.items()}, len(chance) - 1)


@settings(deadline=None)
@given(
    data=st.data(),
    kept=st.lists(st.tuples(st.integers(0, 30), st.floats(0.05, 1)), min_size=1, unique_by=lambda one: one[0]),
    n=st.integers(0, 40),
)
def test_what_is_drawn_does_not_depend_on_how_the_memory_came_about(
    data: st.DataObject, kept: list[tuple[int, float]], n: int
) -> None:
    entries = [weighed(f"e{number}", weight) for number, weight in kept]
    others = [weighed(f"x{number}", weight) for number, weight in kept]
    built, grown = Memory.of(RULES, entries), Memory.of(RULES)
    for one in data.draw(st.permutations([*entries, *others])):
        grown.admit(one)
    for one in data.draw(st.permutations(others)):
        grown.evict(one.id)
    assert grown.lots.total == built.lots.total
    assert sample(grown, n, seed=n) == sample(built, n, seed=n)


@pytest.mark.parametrize("alpha", [0.0, 1.0, 10.0])
def test_a_memory_whose_weights_are_far_apart_is_drawn_to_its_last_entry(alpha: float) -> None:
    rules = MemorySettings(least_weight=1e-9, alpha=alpha, learner_share=1, rater_share=1)
    memory = Memory.of(rules, [entry(rules, f"e{i}", 10.0**-i, "a", None, None, i) for i in range(10)])
    assert set(sample(memory, 10, seed=0).ids) == set(memory.entries)

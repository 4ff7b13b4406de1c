"""The reservoir: what is kept is a function of what was offered."""

from __future__ import annotations

from collections import Counter
from math import exp, inf, log, sqrt
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learners.entry import MS_PER_DAY, Entry, MemorySettings, entry, rank
from learners.memory import Changes, Memory, merge
from schemas.errors import ConfigurationError

Kind = Literal["learner", "rater"]


def within_chance(counts: dict[str, int], expected: dict[str, float]) -> bool:
    """Pearson's chi-square below its mean by four standard deviations (mean k - 1, variance 2(k - 1))."""
    free = len(expected) - 1
    return sum((counts[x] - e) ** 2 / e for x, e in expected.items()) < free + 4 * sqrt(2 * free)


def offers(capacity: int = 12, kind: Kind = "learner") -> st.SearchStrategy[list[Entry]]:
    """Entries with unique ids, three classes, few learners or raters."""
    one = st.tuples(st.integers(0, 200), st.sampled_from("abc"), st.sampled_from([None, "p", "q", "r"]))
    made = MemorySettings(capacity=capacity)

    def build(drawn: list[tuple[int, str, str | None]]) -> list[Entry]:
        who = [(name, None) if kind == "learner" else (None, name) for _, _, name in drawn]
        return [
            entry(made, f"e{i}", i % 10 / 10, label, pair[0], pair[1], i)
            for (i, label, _), pair in zip(drawn, who, strict=True)
        ]

    return st.lists(one, max_size=60, unique_by=lambda drawn: drawn[0]).map(build)


def small(kind: Kind = "learner") -> MemorySettings:
    """Twelve places, three classes, one kind of cap."""
    if kind == "learner":
        return MemorySettings(capacity=12, classes=3, learner_share=0.5, rater_share=1)
    return MemorySettings(capacity=12, classes=3, learner_share=1, rater_share=0.5)


kinds = pytest.mark.parametrize("kind", ["learner", "rater"])


@kinds
@given(data=st.data())
def test_what_is_kept_does_not_depend_on_the_order_of_arrival(kind: Kind, data: st.DataObject) -> None:
    offered = data.draw(offers(kind=kind))
    shuffled = data.draw(st.permutations(offered))
    one, other = Memory.of(small(kind)), Memory.of(small(kind))
    for first, second in zip(offered, shuffled, strict=True):
        one.admit(first)
        other.admit(second)
    assert one == other == Memory.of(small(kind), offered)


@kinds
@given(data=st.data())
def test_a_redelivered_entry_changes_nothing(kind: Kind, data: st.DataObject) -> None:
    offered = data.draw(offers(kind=kind))
    memory = Memory.of(small(kind), offered)
    assert memory.admit(*offered) == ()
    assert memory == Memory.of(small(kind), offered)


@kinds
@given(data=st.data(), cut=st.integers(0, 60))
def test_merged_shards_keep_what_one_memory_would(kind: Kind, data: st.DataObject, cut: int) -> None:
    offered = data.draw(offers(kind=kind))
    one, other = Memory.of(small(kind), offered[:cut]), Memory.of(small(kind), offered[cut:])
    assert merge(one, other) == merge(other, one) == Memory.of(small(kind), offered)


@given(offered=offers())
def test_the_capacity_is_divided_as_evenly_as_the_classes_allow(offered: list[Entry]) -> None:
    uncapped = MemorySettings(capacity=12, learner_share=1, rater_share=1)
    kept = Counter(held.label for held in Memory.of(uncapped, offered).entries.values())
    came = Counter(held.label for held in offered)
    assert sum(kept.values()) == min(12, len(offered))
    for label in came:
        assert kept[label] == came[label] or kept[label] >= max(kept.values()) - 1


def test_whoever_is_not_capped_and_has_everything_has_it_divided_among_the_classes() -> None:
    uncapped = MemorySettings(capacity=12, learner_share=1, rater_share=1)
    offered = [entry(uncapped, f"e{i}", 0.5, "aaab"[i % 4], "ann", "ann", i) for i in range(40)]
    kept = Counter(held.label for held in Memory.of(uncapped, offered).entries.values())
    assert kept == dict.fromkeys("ab", 12 / 2)


@given(offered=offers())
def test_of_each_class_and_learner_the_smallest_keys_are_kept(offered: list[Entry]) -> None:
    kept = Memory.of(small(), offered).entries
    for one in offered:
        for other in offered:
            if (one.label, one.learner) == (other.label, other.learner) and one.key < other.key:
                assert one.id in kept or other.id not in kept


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_caps_hold_in_every_order_though_an_adversary_sends_half_of_all_events(data: st.DataObject) -> None:
    rules = MemorySettings(capacity=40, learner_share=0.2, rater_share=0.3, classes=2)
    honest = [entry(rules, f"h{i}", 0.1, "ab"[i % 2], f"l{i % 9}", f"r{i % 7}", i) for i in range(100)]
    hostile = [entry(rules, f"x{i}", 1.0, "abc"[i % 3], "mallory", "mallory", i) for i in range(100)]
    memory = Memory.of(rules)
    for offered in data.draw(st.permutations(honest + hostile)):
        memory.admit(offered)
        held = [one.learner for one in memory.entries.values()].count("mallory")
        assert held <= 0.2 * 40
        assert len(memory) <= 40
    assert sum(one.learner != "mallory" for one in memory.entries.values()) >= len(memory) - 0.2 * 40


def test_the_one_place_is_won_in_proportion_to_its_weight() -> None:
    """Of capacity one, the chance to be kept is w over the sum of weights (Efraimidis & Spirakis 2006)."""
    rules = MemorySettings(capacity=1, learner_share=1, rater_share=1)
    weights = {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4}
    rounds = 4_000
    kept: Counter[str] = Counter()
    for i in range(rounds):
        (held,) = Memory.of(rules, [entry(rules, f"{i}-{n}", w, "x", n, None, 0) for n, w in weights.items()]).entries
        kept[held[-1]] += 1
    assert within_chance(kept, {name: rounds * weight for name, weight in weights.items()})


def test_equal_weights_are_kept_equally_often() -> None:
    rules = MemorySettings(capacity=5, learner_share=1, rater_share=1)
    rounds, n = 1_000, 20
    kept: Counter[str] = Counter()
    for i in range(rounds):
        offered = [entry(rules, f"{i}-{j}", 0.5, "x", str(j), None, 0) for j in range(n)]
        kept.update(held.learner or "" for held in Memory.of(rules, offered).entries.values())
    assert within_chance(kept, {str(j): rounds * 5 / n for j in range(n)})


def test_an_entry_of_later_time_wins_by_its_age_times_the_decay() -> None:
    rules = MemorySettings(decay_per_day=log(2) / 7)
    week = 7 * MS_PER_DAY
    earlier, later = (entry(rules, "same", 0.5, "x", None, None, t) for t in (0, week))
    assert exp(earlier.key - later.key) == pytest.approx(2)
    assert earlier.key == rank("same", 0.5)


def test_what_is_less_important_than_the_threshold_is_not_admitted() -> None:
    rules = MemorySettings(threshold=0.8)
    below, above = (entry(rules, str(value), value, "x", None, None, 0) for value in (0.79, 0.8))
    assert set(Memory.of(rules, [below, above]).entries) == {above.id}


@pytest.mark.parametrize(
    "wrong",
    [
        {"capacity": 0},
        {"capacity": "2000"},
        {"classes": 0},
        {"learner_share": -0.1},
        {"least_weight": 0},
        {"least_weight": 1.01},
        {"alpha": inf},
        {"importance_power": 11},
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        MemorySettings(**wrong)


def test_admitting_reports_only_ids_that_were_held_before() -> None:
    rules = MemorySettings(capacity=1, learner_share=1, rater_share=1)
    first, *others = sorted((entry(rules, str(i), 0.5, "x", None, None, 0) for i in range(5)), key=lambda one: -one.key)
    memory = Memory.of(rules, [first])
    assert memory.admit(*others) == (first.id,)
    assert set(memory.entries) == {others[-1].id}


def test_an_evicted_entry_leaves_no_trace() -> None:
    offered = [entry(small(), str(i), 0.5, "ab"[i % 2], "l", "r", i) for i in range(4)]
    memory, alone = Memory.of(small(), offered), Memory.of(small(), offered[:1])
    for _ in range(2):  # the second time it is not there
        memory.evict("1")
        assert memory == Memory.of(small(), [one for one in offered if one.id != "1"])
    alone.evict("0")
    assert alone == Memory.of(small())


@given(offered=offers(), cut=st.integers(0, 60))
def test_the_changes_turn_a_stored_memory_into_the_next(offered: list[Entry], cut: int) -> None:
    memory = Memory.of(small(), offered[:cut])
    stored = {one.id: one for one in offered[:cut]}
    memory.admit(*offered[cut:])
    memory.replayed(one.id for one in offered[:3])
    put, drop = memory.changes()
    assert all(stored.get(one.id) != one for one in put)
    assert stored.keys() >= {*drop}
    stored = {id: one for id, one in stored.items() if id not in drop} | {one.id: one for one in put}
    assert stored == memory.entries
    assert memory.changes() == Changes((), ())


def test_what_came_and_left_again_or_is_as_it_was_is_no_change() -> None:
    stays, comes = moments(2, small())
    memory = Memory.of(small(), [stays])
    memory.admit(comes)
    memory.evict(comes.id)
    memory.evict(stays.id)
    memory.admit(stays)
    assert memory.changes() == Changes((), ())


def test_replays_are_counted_and_merging_keeps_the_larger_count() -> None:
    never, twice = (Memory.of(small(), [entry(small(), "a", 0.5, "x", None, None, 0)]) for _ in range(2))
    twice.replayed(["a", "absent"])
    twice.replayed(["a"])
    assert twice.entries["a"].replayed == 2
    assert merge(never, twice) == merge(twice, never) == twice


def test_entries_are_cut_down_to_what_smaller_settings_allow() -> None:
    memory = Memory.of(small(), [entry(small(), str(i), 0.5, "a", None, None, 0) for i in range(12)])
    less = MemorySettings(capacity=3)
    assert set(Memory.of(less, memory.ordered).entries) == {one.id for one in memory.ordered[:3]}


def moments(n: int, rules: MemorySettings, marks: float = 0.0) -> list[Entry]:
    """Entries of as many interactions, of which ``i0`` was marked."""
    worth = [0.4 + (marks if i == 0 else 0.0) for i in range(n)]
    return [entry(rules, f"e{i}", worth[i], "x", None, None, i, f"i{i}", 0.4) for i in range(n)]


def test_a_mark_that_comes_after_the_label_gives_the_weight_that_it_would_have_given_before() -> None:
    rules = MemorySettings(capacity=5, learner_share=1, rater_share=1)
    memory = Memory.of(rules, moments(5, rules))
    assert memory.marked("i0", 0.3) == ("e0",)
    assert memory == Memory.of(rules, moments(5, rules, marks=0.3))
    memory.marked("i0", 0.0)
    assert memory == Memory.of(rules, moments(5, rules)), "and is taken back"


def test_a_mark_on_what_is_not_held_changes_nothing() -> None:
    memory = Memory.of(small(), moments(3, small()))
    assert memory.marked("elsewhere", 0.3) == ()
    assert memory == Memory.of(small(), moments(3, small()))


def test_marks_never_make_more_than_one_and_a_mark_taken_back_may_fall_below_the_threshold() -> None:
    rules = MemorySettings(threshold=0.8, learner_share=1, rater_share=1)
    memory = Memory.of(rules, moments(1, rules, marks=0.4))
    memory.marked("i0", 1.4)
    assert memory.entries["e0"].weight == 1
    memory.marked("i0", 0.0)
    assert len(memory) == 0


def test_entries_stored_before_interactions_were_noted_are_read() -> None:
    stored: tuple[Any, ...] = tuple(moments(1, small())[0])[:8]
    assert Entry(*stored).interaction == ""


def test_of_several_places_each_is_won_as_sampling_without_replacement_in_proportion_to_weight() -> None:
    """P(i kept of 2) = w_i + Σ_{j≠i} w_j · w_i / (1 - w_j) for weights that sum to one (Efraimidis & Spirakis 2006)."""
    rules = MemorySettings(capacity=2, learner_share=1, rater_share=1)
    weights = {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4}
    chance = {i: w + sum(v * w / (1 - v) for j, v in weights.items() if j != i) for i, w in weights.items()}
    rounds = 3_000
    kept: Counter[str] = Counter()
    for i in range(rounds):
        offered = [entry(rules, f"{i}-{n}", w, "x", n, None, 0) for n, w in weights.items()]
        kept.update(held.learner or "" for held in Memory.of(rules, offered).entries.values())
    assert sum(chance.values()) == pytest.approx(2)
    assert within_chance(kept, {name: rounds * share for name, share in chance.items()})


def test_with_decay_a_newer_entry_is_kept_as_often_as_one_of_that_much_more_weight() -> None:
    """After a half-life of seven days, weights 1 : 1 count as 1 : 2, so that the newer wins two of three."""
    rules = MemorySettings(capacity=1, learner_share=1, rater_share=1, decay_per_day=log(2) / 7)
    rounds, week = 2_000, 7 * MS_PER_DAY
    kept: Counter[str] = Counter()
    for i in range(rounds):
        offered = [entry(rules, f"{i}-{t}", 0.5, "x", str(t), None, t * week) for t in (0, 1)]
        (held,) = Memory.of(rules, offered).entries.values()
        kept[held.learner or ""] += 1
    assert within_chance(kept, {"0": rounds / 3, "1": rounds * 2 / 3})


def test_the_mission_s_preset_is_a_thousand_places_for_what_passes_eight_tenths_and_a_replay_of_eight() -> None:
    found = MemorySettings.preset("mission", beta=0.7)
    assert (found.capacity, found.threshold, found.replay, found.beta) == (1_000, 0.8, 8, 0.7)
    assert MemorySettings.preset("default") == MemorySettings()
    with pytest.raises(ConfigurationError, match="mission"):
        MemorySettings.preset("moon")

"""The memory that a process has made itself is the one that the store holds, whatever the store went through."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import pytest
from builders import UNCAPPED, Shelf
from hypothesis import given, settings
from hypothesis import strategies as st

from learners.entry import MemorySettings
from streams.remember import MOST_CACHED, TOKEN, Made, Remembered, Waiting, payload_key

LESS = MemorySettings(capacity=3, learner_share=1.0, rater_share=1.0)


def waiting(name: str) -> Waiting:
    return Waiting(
        id=name, origin=f"edu.example.v1/0/{int(name[1:])}", at=0.0, time_s=0.0, label="move/press", learner=None,
        rater="ann", importance=0.5, ms=0, interaction=f"i-{name}", unmarked=0.5,
    )  # fmt: skip


def load(values: Mapping[str, bytes], made: Made, chosen: MemorySettings = UNCAPPED) -> Remembered:
    return Remembered.load(values, chosen, made)


def admitted(values: Mapping[str, bytes], made: Made, *names: str) -> Shelf:
    """The store after ``names`` were admitted to what ``values`` hold."""
    shelf = Shelf(dict(values))
    memory = load(values, made)
    memory.admit([waiting(name) for name in names])
    shelf.apply(memory.writes())
    return shelf


def test_what_was_made_here_is_not_read_again() -> None:
    made: Made = OrderedDict()
    shelf = admitted({}, made, "e0")
    only_token = {TOKEN: shelf.values[TOKEN]}
    assert {entry.id for entry in load(only_token, made).entries} == {"e0"}
    assert {entry.id for entry in load(shelf.values, OrderedDict()).entries} == {"e0"}


def test_a_refused_commit_leaves_no_trace() -> None:
    made: Made = OrderedDict()
    before = admitted({}, made, "e0").values
    admitted(before, made, "e1")
    assert {entry.id for entry in load(before, made).entries} == {"e0"}


def test_a_store_that_went_back_and_on_another_way_is_not_taken_for_what_was_made() -> None:
    made: Made = OrderedDict()
    before = admitted({}, made, "e0").values
    admitted(before, made, "e1")
    other = admitted(before, OrderedDict(), "e2").values
    assert {entry.id for entry in load(other, made).entries} == {"e0", "e2"}


def test_equal_histories_have_equal_tokens_and_others_have_not() -> None:
    one, other = admitted({}, OrderedDict(), "e0", "e1"), admitted({}, OrderedDict(), "e0", "e1")
    assert one.values == other.values
    assert admitted({}, OrderedDict(), "e0").values[TOKEN] != one.values[TOKEN]


def test_few_memories_are_cached() -> None:
    made: Made = OrderedDict()
    shelf = Shelf()
    for n in range(MOST_CACHED + 3):
        shelf = admitted(shelf.values, made, f"e{n}")
    assert len(made) == MOST_CACHED
    assert shelf.values[TOKEN] in made


def test_other_settings_are_not_served_from_the_cache() -> None:
    made: Made = OrderedDict()
    shelf = admitted({}, made, *(f"e{n}" for n in range(6)))
    assert len(list(load(shelf.values, made, LESS).entries)) == LESS.capacity


def test_what_smaller_settings_cut_leaves_the_store_with_its_payload() -> None:
    shelf = admitted({}, OrderedDict(), *(f"e{n}" for n in range(6)))
    shelf.values |= {payload_key(f"e{n}"): b"payload" for n in range(6)}
    shelf.apply(load(shelf.values, OrderedDict(), LESS).writes())
    entries = {key[2:] for key in shelf.values if key.startswith("m:")}
    assert len(entries) == LESS.capacity
    assert {key[2:] for key in shelf.values if key.startswith("p:")} == entries
    assert {entry.id for entry in load(shelf.values, OrderedDict(), LESS).entries} == entries


def test_nothing_changed_is_nothing_written() -> None:
    made: Made = OrderedDict()
    shelf = admitted({}, made, "e0")
    assert load(shelf.values, made).writes() == []
    assert load(shelf.values, OrderedDict()).writes() == []


def test_marks_raise_what_waits_and_what_is_remembered_and_what_falls_below_the_threshold_leaves() -> None:
    high = MemorySettings(threshold=0.8, learner_share=1.0, rater_share=1.0)
    memory = load({}, OrderedDict(), high)
    memory.wait(waiting("e0"))
    assert memory.mark("i-e0", 0.4) == {"e0": pytest.approx(0.9)}
    memory.admit(memory.line)
    memory.leave({"e0"})
    assert [entry.weight for entry in memory.entries] == [pytest.approx(0.9)]
    assert memory.mark("i-e0", 0.9) == {"e0": 1.0}
    assert memory.mark("i-e0", 0.0) == {}
    assert list(memory.entries) == []


def test_what_left_and_came_back_keeps_its_payload() -> None:
    memory = load({}, OrderedDict())
    memory.forget("e0")
    memory.wait(waiting("e0"))
    shelf = Shelf({payload_key("e0"): b"payload"})
    shelf.apply(memory.writes())
    assert payload_key("e0") in shelf.values


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["admit", "forget", "replay", "mark", "go back", "lose"]), st.integers(0, 5).map("e{}".format)
    ),
    max_size=15,
)


@settings(deadline=None)
@given(STEPS)
def test_a_cached_memory_is_always_the_stored_one(steps: list[tuple[str, str]]) -> None:
    made: Made = OrderedDict()
    shelf, earlier = Shelf(), Shelf()
    for what, name in steps:
        memory = load(shelf.values, made, LESS)
        assert memory.memory == load(shelf.values, OrderedDict(), LESS).memory
        if what == "go back":
            shelf, earlier = Shelf(dict(earlier.values)), shelf
            continue
        if what == "admit":
            memory.admit([waiting(name)])
        elif what == "forget":
            memory.forget(name)
        elif what == "replay":
            memory.replayed([name])
        elif what == "mark":
            memory.mark(f"i-{name}", 0.4)
        earlier = Shelf(dict(shelf.values))
        writes = memory.writes()
        if what != "lose":
            shelf.apply(writes)

"""The memory that a process has made itself is the one that the store holds, whatever the store went through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from builders import UNCAPPED, Room, Shelf, input_of, run
from curated import choices, example, ids, mark, payloads, remembered, room, take_back
from hypothesis import given, settings
from hypothesis import strategies as st

from learners.entry import MemorySettings
from schemas.event import Data, Event
from streams.curate import Curate
from streams.remember import TOKEN, Made, Remembered, Waiting, payload_key

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
    made: Made = {}
    shelf = admitted({}, made, "e0")
    only_token = {TOKEN: shelf.values[TOKEN]}
    assert {entry.id for entry in load(only_token, made).entries} == {"e0"}
    assert {entry.id for entry in load(shelf.values, {}).entries} == {"e0"}


def test_a_refused_commit_leaves_no_trace() -> None:
    made: Made = {}
    before = admitted({}, made, "e0").values
    admitted(before, made, "e1")
    assert {entry.id for entry in load(before, made).entries} == {"e0"}


def test_a_store_that_went_back_and_on_another_way_is_not_taken_for_what_was_made() -> None:
    made: Made = {}
    before = admitted({}, made, "e0").values
    admitted(before, made, "e1")
    other = admitted(before, {}, "e2").values
    assert {entry.id for entry in load(other, made).entries} == {"e0", "e2"}


def test_equal_histories_have_equal_tokens_and_others_have_not() -> None:
    one, other = admitted({}, {}, "e0", "e1"), admitted({}, {}, "e0", "e1")
    assert one.values == other.values
    assert admitted({}, {}, "e0").values[TOKEN] != one.values[TOKEN]


def test_one_memory_is_cached_and_whoever_changes_it_has_it_alone() -> None:
    made: Made = {}
    shelf = Shelf()
    for n in range(3):
        shelf = admitted(shelf.values, made, f"e{n}")
        assert list(made) == [shelf.values[TOKEN]]
    load(shelf.values, made)
    assert not made


def test_other_settings_are_not_served_from_the_cache() -> None:
    made: Made = {}
    shelf = admitted({}, made, *(f"e{n}" for n in range(6)))
    assert len(list(load(shelf.values, made, LESS).entries)) == LESS.capacity


def test_what_smaller_settings_cut_leaves_the_store_with_its_payload() -> None:
    shelf = admitted({}, {}, *(f"e{n}" for n in range(6)))
    shelf.values |= {payload_key(f"e{n}"): b"payload" for n in range(6)}
    shelf.apply(load(shelf.values, {}, LESS).writes())
    entries = {key[2:] for key in shelf.values if key.startswith("m:")}
    assert len(entries) == LESS.capacity
    assert {key[2:] for key in shelf.values if key.startswith("p:")} == entries
    assert {entry.id for entry in load(shelf.values, {}, LESS).entries} == entries


def test_nothing_changed_is_nothing_written() -> None:
    made: Made = {}
    shelf = admitted({}, made, "e0")
    assert load(shelf.values, made).writes() == []
    assert load(shelf.values, {}).writes() == []


def test_marks_raise_what_waits_and_what_is_remembered_and_what_falls_below_the_threshold_leaves() -> None:
    high = MemorySettings(threshold=0.8, learner_share=1.0, rater_share=1.0)
    memory = load({}, {}, high)
    memory.wait(waiting("e0"))
    assert memory.mark("i-e0", 0.4) == {"e0": pytest.approx(0.9)}
    memory.admit(memory.line)
    memory.leave({"e0"})
    assert [entry.weight for entry in memory.entries] == [pytest.approx(0.9)]
    assert memory.mark("i-e0", 0.9) == {"e0": 1.0}
    assert memory.mark("i-e0", 0.0) == {}
    assert list(memory.entries) == []


def test_what_left_and_came_back_keeps_its_payload() -> None:
    memory = load({}, {})
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
    made: Made = {}
    shelf, earlier = Shelf(), Shelf()
    for what, name in steps:
        memory = load(shelf.values, made, LESS)
        assert memory.memory == load(shelf.values, {}, LESS).memory
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


# As the role uses it.

EVENTS = st.one_of(
    st.integers(0, 9).map("e{}".format).map(example),
    st.integers(0, 9).map(lambda n: take_back(f"r{n}", of=f"e{n}")),
    st.integers(0, 9).map(lambda n: mark(f"m{n}", f"e{n}", flag="exemplary", reasons={"flag:exemplary": 0.4})),
)
BATCHES = st.lists(st.lists(EVENTS, max_size=5), max_size=6)


def curating() -> Room:
    return room(memory=MemorySettings(capacity=4, learner_share=1.0, rater_share=1.0))


def afresh(here: Room) -> Curate:
    """The role in a process that knows nothing."""
    return Curate(choices(here))


def given_to(processor: Curate, here: Room, events: Sequence[Event[Data]]) -> tuple[object, Mapping[str, bytes]]:
    """What it plans for ``events`` next, and what the store would then hold; nothing is committed."""
    shelf = Shelf(dict(here.shelf.values), dict(here.shelf.dues))
    first = here.offsets["edu.example"]
    inputs = [input_of(one, first + n, int(here.now * 1000)) for n, one in enumerate(events)]
    return run(processor, shelf, inputs, here.now), shelf.values


@settings(max_examples=60, deadline=None)
@given(BATCHES)
def test_a_batch_that_is_run_twice_has_equal_plans(batches: list[list[Event[Data]]]) -> None:
    here = curating()
    assert isinstance(here.processor, Curate)
    for events in batches:
        once, again = (given_to(here.processor, here, events) for _ in range(2))
        assert once == again == given_to(afresh(here), here, events)
        here.take(*events)


@settings(max_examples=60, deadline=None)
@given(BATCHES, st.sampled_from([4, 2]))
def test_what_was_prepared_makes_no_other_plan(batches: list[list[Event[Data]]], capacity: int) -> None:
    here = curating()
    for events in batches:
        rules = replace(choices(here), memory=replace(choices(here).memory, capacity=capacity))
        prepared = Curate(rules)
        prepared.prepare(here.shelf.values)
        assert given_to(prepared, here, events) == given_to(Curate(rules), here, events)
        here.take(*events)


@settings(max_examples=60, deadline=None)
@given(BATCHES, st.lists(st.lists(EVENTS, max_size=5), min_size=6, max_size=6))
def test_a_plan_that_was_not_committed_leaves_no_trace(
    batches: list[list[Event[Data]]], lost: list[list[Event[Data]]]
) -> None:
    here, undisturbed = curating(), curating()
    assert isinstance(here.processor, Curate)
    for events, others in zip(batches, lost, strict=False):
        given_to(here.processor, here, others)
        assert here.plan(*events) == undisturbed.plan(*events)
    assert here.shelf == undisturbed.shelf


def test_a_batch_that_was_broken_off_half_way_leaves_no_trace() -> None:
    here = curating()
    assert isinstance(here.processor, Curate)
    here.take(example("e0"), example("e1"))
    assert remembered(here) == payloads(here) == ids("e0", "e1")
    lost = payload_key(*ids("e0"))
    whole = here.shelf.values.pop(lost)
    events = [take_back("r", of="e1"), example("e2"), example("e3")]
    with pytest.raises(KeyError, match="payload"):  # when it is to be replayed, after the other was taken back
        given_to(here.processor, here, events)
    here.shelf.values[lost] = whole
    assert given_to(here.processor, here, events) == given_to(afresh(here), here, events)

"""The index finds what a look at all entries would."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from learners.entry import Entry
from learners.index import KINDS, Index, Kind

NAMES = st.sampled_from(["", "a", "a\0", "b"])  # of which some begin with others
ENTRIES = st.lists(
    st.builds(
        Entry,
        id=st.integers(0, 99).map(str),
        key=st.floats(-4, 4),
        weight=st.just(1.0),
        label=NAMES,
        learner=NAMES | st.none(),
        rater=NAMES | st.none(),
        added_ms=st.just(0),
        replayed=st.just(0),
        interaction=NAMES,
        unmarked=st.just(0.0),
    ),
    max_size=30,
    unique_by=lambda one: one.id,
)
KIND = st.sampled_from(KINDS)


def changed(entries: list[Entry], cut: int) -> tuple[Index, list[Entry]]:
    """An index that was built of some, then given others, of which some then left; and what it should hold."""
    index = Index(entries[: cut // 2])
    for one in entries[cut // 2 :]:
        index.put(one)
    for one in entries[:cut]:
        index.drop(one)
    return index, entries[cut:]


def named(held: list[Entry], kind: Kind, name: str, label: str | None = None) -> list[Entry]:
    """By a look at all, in order."""
    found = [one for one in held if getattr(one, kind) == name and label in (None, one.label)]
    return sorted(found, key=lambda one: (one.label, one.key, one.id))


@given(ENTRIES, st.integers(0, 20))
def test_entries_are_ordered_by_class_and_key_whatever_came_and_left(entries: list[Entry], cut: int) -> None:
    index, held = changed(entries, cut)
    assert index.ordered == tuple(sorted(held, key=lambda one: (one.label, one.key, one.id)))
    assert index.sizes() == Counter(one.label for one in held)
    assert index.entries == {one.id: one for one in held}


@given(ENTRIES, st.integers(0, 20), KIND, NAMES, NAMES)
def test_what_a_name_has_is_counted_and_its_worst_of_a_class_is_found(
    entries: list[Entry], cut: int, kind: Kind, name: str, label: str
) -> None:
    index, held = changed(entries, cut)
    everything, of_class = named(held, kind, name), named(held, kind, name, label)
    assert index.of(kind, name) == [one.id for one in everything]
    assert (index.count(kind, name), index.count(kind, name, label)) == (len(everything), len(of_class))
    assert index.worst(kind, name, label) == (of_class[-1] if of_class else None)


@given(ENTRIES.filter(bool))
def test_the_worst_of_the_largest_classes_has_the_largest_key_in_them(entries: list[Entry]) -> None:
    sizes = Counter(one.label for one in entries)
    largest = [one for one in entries if sizes[one.label] == max(sizes.values())]
    assert Index(entries).worst_of_largest() == max(largest, key=lambda one: (one.key, one.id))

"""What a model learns from: who consented, once each, until it is taken back, in requests that hold all they need."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from builders import (
    HORIZON_S,
    START_S,
    Room,
    Shelf,
    Teller,
    consent,
    curation,
    input_of,
    of,
    only,
    run,
)
from curated import (
    WANTED,
    choices,
    example,
    ids,
    mark,
    new,
    payloads,
    remembered,
    requests,
    room,
    take_back,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from learners.drift import ALL, DriftMonitor, DriftSettings
from learners.entry import MemorySettings
from learners.importance import FLAGS
from learners.metrics import Prequential
from learners.request import REPLAYED, decode_request
from schemas import topics
from schemas.envelope import Origin, derive_id
from schemas.event import Data, Event
from schemas.interaction import Payload
from schemas.prediction import DeadLetter, Fate
from schemas.prediction import Output as Answer
from schemas.training import TrainRequest
from streams import turns
from streams.curate import Curate
from streams.judge import DRIFT, QUALITY
from streams.processor import waiting_key
from streams.remember import Remembered
from streams.turns import size_in_request

# Requests.


def test_genesis_comes_first_and_once() -> None:
    here = Room(Curate(curation()))
    (first, *rest) = here.take(example("a"), example("b"))
    assert isinstance(first.data, TrainRequest)
    assert (first.data.kind, first.data.settings) == ("genesis", choices(here).learning.to_dict())
    assert [request.kind for request in requests(rest)] == ["step"]
    assert requests(here.take()) == [] == of(here.take(), TrainRequest)


def test_the_same_settings_give_the_same_genesis_record() -> None:
    one, other = Room(Curate(curation())).take(), Room(Curate(curation())).take(example("a"))
    assert one[0] == other[0]


def test_a_request_is_composed_when_it_is_full() -> None:
    here = room()
    assert new(here.take(example("a"))) == []
    assert new(here.take(example("b"), example("c"))) == [["a", "b"]]


def test_a_request_is_composed_when_its_first_has_waited_long_enough() -> None:
    here = room(wait_s=10.0)
    here.take(example("a"))
    here.now += 9.9
    assert new(here.take()) == []
    here.now += 0.1
    assert new(here.take()) == [["a"]]


def test_a_batch_may_fill_several_requests() -> None:
    assert new(room().take(*(example(name) for name in "abcde"))) == [["a", "b"], ["c", "d"]]


def test_a_request_names_its_new_examples_as_its_causes_and_takes_the_latest_time() -> None:
    (output,) = room().take(example("a", at_s=START_S + 2), example("b", at_s=START_S + 1))
    assert output.causes == tuple(Origin(topics.EXAMPLE.name, 0, n) for n in range(2))
    assert output.time.timestamp() == START_S + 2


def test_replay_does_not_contain_the_new() -> None:
    here = room()
    seen: set[str] = set()
    for first in range(0, 20, 2):
        (request,) = requests(here.take(example(f"e{first}"), example(f"e{first + 1}")))
        fresh, again = {e.id for e in request.new}, {e.id for e in request.replayed}
        assert again <= seen, "only what an earlier request was new with is replayed"
        assert not fresh & again
        seen |= fresh
    assert len(again) == choices(here).replayed


def test_a_replayed_example_says_how_often_it_was_replayed_before() -> None:
    here = room(new=1, replayed=1)
    counts = [[e.replayed for e in requests(here.take(example(name)))[0].replayed] for name in "abc"]
    assert counts[0] == []
    assert counts[1] == [0], "only one was there to replay"
    here = room(new=1, replayed=2)
    here.take(example("a"))
    here.take(example("b"))
    (request,) = requests(here.take(example("c")))
    assert {e.feedback: e.replayed for e in request.replayed} == {"a": 1, "b": 0}


def test_a_request_is_readable_and_weighs_each_replayed_example() -> None:
    here = room(new=1)
    here.take(example("a"), example("b"))
    (output,) = here.take(example("c"))
    manifest, weights = decode_request(output.value or b"")
    assert manifest == output.data
    assert len(weights[REPLAYED]) == len(manifest.replayed) == 2


def test_a_request_holds_no_more_bytes_than_an_event_may() -> None:
    here = room(new=4, replayed=8)
    long = '"' * 20_000  # each quote is escaped twice
    outputs = here.take(*(example(f"e{n}", payload=Payload(text=long, audio=(0.5,) * 4096)) for n in range(64)))
    assert sum(len(request.new) for request in requests(outputs)) == 64
    assert all(len(o.value or b"") <= topics.MAX_VALUE_BYTES for o in outputs)
    assert any(0 < len(request.replayed) < 8 for request in requests(outputs)), "the frame is full"
    manifest, weights = decode_request(outputs[-1].value or b"")
    assert len(weights[REPLAYED]) == len(manifest.replayed)


def test_an_example_that_no_request_can_hold_is_shed(monkeypatch: pytest.MonkeyPatch) -> None:
    here = room()
    monkeypatch.setattr(turns, "MOST_REQUEST_BYTES", 20_000)
    assert only(here.take(example("a", payload=Payload(text="x" * 20_000))), Fate).fate == "shed"
    assert new(here.take(example("b"), example("c"))) == [["b", "c"]]
    assert payloads(here) == ids("b", "c")


def test_an_example_takes_as_many_bytes_as_it_is_thought_to() -> None:
    here = room(new=1, replayed=0)
    text = 'so "twelve" \\ \n ünïcode'
    (small,) = here.take(example("a", payload=Payload(text="")))
    (large,) = here.take(example("b", payload=Payload(text=text)))
    stored = {n: here.shelf.values[f"p:{derive_id('example', n)}"] for n in "ab"}
    growth = len(large.value or b"") - len(small.value or b"")
    assert abs(growth - (size_in_request(stored["b"]) - size_in_request(stored["a"]))) < 8, "but for alignment"


# Once.


def test_a_repeated_example_is_a_duplicate() -> None:
    here = room()
    here.take(example("a"))
    fate = only(here.take(example("a")), Fate)
    assert (fate.fate, fate.origin) == ("duplicate", f"{topics.EXAMPLE.name}/0/1")
    assert new(here.take(example("b"))) == [["a", "b"]]


def test_an_example_that_reuses_an_id_is_a_conflict() -> None:
    here = room()
    outputs = here.take(example("a"), example("a", labels={"move": "none"}))
    (letter,) = of(outputs, DeadLetter)
    assert (letter.reason, letter.offset) == ("conflict", 1)


def test_an_id_is_known_until_the_horizon() -> None:
    here = room(wait_s=0.0)
    here.take(example("a"))
    assert any(key.startswith("x:") for key in here.shelf.values)
    here.now += HORIZON_S
    here.take()
    assert not any(key.startswith("x:") for key in here.shelf.values)


@pytest.mark.parametrize("labels", [{}, {"astrology": "leo"}, {"move": "sneezing"}, {"depth": 7.0}, {"move": 1.0}])
def test_a_label_that_cannot_be_is_a_dead_letter_and_costs_no_other_its_request(labels: dict[str, Any]) -> None:
    here = room()
    outputs = here.take(example("a"), example("b", labels=labels), example("c"))
    assert [letter.reason for letter in of(outputs, DeadLetter)] == ["unusable"]
    assert new(outputs) == [["a", "c"]]
    assert payloads(here) == ids("a", "c")


ANSWERS = st.builds(
    Answer,
    probabilities=st.none() | st.dictionaries(st.sampled_from(["press", "none", "else"]), st.floats(0, 1), max_size=3),
    value=st.none() | st.floats(-10, 10),
)
VALUES = st.sampled_from(["press", "none", "sneezing", 0.5, 7.0, ("press",), ()])
TASK_NAMES = st.sampled_from(["move", "depth", "astrology"])
ANY_EXAMPLE = st.builds(
    example,
    st.integers(0, 5).map("e{}".format),
    kind=st.sampled_from(["label", "judgement", "retraction"]),
    labels=st.dictionaries(TASK_NAMES, VALUES, max_size=2),
    predicted=st.dictionaries(TASK_NAMES, ANSWERS, max_size=3),
    retracts=st.none() | st.integers(0, 5).map("e{}".format),
    revises=st.none() | st.integers(0, 5).map("e{}".format),
    importance=st.floats(0, 1),
    delay_s=st.floats(-1e9, 1e9),
    learner=st.sampled_from([None, "kim", "a/b\n"]),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(ANY_EXAMPLE, max_size=8))
def test_no_example_stops_the_role(events: list[Event[Data]]) -> None:
    here = room()
    outputs = here.take(*events)
    here.now += 10.0
    outputs += here.take()
    decided = [str(cause) for output in outputs for cause in output.causes]
    assert len(set(decided)) == len(decided)
    for request in requests(outputs):
        assert all(example.labels for example in request.new)


def test_judgements_are_not_learned_from() -> None:
    here = room(wait_s=0.0)
    assert here.take(example("a", kind="judgement", labels={}, rating=4)) == []
    assert payloads(here) == remembered(here) == set()


def test_an_example_without_an_input_is_unlabelled() -> None:
    assert only(room().take(example("a", input=None)), Fate).fate == "unlabelled"


# Consent.


def test_under_opt_out_one_learns_unless_a_learner_refuses() -> None:
    here = room(consent="opt-out")
    here.take(consent("kim", granted=False))
    outputs = here.take(example("a", learner="kim"), example("b", learner="lee"), example("c", learner=None))
    assert [fate.input_id for fate in of(outputs, Fate) if fate.fate == "no-consent"] == list(ids("a"))
    assert new(outputs) == [["b", "c"]]


def test_under_opt_in_one_learns_only_from_learners_who_agreed() -> None:
    here = room(consent="opt-in")
    here.take(consent("kim", granted=True))
    outputs = here.take(example("a", learner="kim"), example("b", learner="lee"), example("c", learner="kim"))
    assert [fate.input_id for fate in of(outputs, Fate) if fate.fate == "no-consent"] == list(ids("b"))
    assert new(outputs) == [["a", "c"]]


def test_under_opt_in_a_student_who_is_not_named_has_not_agreed_and_a_teacher_need_not() -> None:
    here = room(consent="opt-in")
    outputs = here.take(example("a", role="student"), example("b", role="teacher"), example("c", role="teacher"))
    assert [fate.input_id for fate in of(outputs, Fate)] == list(ids("a"))
    assert new(outputs) == [["b", "c"]]


def test_a_word_given_in_the_same_batch_counts() -> None:
    here = room(consent="opt-in")
    assert new(here.take(example("a", learner="kim"), example("b"), consent("kim", granted=True))) == [["a", "b"]]


def test_a_withdrawal_evicts_from_line_and_memory_at_once() -> None:
    here = room()
    here.take(*(example(name, learner="kim") for name in "abc"), example("d", learner="lee"))
    here.take(example("e", learner="kim"))
    assert remembered(here) == ids("a", "b", "c", "d")
    fate = only(here.take(consent("kim", granted=False)), Fate)
    assert (fate.fate, fate.input_id) == ("no-consent", *ids("e"))
    assert remembered(here) == payloads(here) == ids("d")
    assert not any(key.startswith("w:") for key in here.shelf.values)


def test_consent_may_be_given_again() -> None:
    here = room()
    here.take(consent("kim", granted=False), consent("kim", granted=True, id="again"))
    assert new(here.take(example("a", learner="kim"), example("b"))) == [["a", "b"]]


# Retractions and revisions.


def test_a_retraction_evicts_from_the_line_with_a_fate() -> None:
    here = room()
    here.take(example("a"))
    (output,) = here.take(take_back("b", of="a"))
    fate = only([output], Fate)
    assert (fate.fate, fate.input_id) == ("retracted", *ids("a"))
    assert output.causes == (Origin(topics.EXAMPLE.name, 0, 0),)
    assert payloads(here) == set()
    assert new(here.take(example("c"), example("d"))) == [["c", "d"]]


def test_a_retraction_evicts_from_the_memory_at_once_and_is_not_replayed() -> None:
    here = room(replayed=10)
    here.take(example("a"), example("b"))
    assert here.take(take_back("c", of="a")) == []
    assert remembered(here) == payloads(here) == ids("b")
    (request,) = requests(here.take(example("d"), example("e")))
    assert {e.id for e in request.replayed} == ids("b")


def test_a_retraction_in_the_batch_of_its_target_comes_in_time() -> None:
    outputs = room().take(example("a"), take_back("b", of="a"), example("c"), example("d"))
    assert [fate.fate for fate in of(outputs, Fate)] == ["retracted"]
    assert new(outputs) == [["c", "d"]]


def test_a_revised_label_takes_the_place_of_the_old_one() -> None:
    here = room()
    here.take(example("a"), example("b"))
    here.take(example("c", revises="a", labels={"move": "none"}))
    assert remembered(here) == ids("b")
    assert new(here.take(example("d"))) == [["c", "d"]]


def test_retracting_what_is_not_known_changes_nothing() -> None:
    here = room()
    before = {key: value for key, value in here.shelf.values.items() if not key.startswith("x:")}
    assert here.take(take_back("b", of="never")) == []
    assert {key: value for key, value in here.shelf.values.items() if not key.startswith("x:")} == before


# Memory.


def test_the_memory_keeps_its_capacity_and_payloads_go_with_entries() -> None:
    here = room(memory=MemorySettings(capacity=6, learner_share=1.0, rater_share=1.0))
    here.take(*(example(f"e{n}") for n in range(20)))
    assert len(remembered(here)) == 6
    assert payloads(here) == remembered(here)


@pytest.mark.parametrize("who", ["learner", "rater"])
def test_one_learner_s_and_one_rater_s_share_is_capped(who: str) -> None:
    memory = MemorySettings(capacity=20, learner_share=0.1, rater_share=0.1, classes=1)
    here = room(memory=memory)
    here.take(*(example(f"e{n}", START_S, **{who: "kim"}) for n in range(12)))
    assert len(remembered(here)) == memory.cap(0.1) == 2
    assert payloads(here) == remembered(here)


def test_smaller_settings_cut_what_is_stored() -> None:
    here = room(memory=MemorySettings(capacity=12, learner_share=1.0, rater_share=1.0))
    here.take(*(example(f"e{n}") for n in range(12)))
    less = replace(choices(here), memory=MemorySettings(capacity=4, learner_share=1.0, rater_share=1.0))
    there = Room(Curate(less), here.shelf, here.now, here.offsets)
    there.take(example("x"))
    assert len(remembered(there)) == 4
    assert payloads(there) == remembered(there) | ids("x")


# Judgement of the model.


def test_a_label_is_judged_against_the_prediction_made_then_whoever_consents() -> None:
    here = room(consent="opt-in")
    here.take(example("a", predicted=Teller(0.9).outputs("teacher"), role="student"))
    here.take(example("b", predicted=Teller(0.2).outputs("teacher")))
    found = Prequential.from_bytes(here.shelf.values[QUALITY]).summary()["move"]["all"]
    assert (found["n"], found["accuracy"]) == (2, 0.5), "press was sure enough once of twice"


def test_drift_of_the_errors_is_published_once_and_names_an_example() -> None:
    here = room(replayed=0)
    outputs = []
    for n in range(300):
        share = 0.95 if n < 200 else 0.05
        outputs += here.take(example(f"e{n}", predicted=Teller(share).outputs("teacher")))
    drifts = [o for o in outputs if o.topic == topics.DRIFT]
    assert drifts
    assert len({o.id for o in drifts}) == len(drifts)
    assert all(o.data.after > o.data.before and o.causes == () for o in drifts)  # type: ignore[attr-defined]  # a Drift


def test_detectors_that_cannot_be_restored_leave_those_of_other_tasks_alone() -> None:
    here = room()
    here.take(example("a"))
    good = here.shelf.values[f"{DRIFT}move"]
    here.shelf.values[f"{DRIFT}depth"] = b"of another river\n"
    here.take(consent("kim", granted=True))
    assert f"{DRIFT}depth" not in here.shelf.values, "what is of no use is refused once"
    assert here.shelf.values[f"{DRIFT}move"] == good
    here.take(example("b"))
    assert (
        DriftMonitor.restored(DriftSettings(), {"move": here.shelf.values[f"{DRIFT}move"]}).watches["move"][ALL].n == 2
    )


def test_gauges_tell_the_memory_by_class_and_a_class_that_left_is_zero() -> None:
    here = room()
    plan = here.plan(example("a"), example("b", labels={"move": "none"}))
    items = {labels["class"]: n for name, labels, n in plan.gauges if name == "memory_items"}
    assert items == {"press": 1.0, "none": 1.0}
    items = {ls["class"]: n for name, ls, n in here.plan(take_back("c", of="a")).gauges if name == "memory_items"}
    assert items == {"press": 0.0, "none": 1.0}


# Owners come and go.

NAMES = st.sampled_from([*(f"e{n}" for n in range(9)), WANTED[0]])
LEARNERS = st.sampled_from(["kim", "lee", None])
EXEMPLARY = {"flag:exemplary": FLAGS["exemplary"]}
EVENTS = st.one_of(
    st.builds(example, NAMES, learner=LEARNERS, labels=st.sampled_from([{"move": "press"}, {"move": "none"}])),
    st.builds(take_back, NAMES.map("r{}".format), of=NAMES),
    st.builds(
        mark, NAMES.map("m{}".format), NAMES, flag=st.just("exemplary"), reasons=st.just({"flag:exemplary": 0.4})
    ),
    st.builds(consent, st.sampled_from(["kim", "lee"]), granted=st.booleans()),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.lists(EVENTS, max_size=5), st.sampled_from([0.0, 11.0])), max_size=8))
def test_a_new_owner_at_every_batch_continues_identically(batches: list[tuple[list[Event[Data]], float]]) -> None:
    memory = MemorySettings(capacity=4, learner_share=0.5, rater_share=1.0, classes=1)
    stays, changes = room(memory=memory, probe=1), room(memory=memory, probe=1)
    for events, seconds in batches:
        there = Room(Curate(replace(choices(changes))), changes.shelf, changes.now, changes.offsets)
        assert there.plan(*events) == stays.plan(*events)
        assert there.shelf.values == stays.shelf.values
        stays.now += seconds
        changes.now += seconds


@settings(max_examples=40, deadline=None)
@given(st.lists(EVENTS, max_size=12))
def test_line_and_memory_have_their_payloads_and_nothing_else_has(events: list[Event[Data]]) -> None:
    here = room(memory=MemorySettings(capacity=3), probe=1)
    for some in events:
        here.take(some)
        held = Remembered.load(here.shelf.values, MemorySettings(), {})
        line = {w.id for w in (*held.line, *held.aside)}
        assert payloads(here) == remembered(here) | line
        waiting = {key for key in here.shelf.values if key.startswith("w:")}
        assert len(waiting) == len(line)


def test_a_plan_is_a_function_of_batch_and_values_alone() -> None:
    here = room()
    here.take(example("a"), example("b"), example("c"))
    before, processor = dict(here.shelf.values), here.processor
    inputs = [input_of(example("d"), 3), input_of(take_back("e", of="a"), 4)]
    one = run(processor, Shelf(dict(before)), inputs)
    other = run(Curate(replace(choices(here))), Shelf(dict(before)), inputs)
    assert one == other
    assert here.shelf.values == before


def test_what_waits_is_marked_for_the_runner() -> None:
    here = room()
    here.take(example("a"))
    assert waiting_key(Origin(topics.EXAMPLE.name, 0, 0)) in here.shelf.values
    here.take(example("b"))
    assert not any(key.startswith("w:") for key in here.shelf.values)

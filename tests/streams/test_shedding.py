"""Optional work is left out in its order while the role is behind, done again when it is not, and labels never are."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from builders import (
    HORIZON_S,
    MODEL,
    Room,
    Teller,
    append,
    classroom_log,
    input_of,
    label,
    of,
    published,
    run,
    said,
    session_role,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import topics
from schemas.event import Data, Event
from schemas.prediction import Example, Prediction
from state.memory import MemoryStore
from streams.engines.memory import ManualClock, MemoryEngine
from streams.engines.shard import RoleAt
from streams.metrics import Metrics
from streams.processor import Output
from streams.score import Scoring
from streams.session import Session
from streams.shedding import FALL, KEY, LADDER, Shedding, next_level

AFTER_S = 2.0
BEYOND_S = AFTER_S * 2 ** len(LADDER)  # at such an age everything optional is left out
AGES = st.floats(0, 2 * BEYOND_S)
LEVELS = st.integers(0, len(LADDER))


def processor(after_s: float = AFTER_S) -> Session:
    return Session(Scoring(MODEL, turns=3, horizon_s=HORIZON_S, shed_after_s=after_s), Teller)


def take(here: Room, age_s: float, *events: Event[Data]) -> list[Output]:
    """What comes of ``events`` that are decided ``age_s`` after they arrived."""
    arrived_ms, here.now = int(here.now * 1000), here.now + age_s
    inputs = []
    for found in events:
        inputs.append(input_of(found, here.offsets[found.data.TYPE], arrived_ms))
        here.offsets[found.data.TYPE] += 1
    return list(run(here.processor, here.shelf, inputs, here.now).outputs)


def predicted(here: Room, id: str, age_s: float) -> Prediction:
    (found,) = of(take(here, age_s, said(id)), Prediction)
    return found


@pytest.mark.parametrize("n", range(len(LADDER)))
def test_work_is_left_out_in_the_order_of_the_ladder_each_at_twice_the_age_of_the_one_before(n: int) -> None:
    assert next_level(0, AFTER_S * 2**n, AFTER_S) == n
    assert next_level(0, AFTER_S * 2**n + 0.01, AFTER_S) == n + 1


@pytest.mark.parametrize("n", range(len(LADDER)))
def test_work_is_done_again_in_the_other_order_at_half_the_age(n: int) -> None:
    assert next_level(len(LADDER), FALL * AFTER_S * 2**n, AFTER_S) == n + 1
    assert next_level(len(LADDER), FALL * AFTER_S * 2**n - 0.01, AFTER_S) == n


def test_the_order_is_annotations_then_estimates_then_reasons() -> None:
    assert LADDER == ("annotation", "estimates", "reasons")


@given(LEVELS, AGES)
def test_a_steady_age_keeps_its_level(level: int, age_s: float) -> None:
    once = next_level(level, age_s, AFTER_S)
    assert next_level(once, age_s, AFTER_S) == once


@given(LEVELS, AGES, AGES)
def test_an_older_interaction_never_leaves_out_less(level: int, age_s: float, other_s: float) -> None:
    younger, older = sorted((age_s, other_s))
    assert next_level(level, younger, AFTER_S) <= next_level(level, older, AFTER_S)


@given(st.integers(1, len(LADDER)), st.floats(FALL, 1))
def test_between_half_the_age_and_the_age_nothing_changes(level: int, share: float) -> None:
    age_s = share * AFTER_S * 2 ** (level - 1)
    assert next_level(level, age_s, AFTER_S) == level


@given(LEVELS, AGES)
def test_zero_seconds_leave_nothing_out(level: int, age_s: float) -> None:
    assert next_level(level, age_s, 0.0) == 0


@settings(max_examples=40)
@given(st.lists(AGES, min_size=1, max_size=12))
def test_whatever_the_ages_what_is_left_out_is_the_beginning_of_the_ladder(ages: Sequence[float]) -> None:
    here = Room(processor())
    for n, age_s in enumerate(ages):
        found = predicted(here, f"i{n}", age_s)
        assert found.shed == LADDER[: len(found.shed)]
        assert ("reasons" in found.shed) == (not found.reasons)


@settings(max_examples=40)
@given(st.lists(st.tuples(AGES, st.booleans()), min_size=1, max_size=8))
def test_whatever_the_ages_every_label_becomes_the_example_that_it_would_have_become(
    batches: Sequence[tuple[float, bool]],
) -> None:
    shedding, idle = Room(processor()), Room(processor(after_s=0.0))
    for n, (age_s, together) in enumerate(batches):
        moment, word = said(f"i{n}", at_s=idle.now), label(f"f{n}", f"i{n}", at_s=idle.now + 1)
        for here in (shedding, idle):
            outputs = take(here, age_s, *([moment, word] if together else [moment]))
            outputs += [] if together else take(here, 0.0, word)
            (example,) = of(outputs, Example)
            (prediction,) = of(outputs, Prediction)
            assert example.labels == {"move": "press"}
            assert example.predicted == prediction.outputs
            here.shelf.values[f"example-{n}"] = example.model_dump_json().encode()
        assert shedding.shelf.values[f"example-{n}"] == idle.shelf.values[f"example-{n}"]


def test_a_prediction_without_reasons_has_no_importance_and_says_so() -> None:
    found = predicted(Room(processor()), "i0", BEYOND_S)
    assert (found.importance, found.reasons, found.shed) == (0.0, {}, LADDER)
    assert found.outputs == Teller().outputs("teacher")


def test_a_prediction_in_time_lacks_nothing() -> None:
    found = predicted(Room(processor()), "i0", FALL)
    assert found.shed == ()
    assert found.importance == pytest.approx(sum(found.reasons.values()))
    assert found.importance > 0


def test_the_newest_interaction_decides_so_that_a_short_standstill_leaves_nothing_out() -> None:
    here = Room(processor())
    old = input_of(said("old"), 0, int((here.now - BEYOND_S) * 1000))
    new = input_of(said("new"), 1, int(here.now * 1000))
    assert [p.shed for p in of(run(here.processor, here.shelf, [old, new], here.now).outputs, Prediction)] == [(), ()]


def test_feedback_alone_changes_no_level() -> None:
    here = Room(processor())
    predicted(here, "i0", BEYOND_S)
    take(here, 0.0, label("f0", "i0"))
    assert Shedding.from_bytes(here.shelf.values[KEY]).level == len(LADDER)


def test_who_has_nothing_left_to_do_leaves_nothing_out_and_forgets_the_level() -> None:
    here = Room(processor())
    predicted(here, "i0", BEYOND_S)
    take(here, 0.0)
    assert KEY not in here.shelf.values


def test_a_new_owner_goes_on_at_the_level_of_the_last() -> None:
    here = Room(processor())
    predicted(here, "i0", BEYOND_S)
    here.processor = processor()
    between_s = AFTER_S * 2 ** (len(LADDER) - 1)  # too young to leave reasons out anew, too old to give them again
    assert predicted(here, "i1", between_s).shed == LADDER
    assert predicted(Room(processor()), "i1", between_s).shed == LADDER[:-1]


@pytest.mark.parametrize("level", [0, 1, len(LADDER), len(LADDER) + 5])
def test_a_level_is_read_as_it_was_stored_and_never_beyond_the_ladder(level: int) -> None:
    found = Shedding.from_bytes(Shedding(level, 3).to_bytes())
    assert found == Shedding(min(level, len(LADDER)), 3)


def test_operators_see_the_level_and_what_was_left_out_and_estimates_leave_it_out() -> None:
    clock, metrics = ManualClock(), Metrics()
    log = classroom_log(clock)
    role = session_role()
    at = RoleAt(role.tenant, role.role, role.inputs, role.outputs, processor(), role.screen)
    engine = MemoryEngine(log, MemoryStore(), at, metrics)
    append(log, *(said(f"i{n}") for n in range(4)))
    clock.advance(BEYOND_S)
    engine.step()
    assert _sample(metrics, "currere_shedding_level", role="session", partition="0") == len(LADDER)
    for work in LADDER:
        assert _sample(metrics, "currere_shed_total", role="session", work=work) == 4
    append(log, label("f0", "i0"))
    engine.drain()
    assert _sample(metrics, "currere_label_coverage", task="move") is None  # nobody counted the predictions
    append(log, said("i9"))
    engine.drain()
    assert _sample(metrics, "currere_shedding_level", role="session", partition="0") == 0
    assert [e.data.shed for e in published(log, topics.PREDICTION) if isinstance(e.data, Prediction)][-1] == ()


def _sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)

"""What a version was told, and by whom: the fold's own rules, with shares that add up."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from builders import MODEL, SMALL, TENANT, append, consent
from curated import take_back
from trainlog import TIME, Bench, ask, example, reset, step, train_log

from schemas.training import TrainExample
from streams.compose import Chosen, genesis_request, probe_request, step_request
from streams.engines.memory import ManualClock
from streams.explain import Explained, explain, to_json, wanted
from streams.processor import Output
from streams.refold import NotFound
from streams.requests import Asked, in_log
from streams.withdrawn import withdrawn

STEPS = 5
ER = replace(SMALL, replay="er")


def asked(*requests: Output, settings: object = ER) -> list[Asked]:
    log = train_log(0, settings=ER)
    ask(log, *requests)
    return list(in_log(log, TENANT, MODEL))


def of(*requests: Output, until: int | None = None, since: int = 0) -> Explained:
    found = asked(*requests)
    return explain(lambda: found, until, since)


def shares(found: Explained) -> dict[str, float]:
    return {source.example.id: source.share for source in found.sources}


def by(rater: str, *numbers: int, learner: str | None = None) -> list[Chosen]:
    return [Chosen.of(told(n, rater, learner)) for n in numbers]


def told(n: int, rater: str, learner: str | None) -> TrainExample:
    one = example(n)
    return one.model_copy(update={"rater": rater, "input": one.input.model_copy(update={"learner": learner})})


def request(new: list[Chosen], again: list[Chosen], weights: list[float], new_weights: list[float]) -> Output:
    return step_request(MODEL, new, again, weights, 1, TIME, (), new_weights)


def test_the_shares_of_all_events_add_up_to_one() -> None:
    assert sum(shares(of(*map(step, range(STEPS)))).values()) == pytest.approx(1)


def test_a_share_is_the_weight_over_the_size_of_its_part_summed_over_the_steps() -> None:
    first = request(by("ann", 0, 1), [], [], [3.0, 1.0])
    second = request(by("ann", 2), by("ann", 0), [0.5], [1.0])
    whole = (3 + 1) / 2 + 1 / 1 + 0.5 / 1
    assert shares(of(first, second)) == pytest.approx(
        {"e0": (3 / 2 + 0.5) / whole, "e2": 1 / whole, "e1": 1 / 2 / whole}
    )


def test_events_come_with_the_largest_share_first_and_how_often_they_were_replayed() -> None:
    found = of(*(request(by("ann", n), by("ann", 0) if n else [], [1.0] if n else [], [1.0]) for n in range(3)))
    assert [(source.example.id, source.replayed) for source in found.sources] == [("e0", 2), ("e1", 0), ("e2", 0)]


def test_totals_are_by_learner_rater_group_and_task() -> None:
    found = of(request([*by("ann", 0, learner="kim"), *by("bo", 1)], [], [], [3.0, 1.0]))
    assert found.totals("learner") == {"kim": (1, 0.75), "": (1, 0.25)}
    assert found.totals("rater") == {"ann": (1, 0.75), "bo": (1, 0.25)}
    assert found.totals("group") == {"": (2, 1.0)}
    assert found.totals("task") == {"move": (2, 1.0)}


def test_since_a_version_only_what_was_folded_after_it_counts() -> None:
    found = of(*map(step, range(STEPS)), since=1 + 3)
    assert found.steps == STEPS - 3
    assert set(shares(found)) == {f"e{n}" for n in (4, 6, 7, 8, 9)} | {"e6"}


def test_a_version_is_told_nothing_of_what_comes_after_it() -> None:
    assert set(shares(of(*map(step, range(STEPS)), until=1 + 2))) == {"e0", "e1", "e2", "e3"}


def test_a_new_example_that_comes_again_is_passed_over_as_the_fold_does() -> None:
    once = of(request(by("ann", 0, 1), [], [], [1.0, 1.0]))
    again = of(request(by("ann", 0, 1), [], [], [1.0, 1.0]), request(by("ann", 0), [], [], [1.0]))
    assert shares(again) == shares(once)


def test_what_is_set_aside_is_asked_and_has_no_share() -> None:
    found = of(probe_request(MODEL, by("ann", 8, 9), 1, TIME, ()), step(0), step(4))
    assert found.asked == 2
    assert not {"e8"} & {source.example.id for source in found.sources if source.again}


def test_a_request_that_cannot_be_used_has_no_share() -> None:
    shouting = example(0).model_copy(update={"labels": {"move": "shout"}})
    assert set(shares(of(request([Chosen.of(shouting)], [], [], [1.0]), step(1)))) == {"e0", "e2", "e3"}


def test_a_reset_takes_back_what_was_told_since_the_good_version() -> None:
    lineage = explain(lambda: asked(step(0))).version.partition(":")[0]
    found = of(step(0), step(1), step(2), reset(f"{lineage}:2"), step(3))
    kept = of(step(0), step(3))
    assert found.undone == pytest.approx(2 * (2 * 1 / 2 + 1))
    assert {source.example.id: source.new for source in found.sources} == {s.example.id: s.new for s in kept.sources}


def test_a_reset_to_what_never_was_takes_nothing_back() -> None:
    assert shares(of(step(0), step(1), reset("another:2"))) == shares(of(step(0), step(1)))


def test_a_genesis_begins_the_account_anew() -> None:
    assert set(shares(of(step(0), genesis_request(MODEL, ER, 8), step(1)))) >= {"e2", "e3"}
    assert "e1" not in shares(of(step(0), genesis_request(MODEL, ER, 8), step(1)))


def test_without_rehearsal_replayed_examples_were_told_nothing() -> None:
    log = train_log(0, settings=replace(SMALL, replay="none"))
    ask(log, step(0), step(1))
    found = explain(lambda: in_log(log, TENANT, MODEL))
    assert all(source.again == 0 for source in found.sources)


def test_the_steps_are_those_that_the_worker_reported(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    repeated = request(by("ann", 0, 7), by("ann", 1), [1.0], [1.0, 1.0])
    ask(bench.log, step(0), step(1), repeated, reset("another:1"), step(2), step(2))
    bench.fold(bench.worker())
    taken = Counter(id_ for event in bench.steps() if event.applied for id_ in event.new)
    found = explain(lambda: in_log(bench.log, TENANT, MODEL))
    assert taken == Counter(source.example.id for source in found.sources if source.new)


def test_the_newest_version_is_the_one_that_was_published_last(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    ask(bench.log, *map(step, range(4)))
    worker = bench.worker()
    bench.fold(worker)
    worker.close(1.0)
    assert worker.model is not None
    assert wanted(bench.log, TENANT, MODEL, "latest") == (worker.model.next_offset, None)
    assert wanted(bench.log, TENANT, MODEL, "unpublished:2") == (2, "unpublished")


@pytest.mark.parametrize(("until", "lineage"), [(99, None), (2, "another"), (0, None)])
def test_a_version_that_never_was_is_not_found(until: int, lineage: str | None) -> None:
    found = asked(step(0))
    with pytest.raises(NotFound):
        explain(lambda: found, until, lineage=lineage)


def test_what_was_taken_back_since_is_marked_and_its_share_told() -> None:
    log = train_log(0, ManualClock(), ER)
    kim = told(2, "ann", "kim").model_copy(update={"feedback": "f2"})
    ask(log, step(0), request([Chosen.of(kim)], [], [], [1.0]))
    append(log, take_back("r", of="f0"), consent("kim", granted=False), consent("lee", granted=False))
    append(log, consent("lee", granted=True))
    found = explain(lambda: in_log(log, TENANT, MODEL), gone=withdrawn(log, TENANT, MODEL))
    assert {source.example.id: source.gone for source in found.sources} == {
        "e0": "retracted",
        "e1": "",
        "e2": "no consent",
    }
    assert found.gone == pytest.approx((1 / 2 + 1) / (1 / 2 + 1 / 2 + 1))


def test_json_shows_the_first_of_each_list_and_counts_all() -> None:
    found = to_json(of(*map(step, range(STEPS))), top=3)
    assert found["events"] == 2 * STEPS
    assert len(found["top"]) == 3  # type: ignore[arg-type]  # a list
    assert set(found["by"]) == {"learner", "rater", "group", "task"}  # type: ignore[call-overload]  # a mapping

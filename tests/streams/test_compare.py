"""The log under its own settings and under others, side by side, each label judged before it is learned."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from pathlib import Path

import pytest
from builders import MODEL, SMALL, TENANT
from trainlog import Bench, ask, digests, example, reset, step, train_log

from learners.model import served_view
from learners.predict import predict
from learners.stopping import StoppingSettings
from learners.tally import ClassTally
from schemas.errors import ConfigurationError
from schemas.training import TrainRequest
from streams.compare import changed, compare, digest
from streams.contrast import to_json
from streams.refold import NotFound, refold
from streams.requests import Asked, in_file, in_log, save

pytestmark = pytest.mark.usefixtures("one_thread")

STEPS = 12


def requests(steps: int = STEPS) -> list[Asked]:
    return list(in_log(train_log(steps), TENANT, MODEL))


def test_the_way_of_the_log_is_the_fold_of_the_log(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    ask(bench.log, *map(step, range(4)))
    worker = bench.worker()
    bench.fold(worker)
    found = compare(lambda: in_log(bench.log, TENANT, MODEL), {"dim": 2})
    assert to_json(found)["ways"]["recorded"]["digest"] == digests(worker)[1]  # type: ignore[index]  # of nested JSON


def test_other_settings_make_another_lineage() -> None:
    recorded, other = compare(requests, {"dim": 2}).ways
    assert recorded.model is not None
    assert other.model is not None
    assert other.model.settings.dim == 2
    assert recorded.model.settings == SMALL
    assert other.model.lineage != recorded.model.lineage


def test_no_changes_make_no_difference() -> None:
    found = compare(requests, {})
    at = found.difference("move")
    assert at is not None
    assert at.value == 0
    assert found.ways[0].scores.to_bytes() == found.ways[1].scores.to_bytes()


def test_every_label_is_judged_by_the_model_of_the_request_before(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    ask(bench.log, *map(step, range(5)))
    expected = ClassTally()
    for n in range(5):
        model, _ = refold(bench.log, bench.blobs, TENANT, MODEL, until=n + 1)
        for one in (example(2 * n), example(2 * n + 1)):
            expected.add(one.labels["move"], predict(served_view(model), [one.input])[0]["move"])
    found = compare(lambda: in_log(bench.log, TENANT, MODEL), {"dim": 2})
    assert found.ways[0].scores.records["move"].total() == expected


def test_an_example_that_comes_again_is_judged_once() -> None:
    asked = requests()
    again = [one._replace(id=f"{one.id}-again", offset=one.offset + len(asked)) for one in asked[1:]]
    found = compare(lambda: [*asked, *again], {"dim": 2})
    assert found.ways[0].scores.records["move"].total().n == 2 * STEPS


def test_a_reset_goes_back_to_each_ways_own_snapshot() -> None:
    asked = requests(4)
    lineage = compare(lambda: asked, {}).ways[0].model
    assert lineage is not None
    manifest = TrainRequest(kind="reset", model=MODEL, seed=0, reason="test", version=f"{lineage.lineage}:3")
    back = compare(lambda: [*asked, Asked("reset", 5, manifest, {})], {"dim": 2})
    for way, whole in zip(back.ways, compare(lambda: asked[:3], {"dim": 2}).ways, strict=True):
        assert way.model is not None
        assert whole.model is not None
        assert served_view(way.model).digest() == served_view(whole.model).digest()


def test_a_reset_to_a_version_of_another_lineage_is_passed_over_by_both_ways() -> None:
    asked = requests(4)
    manifest = TrainRequest(kind="reset", model=MODEL, seed=0, reason="test", version="another:3")
    found = compare(lambda: [*asked, Asked("reset", 5, manifest, {})], {"dim": 2})
    for way, whole in zip(found.ways, compare(lambda: asked, {"dim": 2}).ways, strict=True):
        assert digest(way) == digest(whole)


def test_a_way_that_stops_early_learns_no_more_and_is_judged_on() -> None:
    stopping = StoppingSettings(patience=2, window=2, flat=1.0)  # whatever comes is flat
    every_step = {"probe_steps": 1}
    found = compare(requests, every_step, stop_early=True, stopping=stopping).ways[1]
    assert found.stopped is not None
    assert found.model is not None
    assert found.model.steps == found.stopped < STEPS
    assert found.scores.records["move"].total().n == 2 * STEPS


def test_without_asking_no_way_stops() -> None:
    assert all(way.stopped is None for way in compare(requests, {"probe_steps": 1}).ways)


def test_seconds_are_those_of_folding() -> None:
    ticks = count()
    found = compare(requests, {}, clock=lambda: float(next(ticks)))
    assert [way.seconds for way in found.ways] == [STEPS + 1] * 2


@pytest.mark.parametrize("changes", [{"dims": 2}, {"dim": 0}, {"replay": "everything"}])
def test_settings_that_cannot_be_are_an_error(changes: Mapping[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(changes))):
        compare(requests, changes)


def test_without_a_genesis_there_is_nothing_to_compare() -> None:
    with pytest.raises(NotFound, match="genesis"):
        compare(lambda: requests()[1:], {})


def test_a_table_that_is_changed_keeps_its_other_entries() -> None:
    assert changed({"dim": 4, "rates": {"a": 1, "b": 2}}, {"rates": {"b": 3}}) == {"dim": 4, "rates": {"a": 1, "b": 3}}


def test_a_file_gives_back_the_requests_that_were_saved(tmp_path: Path) -> None:
    asked, path = requests(), tmp_path / "requests.jsonl.gz"
    assert save(path, asked) == len(asked)
    for one, other in zip(asked, in_file(path), strict=True):
        assert (one.id, one.offset, one.manifest) == (other.id, other.offset, other.manifest)
        assert {n: w.tolist() for n, w in one.weights.items()} == {n: w.tolist() for n, w in other.weights.items()}


@pytest.mark.parametrize("content", [None, b"", b"no gzip"])
def test_a_file_that_holds_no_requests_is_an_error(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl.gz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError if content != b"" else NotFound):
        compare(lambda: in_file(path), {})


def test_a_reset_that_names_no_version_is_passed_over() -> None:
    asked = requests(2)
    (broken,) = [Asked("reset", 9, TrainRequest(kind="reset", model=MODEL, seed=0, reason="test"), {})]
    found = compare(lambda: [*asked, broken], {})
    assert found.ways[0].model is not None
    assert found.ways[0].model.steps == 2


def test_the_log_has_the_requests_of_its_model_alone(tmp_path: Path) -> None:
    log = train_log(2)
    ask(log, reset("nothing:1"))
    assert [one.manifest.kind for one in in_log(log, TENANT, MODEL)] == ["genesis", "step", "step", "reset"]
    assert list(in_log(log, "another", MODEL)) == list(in_log(log, TENANT, "another")) == []

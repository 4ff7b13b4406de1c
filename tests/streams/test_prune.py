"""Old snapshots go; whoever begins anew, folds the log again or audits it finds all that it needs."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import MODEL, TENANT
from trainlog import CADENCE, Bench, ask, caught_up, digests, reset, step

from streams.checkpoints import history
from streams.prune import FEWEST, Pruning, delete, plan, resets
from streams.refold import check
from streams.worker import Worker

pytestmark = pytest.mark.usefixtures("one_thread")

SNAPSHOTS = 5  # after that of the genesis
NOW_MS = 2**62


def learned(bench: Bench) -> Worker:
    """A worker that has left a snapshot of the genesis and ``SNAPSHOTS`` more."""
    ask(bench.log, *map(step, range(SNAPSHOTS * CADENCE.snapshot_steps)))
    worker = bench.worker()
    while bench.fold(worker, CADENCE.snapshot_steps):
        bench.clock.advance(1.0)
    assert len(bench.checkpoints()) == SNAPSHOTS + 1
    return worker


def planned(bench: Bench, keep: int = FEWEST, until_ms: int = NOW_MS) -> Pruning:
    needed = resets(bench.log, TENANT, MODEL)
    return plan(history(bench.log, TENANT, MODEL), bench.blobs, f"{TENANT}/{MODEL}", needed, keep, until_ms)


def there(bench: Bench) -> list[str]:
    """The versions whose snapshots lie in the blob store, oldest first."""
    return [one.version for one in bench.checkpoints() if bench.blobs.size(one.uri) is not None]


def file_of(bench: Bench, version: str) -> Path:
    (uri,) = (one.uri for one in bench.checkpoints() if one.version == version)
    return Path(uri.removeprefix("file://"))


@pytest.mark.parametrize("keep", [FEWEST, SNAPSHOTS, SNAPSHOTS + 2])
def test_the_newest_stay_and_a_second_time_nothing_is_left_to_go(bench: Bench, keep: int) -> None:
    learned(bench)
    before = there(bench)
    found = planned(bench, keep)
    assert there(bench) == before, "looking deletes nothing"
    delete(found, bench.blobs)
    assert there(bench) == before[-keep:]
    assert found.spare_bytes == sum(one.size for one in bench.checkpoints() if one.version not in before[-keep:])
    assert planned(bench, keep).spare == []


def test_a_worker_and_a_watcher_that_begin_anew_come_to_the_same_model(bench: Bench) -> None:
    worker = learned(bench)
    delete(planned(bench), bench.blobs)
    assert digests(bench.worker()) == digests(worker)
    assert caught_up(bench.watcher()) == digests(worker)[1]


def test_a_version_that_went_is_still_proven_by_its_log(bench: Bench) -> None:
    learned(bench)
    delete(planned(bench), bench.blobs)
    gone = bench.checkpoints()[1].version
    assert gone not in there(bench)
    assert check(bench.log, bench.blobs, TENANT, MODEL, gone).holds


def test_what_a_reset_goes_back_to_stays_and_the_log_can_be_folded_across_it(bench: Bench) -> None:
    worker = learned(bench)
    back = bench.checkpoints()[1].version
    ask(bench.log, reset(back), *map(step, range(20, 20 + CADENCE.snapshot_steps)))
    bench.fold(worker)
    found = planned(bench)
    delete(found, bench.blobs)
    assert [one.checkpoint.version for one in found.needed] == [back]
    assert there(bench)[0] == back
    assert check(bench.log, bench.blobs, TENANT, MODEL, "latest").holds


def test_a_torn_snapshot_is_not_counted_among_those_that_stay(bench: Bench) -> None:
    learned(bench)
    versions = there(bench)
    torn = file_of(bench, versions[-1])
    torn.write_bytes(torn.read_bytes()[:-1])
    delete(planned(bench), bench.blobs)
    assert there(bench) == versions[-1 - FEWEST :]


def test_where_too_few_are_whole_nothing_goes(bench: Bench) -> None:
    learned(bench)
    versions = there(bench)
    for version in versions[1:]:
        file_of(bench, version).write_bytes(b"torn")
    assert planned(bench).spare == []


def test_no_fewer_are_kept_than_a_worker_may_need(bench: Bench) -> None:
    learned(bench)
    assert len(planned(bench, keep=0).kept) == FEWEST


def test_what_lies_in_the_folder_of_another_model_stays(bench: Bench) -> None:
    learned(bench)
    needed = resets(bench.log, TENANT, MODEL)
    found = plan(history(bench.log, TENANT, MODEL), bench.blobs, f"{TENANT}/another", needed, FEWEST, NOW_MS)
    assert found == Pruning()


def test_a_young_one_stays(bench: Bench) -> None:
    learned(bench)
    oldest = list(history(bench.log, TENANT, MODEL))[-1]
    found = planned(bench, until_ms=oldest.written_ms)
    assert found.spare == [oldest]
    assert len(found.kept) + len(found.young) == SNAPSHOTS

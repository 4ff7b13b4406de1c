"""Folding the recorded log again comes to what the worker published, whatever the log holds."""

from __future__ import annotations

import pytest
from builders import MODEL, TENANT
from trainlog import Bench, ask, digests, reset, step

from learners.model import served_digest
from streams.refold import NotFound, check, refold

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_newest_version_folds_to_the_digests_that_were_published(bench: Bench) -> None:
    ask(bench.log, *map(step, range(4)))
    worker = bench.worker()
    bench.fold(worker)
    worker.close(1.0)
    found = check(bench.log, bench.blobs, TENANT, MODEL, "latest")
    assert found.holds
    assert (found.version, found.served) == digests(worker)[:2]


def test_what_the_worker_passed_over_is_passed_over(bench: Bench) -> None:
    ask(bench.log, step(0), reset("another:1"), step(1))
    worker = bench.worker()
    bench.fold(worker)
    assert bench.dead() == [2]
    model, read = refold(bench.log, bench.blobs, TENANT, MODEL, until=4)
    assert (served_digest(model), read) == (digests(worker)[1], 4)


def test_a_reset_is_followed(bench: Bench) -> None:
    ask(bench.log, *map(step, range(3)))
    worker = bench.worker()
    bench.fold(worker)
    ask(bench.log, reset(bench.checkpoints()[0].version), step(3))
    bench.fold(worker)
    model, _ = refold(bench.log, bench.blobs, TENANT, MODEL, until=6)
    assert served_digest(model) == digests(worker)[1]


def test_a_model_without_a_genesis_is_not_found(bench: Bench) -> None:
    with pytest.raises(NotFound, match="nothing was folded"):
        refold(bench.log, bench.blobs, TENANT, "another", until=1)

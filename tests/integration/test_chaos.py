"""A short seeded chaos on the suite's own servers: what `currere chaos` plays, one round of a few rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from learners.fingerprint import fix_threads
from streams.chaos.matrix import matrix
from streams.chaos.rounds import play_one
from streams.chaos.servers import Servers
from streams.nursery import Nursery

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(180)]

SEED = 7


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    fix_threads()
    with closing(Nursery()) as found:
        yield found


@pytest.mark.parametrize("name", ["kill-worker", "kill-after-commit", "poison"])
def test_a_row_of_the_matrix_holds(name: str, kafka: str, redis_url: str, nursery: Nursery, tmp_path: Path) -> None:
    done = play_one(matrix()[name], 0, SEED, lambda: Servers(kafka, redis_url), tmp_path, nursery)
    assert done.holds, (done.why, done.logs)
    assert done.recoveries

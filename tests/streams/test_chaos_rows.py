"""What rows of the fault matrix plant is what they say: always refused, always wrong, always found."""

from __future__ import annotations

import struct
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from builders import MODEL, records
from hypothesis import given, settings
from hypothesis import strategies as st
from trainlog import Bench, ask, caught_up, step

from schemas import topics
from schemas.feedback import Feedback, Label
from streams.chaos.corrupt import flip_in_segment
from streams.chaos.rows_storage import forged, torn_and_forged
from streams.chaos.rows_world import ADVERSARY, doubled
from streams.message import Message
from streams.simulated import simulate

STEPS = 3


@pytest.mark.parametrize("corrupt", [forged, torn_and_forged])
def test_a_corrupt_delta_is_refused_and_the_next_one_is_taken(tmp_path: Path, corrupt: object) -> None:
    bench = Bench(tmp_path)
    worker, watcher = bench.worker(), bench.watcher()

    def go_on(offset: int) -> None:
        ask(bench.log, step(offset))
        bench.clock.advance(1.0)
        bench.fold(worker)

    for offset in range(STEPS):
        go_on(offset)
    before = caught_up(watcher)
    last = records(bench.log, topics.DELTA)[-1]
    for seed in range(20):
        value = corrupt(last.value or b"", Random(seed))  # type: ignore[operator]  # one of the two above
        headers = tuple((name, held or b"") for name, held in last.headers)
        bench.log.append(Message(topics.DELTA.name, 0, MODEL.encode(), value, headers))
        assert (caught_up(watcher), watcher.refused) == (before, seed + 1)
    go_on(STEPS)
    assert caught_up(watcher) != before


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 100))
def test_each_lie_of_the_adversary_contradicts_the_label_before_it(seed: int) -> None:
    told = [event.data for event in doubled(simulate(seed, 120))]
    pairs = [(a, b) for a, b in pairwise(told) if isinstance(b, Feedback) and b.rater == ADVERSARY]
    assert pairs
    for true, lie in pairs:
        assert isinstance(true, Feedback)
        assert isinstance(true.judgement, Label)
        assert isinstance(lie.judgement, Label)
        assert (lie.interaction, lie.judgement.task) == (true.interaction, true.judgement.task)
        assert lie.judgement.value != true.judgement.value


def batch(first: int, records_: bytes) -> bytes:
    body = bytes(49) + records_
    return struct.pack(">qi", first, len(body)) + body


@given(st.lists(st.binary(min_size=2, max_size=9), min_size=1, max_size=5), st.data())
def test_one_bit_of_the_batch_that_holds_an_offset_flips_and_flips_back(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], data: st.DataObject
) -> None:
    batches = [batch(10 * number, part) for number, part in enumerate(parts)]
    segment = tmp_path_factory.mktemp("log") / "segment.log"
    segment.write_bytes(b"".join(batches))
    at = data.draw(st.integers(0, len(batches) - 1))
    flip_back = flip_in_segment(segment, 10 * at + data.draw(st.integers(0, 9)))
    after, begin = segment.read_bytes(), len(b"".join(batches[:at]))
    differing = [i for i, (a, b) in enumerate(zip(b"".join(batches), after, strict=True)) if a != b]
    assert len(differing) == 1
    assert begin + 12 + 49 <= differing[0] < begin + len(batches[at])
    flip_back()
    assert segment.read_bytes() == b"".join(batches)

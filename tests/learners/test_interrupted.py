"""A fold that is interrupted anywhere, any number of times, comes to the bytes of the undisturbed one."""

from __future__ import annotations

import multiprocessing
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learners.fingerprint import fix_threads
from learners.fold import fold
from learners.model import Model, served_digest, trained_digest
from learners.request import NEW, REPLAYED, Weights
from learners.settings import LearningSettings
from learners.snapshot import restore, snapshot
from schemas.errors import UnusableEvent
from schemas.feedback import LabelValue
from schemas.interaction import Payload, Timing, Turn
from schemas.prediction import ExampleInput
from schemas.training import TrainExample, TrainRequest

pytestmark = pytest.mark.usefixtures("one_thread")

AUDIO, VIDEO = 6, 5
STEPS = 18
FEW_ROWS = LearningSettings(buckets=4096)  # the default but for the size of its tables, which each digest reads
EVERYTHING = replace(
    FEW_ROWS, dim=4, hidden=8, audio_dim=AUDIO, video_dim=VIDEO, consistency_dim=4, modality_dropout=0.3,
    ewc_weight=1.0, ewc_steps=5, probe_steps=3, schedule="plateau", schedule_steps=4, replay="der++ace",
    warm_up_steps=2,
)  # fmt: skip
WAYS: Mapping[str, LearningSettings] = {
    "the default settings": FEW_ROWS,
    "audio, video, EWC, plateau, probe and DER++ACE": EVERYTHING,
    "A-GEM, plain SGD, a cosine": replace(EVERYTHING, replay="a-gem", dense_optimiser="sgd", schedule="cosine"),
}
SAYINGS = (("open", "why do you think so"), ("closed", "is it twelve"), ("none", "sit down please"))


def example(n: int) -> TrainExample:
    """Moment number ``n``: some are heard, some seen, some asked of, and each has labels of two tasks or three."""
    question, text = SAYINGS[n % 3]
    draw = np.random.default_rng(n)
    payload = Payload(
        text=f"{text} word{n}",
        context=(Turn(role="student", text=f"twelve and {n}"),),
        audio=tuple(draw.normal(size=AUDIO).tolist()) if n % 4 else None,
        video=tuple(draw.normal(size=VIDEO).tolist()) if n % 5 else None,
        clarity=0.5 + n % 2 / 2,
    )
    seen = ExampleInput(
        session=f"s{n // 6}", role="teacher", payload=payload, timing=Timing(gap_s=n % 7), mastery=n % 10 / 10
    )
    labels: dict[str, LabelValue] = {"question_type": question, "conversation_depth": n % 11 / 10}
    if n % 2:
        labels |= {"wait_time": n % 13 / 2, "scaffolding": ("hints",) if n % 3 else ()}
    return TrainExample(id=f"e{n}", interaction=f"i{n}", feedback=f"f{n}", rater="ann", input=seen, labels=labels)


def request(
    kind: str, new: Collection[int] = (), again: Collection[int] = (), **more: object
) -> tuple[TrainRequest, Weights]:
    """A request for these moments, with weights of their own."""
    new_examples, replayed = tuple(map(example, new)), tuple(map(example, again))
    manifest = TrainRequest.model_validate(
        {
            "kind": kind,
            "model": "main",
            "seed": 5 + sum(new),
            "reason": "test",
            "new": new_examples,
            "replayed": replayed,
            **more,
        }
    )
    weights = {NEW: np.linspace(0.5, 1.5, len(new), dtype=np.float32),
               REPLAYED: np.linspace(0.2, 1, len(again), dtype=np.float32)}  # fmt: skip
    return manifest, weights if kind == "step" else {}


@dataclass
class Folding:
    """A model on its way through a log, and the snapshots that were written on it."""

    model: Model | None = None
    written: dict[str, bytes] = field(default_factory=dict)

    def take(self, offset: int, asked: tuple[TrainRequest, Weights], request_id: str) -> None:
        """Fold one request; what the worker passes over is passed over."""
        manifest, weights = asked
        try:
            self.model, _ = fold(self.model, manifest, weights, request_id, offset, self.written.__getitem__)
        except UnusableEvent:
            return
        if self.model.next_offset == GOOD:
            self.written[self.model.version] = snapshot(self.model)

    def interrupt(self) -> None:
        """End, and begin again from what was written."""
        if self.model is not None:
            self.model = restore(snapshot(self.model))


GOOD = 2 * 8 + 1  # the next offset of the version that the reset goes back to


@cache
def log(way: str) -> list[tuple[TrainRequest, Weights]]:
    """Steps, a probe in two parts, repetitions, one that cannot be used, one that consolidates, and a reset."""
    learning = WAYS[way]
    steps = [request("step", range(4 * n, 4 * n + 4), range(max(0, 4 * n - 5), 4 * n - 1), consolidate=n == 6)
             for n in range(STEPS)]  # fmt: skip
    genesis = TrainRequest(kind="genesis", model="main", seed=7, reason="first", settings=learning.to_dict())
    lineage, _ = fold(None, genesis, {}, "r0", 0)
    wrong = TrainRequest(kind="step", model="main", seed=0, reason="test")
    return [
        (genesis, {}),
        request("probe", (900, 901, 902)),
        *steps[:4],
        request("probe", (903, 904)),
        *steps[4:9],
        (wrong, {NEW: np.zeros(0, np.float32), REPLAYED: np.zeros(0, np.float32)}),
        request("step", (3, 800), (901, 5)),  # one that was folded and one that is only asked
        (TrainRequest(kind="reset", model="main", seed=0, reason="test", version=f"{lineage.lineage}:{GOOD}"), {}),
        *steps[9:],
        steps[2],
    ]


def folded(way: str, cuts: Collection[int] = ()) -> Folding:
    """The log folded with an interruption before each request of ``cuts``; requests stand at every other offset."""
    found = Folding()
    for n, asked in enumerate(log(way)):
        if n in cuts:
            found.interrupt()
        found.take(2 * n, asked, f"r{n}" if n < len(log(way)) - 1 else "r4")
    return found


@cache
def whole(way: str) -> bytes:
    """All that the undisturbed fold comes to: parameters, averages, moments, state, what was folded, its place."""
    model = folded(way).model
    assert model is not None
    return snapshot(model)


def all_of(found: Folding) -> bytes:
    assert found.model is not None
    return snapshot(found.model)


@pytest.mark.parametrize("way", list(WAYS)[:2])
@settings(max_examples=5, deadline=None)  # a fold takes .2 s
@given(data=st.data())
def test_an_interruption_before_any_requests_changes_no_byte(way: str, data: st.DataObject) -> None:
    cuts = data.draw(st.sets(st.integers(0, len(log(way)) - 1), min_size=1), label="interrupted before")
    assert all_of(folded(way, cuts)) == whole(way)


@pytest.mark.parametrize("way", WAYS)
def test_an_interruption_before_every_single_request_changes_no_byte(way: str) -> None:
    assert all_of(folded(way, range(len(log(way))))) == whole(way)


@pytest.mark.parametrize("way", WAYS)
def test_every_part_of_the_model_is_among_the_bytes_that_are_compared(way: str) -> None:
    model = folded(way).model
    assert model is not None
    again = restore(whole(way))
    assert (served_digest(again), trained_digest(again)) == (served_digest(model), trained_digest(model))
    assert (again.state.keys(), again.folded) == (model.state.keys(), model.folded)


def test_the_log_puts_every_part_of_the_state_to_use() -> None:
    model = folded("audio, video, EWC, plateau, probe and DER++ACE").model
    assert model is not None
    parts = {name.partition("/")[0].partition(".")[0] for name in model.state}
    assert parts == {"guidance", "pace", "fisher", "anchor", "met", "probe"}


def test_another_process_folds_on_to_the_same_bytes() -> None:
    way = "audio, video, EWC, plateau, probe and DER++ACE"
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_elsewhere, (way,)) == whole(way)


def _elsewhere(way: str) -> bytes:
    """What a process that has folded nothing else comes to."""
    fix_threads()
    return all_of(folded(way, {9}))

"""One run over recorded lessons through the fold: online in one pass, or offline in several shuffled ones.

Every batch is predicted by the served average before it is learned (prequential, Gama et al. 2013), beside as many
examples drawn from a uniform reservoir; labels are not late. At the end the served average is asked about the teachers
that it never met.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.talkmoves_data import MOVES, Recording, Reservoir, cut, group_of, lessons
from benchmarks.talkmoves_sentences import preload
from learners.delta import apply_delta, delta_parts, no_changes
from learners.encode import encode
from learners.fingerprint import fix_threads
from learners.fold import fold
from learners.model import Model, served, served_view
from learners.paired import matthews
from learners.predict import predict_arrays
from learners.request import NEW, REPLAYED
from learners.settings import LearningSettings
from schemas.training import TrainExample, TrainRequest

TOGETHER = 32  # new examples of a step, and replayed ones beside them
CURVE_POINTS, CURVE_PROBE = 10, 4_000  # how often, and about how many sentences of the probe, the curve asks
DELTA_STEPS = 16

Tables = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Job:
    """What to run: lessons at ``data`` cut by ``salt``; ``epochs`` shuffled passes, or 0 for one online.

    ``sentences``: where the pretrained encoder's vectors lie, if it is asked.
    """

    name: str
    data: Path
    settings: Mapping[str, object]
    salt: str
    seed: int
    epochs: int = 0
    teachers_only: bool = False
    memory: int = 20_000  # a tenth of it costs .005 MCC, .012 of the students
    replayed: int = TOGETHER
    sentences: Path | None = None


@dataclass(slots=True)
class Run:
    """What came of a job. ``unseen``: of each epoch the probe's confusion tables [classes, classes] by task and group;
    ``before``: of the last quarter of the pass, said before it was learned; curve: sentences learned, MCC of teachers.
    """

    job: Job
    unseen: list[dict[str, dict[str, Tables]]] = field(default_factory=list)
    before: dict[str, Tables] = field(default_factory=dict)
    curve: list[tuple[float, float]] = field(default_factory=list)
    costs: dict[str, float] = field(default_factory=dict)


def measured(job: Job) -> Run:
    """``job`` done; safe in a process of its own."""
    fix_threads()
    if job.sentences:
        preload(job.sentences)
    settings = LearningSettings.from_dict(job.settings)
    recording = cut(lessons(job.data, settings.context_turns), job.salt, job.seed)
    recording = recording.of_teachers() if job.teachers_only else recording
    return _offline(job, settings, recording) if job.epochs else _online(job, settings, recording)


def _online(job: Job, settings: LearningSettings, recording: Recording) -> Run:
    found, clock, draw = Run(job), Clock(), random.Random(job.seed)
    memory, model = Reservoir(job.memory, draw), _genesis(settings, job.seed)
    follower, changes, sizes = served(model), no_changes(model.next_offset), []
    asked = recording.probe[:: max(1, len(recording.probe) // CURVE_PROBE)]
    steps = -(-len(recording.learn) // TOGETHER)
    for number, new in enumerate(batches(recording.learn, TOGETHER), start=1):
        with clock("score"):
            said = answers(model, new)
        if number > 0.75 * steps:
            _count(settings, new, said, lambda task, _: found.before.setdefault(task, _empty(settings, task)))
        replayed = memory.sample(job.replayed)
        with clock("fold"):
            model, touched = learned(model, new, replayed)
        for example in new:
            memory.meet(example)
        changes = changes.and_then(touched)
        if number % DELTA_STEPS == 0:
            parts = delta_parts(model, changes, follower.next_offset, model.next_offset, "bench")
            follower, changes = apply_delta(follower, parts), no_changes(model.next_offset)
            sizes.append(sum(map(len, parts)))
        if number % max(1, steps // CURVE_POINTS) == 0:
            found.curve.append((number * TOGETHER, _teacher_mcc(model, asked)))
    found.unseen.append(unseen(model, recording.probe))
    found.costs = {
        "learned": len(recording.learn),
        "probe": len(recording.probe),
        "score_ms_per_step": 1e3 * clock.spent["score"] / steps,
        "fold_ms_per_step": 1e3 * clock.spent["fold"] / steps,
        "pass_s": clock.spent["score"] + clock.spent["fold"],
        "delta_bytes": float(np.mean(sizes)) if sizes else 0.0,
    }
    return found


def _offline(job: Job, settings: LearningSettings, recording: Recording) -> Run:
    """Shuffled passes without replay. A fold learns an example once: in later passes it comes under another id."""
    found, draw, model = Run(job), random.Random(job.seed), _genesis(settings, job.seed)
    for epoch in range(job.epochs):
        order = list(recording.learn)
        draw.shuffle(order)
        for new in batches(order, TOGETHER):
            model, _ = learned(model, [one.model_copy(update={"id": f"{one.id}#{epoch}"}) for one in new], ())
        found.unseen.append(unseen(model, recording.probe))
    return found


def _genesis(settings: LearningSettings, seed: int) -> Model:
    begun = TrainRequest(kind="genesis", model="bench", seed=seed, reason="bench", settings=settings.to_dict())
    return fold(None, begun, {}, "genesis", 0)[0]


def learned(
    model: Model, new: Sequence[TrainExample], replayed: Sequence[TrainExample]
) -> tuple[Model, Mapping[str, npt.NDArray[np.int64]]]:
    """The model after one step, every example at weight one, and the rows touched. ``model`` is consumed."""
    request = TrainRequest.model_construct(
        kind="step", model="bench", seed=model.steps, reason="bench", new=tuple(new), replayed=tuple(replayed),
        settings=None, version=None, consolidate=False,
    )  # fmt: skip
    weights = {NEW: np.ones(len(new), dtype=np.float32), REPLAYED: np.ones(len(replayed), dtype=np.float32)}
    model, report = fold(model, request, weights, f"step-{model.steps}", model.next_offset)
    return model, report.touched


def answers(model: Model, examples: Sequence[TrainExample]) -> list[int]:
    """Of each example the class that the served average finds likeliest, by number; the first before any is taught."""
    logits = predict_arrays(served_view(model), encode([example.input for example in examples], model.settings))
    tasks = [next(iter(example.labels)) for example in examples]
    return [int(logits[task][at].argmax()) if task in logits else 0 for at, task in enumerate(tasks)]


def unseen(model: Model, probe: Sequence[TrainExample]) -> dict[str, dict[str, Tables]]:
    """The confusion tables of ``probe`` by task and group."""
    found: dict[str, dict[str, Tables]] = {task: {} for task in MOVES.values()}
    for some in batches(probe, 512):
        _count(
            model.settings,
            some,
            answers(model, some),
            lambda task, one: found[task].setdefault(group_of(one), _empty(model.settings, task)),
        )
    return found


def _teacher_mcc(model: Model, asked: Sequence[TrainExample]) -> float:
    tables = unseen(model, asked)[MOVES["teacher"]].values()
    return float(matthews(np.sum([*tables], axis=0)))


def _count(
    settings: LearningSettings,
    examples: Sequence[TrainExample],
    said: Sequence[int],
    table_of: Callable[[str, TrainExample], Tables],
) -> None:
    for one, answer in zip(examples, said, strict=True):
        ((task, label),) = one.labels.items()
        table_of(task, one)[_classes(settings, task).index(str(label)), answer] += 1


def _classes(settings: LearningSettings, task: str) -> tuple[str, ...]:
    found = settings.task(task)
    return found.classes if found else ()


def _empty(settings: LearningSettings, task: str) -> Tables:
    return np.zeros((len(_classes(settings, task)),) * 2)


def batches(examples: Sequence[TrainExample], size: int) -> Iterator[Sequence[TrainExample]]:
    """``examples`` in order, ``size`` at a time."""
    return (examples[first : first + size] for first in range(0, len(examples), size))


class Clock:
    """Seconds spent in named parts."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.spent[part] = self.spent.get(part, 0.0) + time.perf_counter() - begun

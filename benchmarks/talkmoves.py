"""One online pass over recorded lessons: how well the analyzer tells talk moves apart, how fast, how small its deltas.

    python benchmarks/talkmoves.py --data ../shared/data/talkmoves/stream.jsonl.gz [--set dim=64] [--json]

Groups (a teacher, or a series of clips) are dealt by hash into a learning and a probe part. Lessons of the learning
part come interleaved, some dozens in flight. Every batch is predicted by the served average before it is learned
(prequential, Gama et al. 2013), beside as many examples drawn from a uniform reservoir; labels are not late. At the end
the served average is scored on the teachers that it never met.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from learners.delta import apply_delta, delta_parts, no_changes
from learners.encode import encode
from learners.fingerprint import fingerprint, fix_threads
from learners.fold import fold
from learners.model import Model, served, served_digest, served_view
from learners.predict import predict, predict_arrays
from learners.settings import LearningSettings
from learners.snapshot import snapshot
from learners.utterance import read_utterance
from schemas.interaction import Payload, SpeakerRole, Turn
from schemas.prediction import ExampleInput
from schemas.training import TrainExample, TrainRequest

DATA = Path(__file__).resolve().parents[2] / "shared/data/talkmoves/stream.jsonl.gz"
ROLES: dict[str | None, SpeakerRole] = {"T": "teacher", "S": "student", None: "unknown"}
MOVES = {"teacher": "teacher_move", "student": "student_move"}
Classes = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Recording:
    """The labelled sentences of the learning part in the order in which they are met, and those of the probe."""

    learn: Sequence[TrainExample]
    probe: Sequence[TrainExample]


def read(path: Path, context_turns: int, salt: str, seed: int, in_flight: int = 40) -> Recording:
    """The recording at ``path``, dealt by ``salt`` and interleaved by ``seed``."""
    lessons: dict[str, list[dict[str, str]]] = {}
    with gzip.open(path, "rt") as lines:
        for line in lines:
            record = json.loads(line)
            lessons.setdefault(record["conv"], []).append(record)
    learn: list[list[TrainExample]] = []
    probe: list[TrainExample] = []
    for records in lessons.values():
        examples = list(_examples(records, context_turns))
        share = int(hashlib.sha1(f"{salt}{records[0]['group']}".encode()).hexdigest()[:8], 16) / 2**32
        learn.append(examples) if share >= 0.2 else probe.extend(examples)
    return Recording(list(_interleaved(learn, in_flight, random.Random(seed))), probe)


def _examples(records: Sequence[dict[str, str]], context_turns: int) -> Iterator[TrainExample]:
    turns = tuple(Turn(role=ROLES[record["role"]], text=record["text"] or "") for record in records)
    for at, record in enumerate(records):
        role = ROLES[record["role"]]
        if role not in MOVES or record["label"] is None:
            continue
        payload = Payload(text=turns[at].text, context=turns[max(0, at - context_turns) : at])
        name = f"{record['conv']}/{record['seq']}"
        given = ExampleInput(session=record["conv"], role=role, group=record["group"], payload=payload)
        yield TrainExample(
            id=name,
            interaction=name,
            feedback=name,
            rater="talkmoves",
            input=given,
            labels={MOVES[role]: record["move"]},
        )


def _interleaved(lessons: Sequence[list[TrainExample]], in_flight: int, draw: random.Random) -> Iterator[TrainExample]:
    """Sentence by sentence from a random one of the lessons in flight; when a lesson ends the next begins."""
    waiting = [iter(lesson) for lesson in lessons]
    running, waiting = waiting[:in_flight], waiting[in_flight:]
    while running:
        at = draw.randrange(len(running))
        example = next(running[at], None)
        if example is not None:
            yield example
        elif waiting:
            running[at] = waiting.pop(0)
        else:
            running.pop(at)


class Reservoir:
    """A uniform sample of what was met (algorithm R, Vitter 1985)."""

    def __init__(self, capacity: int, draw: random.Random) -> None:
        self.capacity, self.draw, self.met = capacity, draw, 0
        self.kept: list[TrainExample] = []

    def meet(self, example: TrainExample) -> None:
        """Keep ``example``, perhaps, in the place of another."""
        self.met += 1
        if len(self.kept) < self.capacity:
            self.kept.append(example)
        elif (place := self.draw.randrange(self.met)) < self.capacity:
            self.kept[place] = example

    def sample(self, count: int) -> tuple[TrainExample, ...]:
        """``count`` different ones."""
        return tuple(self.draw.sample(self.kept, min(count, len(self.kept))))


def confusion(truth: Classes, said: Classes, classes: int) -> npt.NDArray[np.int64]:
    """How often each class (row) was said to be each (column)."""
    return np.bincount(truth * classes + said, minlength=classes * classes).reshape(classes, classes)


def mcc(counts: npt.NDArray[np.int64]) -> float:
    """Matthews' correlation for several classes (Gorodkin 2004, eq. 8)."""
    n, right = float(counts.sum()), float(np.trace(counts))
    truth, said = counts.sum(axis=1).astype(float), counts.sum(axis=0).astype(float)
    spread = (n * n - said @ said) * (n * n - truth @ truth)
    return float((n * right - truth @ said) / np.sqrt(spread)) if spread > 0 else 0.0


def macro_f1(counts: npt.NDArray[np.int64]) -> float:
    """Mean F1 over the classes but the first, which is none."""
    right = np.diag(counts).astype(float)
    f1 = 2 * right / np.maximum(counts.sum(axis=0) + counts.sum(axis=1), 1)
    return float(f1[1:].mean())


@dataclass(slots=True)
class Tally:
    """Said and true classes of a task, in the order in which they were met."""

    classes: tuple[str, ...]
    truth: list[int]
    said: list[int]

    def scores(self, first: float = 0.0) -> dict[str, float]:
        """MCC and macro F1 of what comes after the share ``first``."""
        begin = int(first * len(self.truth))
        counts = confusion(np.array(self.truth[begin:]), np.array(self.said[begin:]), len(self.classes))
        return {"mcc": round(mcc(counts), 4), "macro_f1": round(macro_f1(counts), 4)}


def tallies(settings: LearningSettings) -> dict[str, Tally]:
    """Empty ones for the talk moves."""
    return {task.name: Tally(task.classes, [], []) for task in settings.tasks if task.name in MOVES.values()}


def score(model: Model, examples: Sequence[TrainExample], into: dict[str, Tally]) -> None:
    """Add what the served average says of ``examples``."""
    logits = predict_arrays(served_view(model), encode([example.input for example in examples], model.settings))
    for at, example in enumerate(examples):
        ((task, label),) = example.labels.items()
        into[task].said.append(int(logits[task][at].argmax()) if task in logits else 0)
        into[task].truth.append(into[task].classes.index(str(label)))


def run(recording: Recording, settings: LearningSettings, capacity: int, seed: int) -> dict[str, object]:
    """Fold the recording in steps of 32 new and 32 replayed examples; all that is measured, by name."""
    draw = random.Random(seed)
    memory = Reservoir(capacity, draw)
    genesis = TrainRequest(kind="genesis", model="bench", seed=seed, reason="bench", settings=settings.to_dict())
    model, _ = fold(None, genesis, {}, "genesis", 0)
    before, unseen = tallies(settings), tallies(settings)
    clock = Clock()
    follower = served(model)
    changes = no_changes(model.next_offset)
    sizes: list[int] = []
    touched: list[int] = []
    for number, new in enumerate(_batches(recording.learn, 32), start=1):
        with clock("score"):
            score(model, new, before)
        replayed = memory.sample(32)
        request = TrainRequest(kind="step", model="bench", seed=seed, reason="bench", new=new, replayed=replayed)
        weights = {"weights.new": np.ones(len(new), np.float32), "weights.replayed": np.ones(len(replayed), np.float32)}
        with clock("fold"):
            model, report = fold(model, request, weights, f"request-{number}", number)
        for example in new:
            memory.meet(example)
        touched.append(sum(map(len, report.touched.values())))
        changes = changes.and_then(report.touched)
        if number % 16 == 0:
            with clock("delta"):
                parts = delta_parts(model, changes, follower.next_offset, model.next_offset, "bench")
            with clock("apply"):
                follower = apply_delta(follower, parts)
            changes = no_changes(model.next_offset)
            sizes.append(sum(map(len, parts)))
    with clock("probe"):
        for some in _batches(recording.probe, 512):
            score(model, some, unseen)
    steps = len(touched)
    return {
        "prequential_last_quarter": {name: tally.scores(0.75) for name, tally in before.items()},
        "unseen_groups": {name: tally.scores() for name, tally in unseen.items()},
        "examples": {"learned": len(recording.learn), "probe": len(recording.probe), "steps": steps},
        "score_ms_per_step": round(1e3 * clock.spent["score"] / steps, 3),
        "fold_ms_per_step": round(1e3 * clock.spent["fold"] / steps, 3),
        "pass_s": round(clock.spent["score"] + clock.spent["fold"], 2),
        "rows_touched_per_step": round(float(np.mean(touched))),
        "delta_bytes_per_16_steps": {"mean": round(float(np.mean(sizes))), "last": sizes[-1], "first": sizes[0]},
        "delta_ms": round(1e3 * clock.spent["delta"] / len(sizes), 2),
        "apply_ms": round(1e3 * clock.spent["apply"] / len(sizes), 2),
        **_speeds(model, recording.probe),
    }


class Clock:
    """Seconds spent in named parts."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.spent[part] = self.spent.get(part, 0.0) + time.perf_counter() - begun


def _batches(examples: Sequence[TrainExample], size: int) -> Iterator[tuple[TrainExample, ...]]:
    for first in range(0, len(examples), size):
        yield tuple(examples[first : first + size])


def _speeds(model: Model, probe: Sequence[TrainExample]) -> dict[str, object]:
    """How fast the finished model encodes and predicts sentences that it has not met, and what its snapshot costs."""
    inputs = [example.input for example in probe[:20_000]]
    clock = Clock()
    weights = served(model)
    read_utterance.cache_clear()
    for first in range(0, len(inputs), 256):
        some = inputs[first : first + 256]
        with clock("encode"):
            features = encode(some, model.settings)
        with clock("forward"):
            predict_arrays(weights, features)
        with clock("predict"):
            predict(weights, some)
    with clock("snapshot"):
        value = snapshot(model)
    with clock("digest"):
        served_digest(model)
    return {
        "encode_per_s": round(len(inputs) / clock.spent["encode"]),
        "forward_per_s": round(len(inputs) / clock.spent["forward"]),
        "predict_per_s": round(len(inputs) / clock.spent["predict"]),
        "snapshot_bytes": len(value),
        "snapshot_ms": round(1e3 * clock.spent["snapshot"], 1),
        "digest_ms": round(1e3 * clock.spent["digest"], 2),
    }


def main() -> None:
    """Read the arguments, measure, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--memory", type=int, default=2_000, help="capacity of the replay reservoir")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--salt", default="", help="deals the groups another way")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a learning setting")
    given = parser.parse_args()
    changed = {name: json.loads(value) for name, _, value in (pair.partition("=") for pair in given.set)}
    settings = LearningSettings.from_dict(changed)
    fix_threads()
    recording = read(given.data, settings.context_turns, given.salt, given.seed)
    result = run(recording, settings, given.memory, given.seed)
    print(json.dumps({**result, "settings": changed, "fingerprint": fingerprint()}, indent=1))


if __name__ == "__main__":
    main()

"""One run of the learning core over a stream: curated as the roles do it, folded, and asked at the end."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import xxhash

from benchmarks.ablate_data import FITS, Item, Stream
from benchmarks.ablate_parts import Recipe
from learners.caps import capped
from learners.delays import Delays
from learners.entry import entry
from learners.fold import fold
from learners.importance import disagreement, importance
from learners.judged import likeliest
from learners.memory import Memory, admit
from learners.model import Model, served_view
from learners.paired import BLOCKS
from learners.predict import predict
from learners.rarity import Met
from learners.replay import sample
from learners.request import NEW, REPLAYED
from learners.settings import LearningSettings
from learners.tasks import Task
from learners.trust import Trust, TrustSettings
from schemas.prediction import Output
from schemas.training import TrainExample, TrainRequest

Floats = npt.NDArray[np.float64]
STEP, ASKED = 32, 256  # examples a step, and items asked at once


class Curator:
    """What the curate role knows of a stream, and how it weighs it."""

    def __init__(self, recipe: Recipe, drift_s: float | None) -> None:
        self.recipe, self.drift_s = recipe, drift_s
        self.memory = Memory.of(recipe.memory)
        self.kept: dict[str, TrainExample] = {}
        self.trust = Trust(TrustSettings(floor=min(recipe.memory.trust_floor, 1.0)))
        self.delays, self.met = Delays(), Met()
        self.widths = {task.name: task.range[1] - task.range[0] for task in recipe.learning.tasks if task.range}

    def replayed(self, seed: int) -> tuple[tuple[TrainExample, ...], list[float]]:
        """Remembered examples to replay, and their weights."""
        found = sample(self.memory, STEP, seed)
        examples = tuple(self.kept[id_] for id_ in found.ids)
        return examples, [w * self.trust.weight(one.rater) for w, one in zip(found.weights, examples, strict=True)]

    def weights(self, new: Sequence[TrainExample], worth: Sequence[float], at_s: Sequence[float]) -> list[float]:
        """What each new example counts: its rater's trust, its class's delay, its importance beside the others'."""
        memory, mean = self.recipe.memory, sum(worth) / len(worth) or 1.0
        late = self._late(new, at_s)
        each = [
            self.trust.weight(one.rater) * delayed * (value / mean) ** memory.importance_power
            for one, value, delayed in zip(new, worth, late, strict=True)
        ]
        each = capped(each, [one.input.learner for one in new], memory.learner_share)
        return capped(each, [one.rater for one in new], memory.rater_share)

    def _late(self, new: Sequence[TrainExample], at_s: Sequence[float]) -> list[float]:
        """The weight of each label's class for how late it comes, since the stream or the drift began."""
        if not self.recipe.delay_weights or self.drift_s is None:
            return [1.0] * len(new)
        now = max(at + one.delay_s for at, one in zip(at_s, new, strict=True))
        since = self.drift_s if now > self.drift_s else 0.0
        found = self.delays.weights("question_type", now, since)
        return [found.get(str(one.labels.get("question_type")), 1.0) for one in new]

    def judge(self, new: Sequence[TrainExample], said: Sequence[Mapping[str, Output]]) -> list[float]:
        """The importance of each new example; whose labels agree is noted."""
        worth = []
        for one, outputs in zip(new, said, strict=True):
            apart, rare = [0.0], [0.0]
            for task, label in one.labels.items():
                output = outputs.get(task)
                self.trust.update(one.rater, task, label, output)
                rare.append(self.met.rarity(task, label, output))
                self.met.meet(task, label, output)
                apart += [disagreement(output, label, self.widths.get(task, 1.0))] if output else []
            found, _ = importance(one.input.payload.text, None, outputs, disagreement=max(apart), flags=one.flags,
                                  rarity=max(rare))  # fmt: skip
            worth.append(found)
        return worth

    def keep(self, new: Sequence[TrainExample], worth: Sequence[float], at_s: Sequence[float]) -> None:
        """Remember what the memory admits, and count the delays."""
        offered = [
            entry(self.recipe.memory, one.id, value, _class_of(one), one.input.learner, one.rater, 0)
            for one, value in zip(new, worth, strict=True)
        ]
        self.kept |= {one.id: one for one in new}
        self.memory, _ = admit(self.memory, *offered)
        self.kept = {id_: self.kept[id_] for id_ in self.memory.entries}
        if self.recipe.delay_weights and self.drift_s is not None:
            for one, at in zip(new, at_s, strict=True):
                self.delays.update("question_type", str(one.labels["question_type"]), at, one.delay_s)


def _class_of(example: TrainExample) -> str:
    task, value = next(iter(example.labels.items()))
    return f"{task}/{value}" if isinstance(value, str) else task


def run(stream: Stream, recipe: Recipe, seed: int) -> dict[str, Floats]:
    """Fold ``stream`` in steps of 32 new and 32 replayed examples; of each probe the answers as counts, by block of
    units, [BLOCKS, true, said]."""
    recipe = recipe.with_({f"learning.{name}": value for name, value in stream.learning.items()})
    genesis = TrainRequest(kind="genesis", model="bench", seed=seed, reason="bench", settings=recipe.learning.to_dict())
    model, _ = fold(None, genesis, {}, "genesis", 0)
    curator, draw = Curator(recipe, stream.drift_s), random.Random(seed)
    for offset, first in enumerate(range(0, len(stream.learn), STEP), 1):
        new, at_s = tuple(stream.learn[first : first + STEP]), stream.at_s[first : first + STEP]
        worth = curator.judge(new, predict(served_view(model), [one.input for one in new]))
        replayed, again = curator.replayed(draw.getrandbits(32))
        weights = {NEW: curator.weights(new, worth, at_s), REPLAYED: again}
        request = TrainRequest(
            kind="step", model="bench", seed=draw.getrandbits(32), reason="bench", new=new, replayed=replayed
        )
        arrays = {name: np.array(values, dtype=np.float32) for name, values in weights.items()}
        model, _ = fold(model, request, arrays, f"request-{offset}", offset)
        curator.keep(new, worth, at_s)
    return {name: ask(model, items) for name, items in stream.probes.items()}


def ask(model: Model, items: Sequence[Item]) -> Floats:
    """What the served average answers to ``items`` of one task: counts [BLOCKS, true, said]."""
    (name,) = {item.task for item in items}
    classes = _task(model.settings, name).classes or FITS
    found, view = np.zeros((BLOCKS, len(classes), len(classes))), served_view(model)
    for first in range(0, len(items), ASKED):
        some = items[first : first + ASKED]
        for item, outputs in zip(some, predict(view, [one.input for one in some]), strict=True):
            block = xxhash.xxh3_64_intdigest(item.unit.encode()) % BLOCKS
            said = likeliest(outputs[name]) or FITS[_fits(outputs[name], model.settings)]
            found[block, classes.index(item.truth), classes.index(said)] += 1
    return found


def _task(settings: LearningSettings, name: str) -> Task:
    return next(task for task in settings.tasks if task.name == name)


def _fits(output: Output, settings: LearningSettings) -> bool:
    """Whether a wait lies in the band that the settings ask for."""
    return output.value is not None and settings.wait_low_s <= output.value <= settings.wait_high_s

"""One run of the learning core over a stream: curated as the roles do it, folded, and asked at the end."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import xxhash

from benchmarks.ablate_data import FITS, Item, Stream
from benchmarks.ablate_parts import Recipe
from learners.delays import Delays
from learners.entry import entry
from learners.fold import fold
from learners.importance import disagreement, importance
from learners.judged import likeliest
from learners.memory import Memory
from learners.model import Model, served_view
from learners.paired import BLOCKS
from learners.predict import predict
from learners.rarity import Met
from learners.replay import sample
from learners.request import NEW, REPLAYED, Weights
from learners.settings import LearningSettings
from learners.tasks import Task
from learners.trust import Trust, TrustSettings
from schemas.prediction import Output
from schemas.training import TrainExample, TrainRequest
from streams.compose import sample_weights

Floats = npt.NDArray[np.float64]
TIMED = "question_type"  # the task whose labels are late
STEP, ASKED = 32, 256  # examples a step, and items asked at once


class Curator:
    """What the curate role knows of a stream, and how it weighs it. It is told when the world changed."""

    def __init__(self, recipe: Recipe, drift_s: float | None) -> None:
        self.recipe, self.drift_s = recipe, drift_s
        self.memory = Memory.of(recipe.memory)
        self.kept: dict[str, TrainExample] = {}
        self.trust = Trust(TrustSettings(floor=min(recipe.memory.trust_floor, 1.0)))
        self.delays, self.met = Delays(), Met()
        self.widths = {task.name: task.range[1] - task.range[0] for task in recipe.learning.tasks if task.range}

    def request(self, new: Sequence[TrainExample], at_s: Sequence[float], seed: int) -> tuple[TrainRequest, Weights]:
        """The request of ``new`` examples, and of remembered ones."""
        found = sample(self.memory, STEP, seed)
        replayed = tuple(self.kept[id_] for id_ in found.ids)
        request = TrainRequest(kind="step", model="bench", seed=seed, reason="bench", new=tuple(new), replayed=replayed)
        first, again = sample_weights(
            self.recipe.memory, new, replayed, found.weights, self.trust.weight,
            self.recipe.learning.replay_weight, self._late(new, at_s),
        )  # fmt: skip
        return request, {NEW: np.array(first, dtype=np.float32), REPLAYED: np.array(again, dtype=np.float32)}

    def _late(self, new: Sequence[TrainExample], at_s: Sequence[float]) -> list[float]:
        """The weight of each label's class for how late it comes, since the stream or the drift began."""
        if not self.recipe.delay_weights or self.drift_s is None:
            return [1.0] * len(new)
        found = self.delays.weights(TIMED)
        began = self.delays.began
        return [
            found.get(str(one.labels[TIMED]), 1.0) if at >= began else 1.0 for one, at in zip(new, at_s, strict=True)
        ]

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
        self.memory.admit(*offered)
        self.kept = {id_: self.kept[id_] for id_ in self.memory.entries}
        if self.recipe.delay_weights and self.drift_s is not None:
            for one, at in zip(new, at_s, strict=True):
                self.delays.update(TIMED, str(one.labels[TIMED]), at, one.delay_s)
                if self.delays.now >= self.drift_s > self.delays.began:
                    self.delays.restart(self.drift_s)


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
        judged = [one.model_copy(update={"importance": value}) for one, value in zip(new, worth, strict=True)]
        request, weights = curator.request(judged, at_s, draw.getrandbits(32))
        model, _ = fold(model, request, weights, f"request-{offset}", offset)
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

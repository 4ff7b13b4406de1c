"""One guided step, in the order in which it happens."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from learners import ewc, guidance, rehearsal, update
from learners.analyzer import Batch, batch, heads, losses, masked, see
from learners.consistency import consistency
from learners.encode import encode
from learners.model import Floats, Model, Rows
from learners.optimiser import clip_factor
from learners.settings import LearningSettings
from learners.targets import Targets, targets
from schemas.training import TrainExample

Gradients = Mapping[str, Floats]


@dataclass(frozen=True, slots=True)
class Progress:
    """What a step did: loss parts, gradient norms, learning rates, what guided it, and each table's rows touched."""

    losses: Mapping[str, float]
    norms: Mapping[str, float]
    rates: Mapping[str, float]
    guidance: Mapping[str, float]
    touched: Mapping[str, Rows]


def step(
    model: Model,
    new: Sequence[TrainExample],
    replayed: Sequence[TrainExample],
    weights: Floats,
    seed: int = 0,
    consolidate: bool = False,
) -> tuple[Model, Progress]:
    """Learn from ``new`` while rehearsing ``replayed``, guided by research and by what was learned before.

    ``weights`` are the sample weights of the new examples, then of the replayed ones. The loss is

        Σ_task w_task · Σ_i share_i · ℓ_task(i)  +  rehearsal  +  consistency  +  EWC penalty

    with an example's share its weight over the size of its part (``rehearsal.shares``); an example without a label of
    the task counts nothing. Its gradient is guided by constraints, clipped, and taken at each group's pace. ``seed``
    decides which modalities are hidden. ``consolidate`` asks to hold on to what matters now. ``model`` is consumed.
    """
    settings, examples = model.settings, [*new, *replayed]
    given = batch(encode([example.input for example in examples], settings))
    labels = [mine for task in settings.tasks if len(mine := targets(task, [e.labels for e in examples])) > 0]
    tasks = [mine.task for mine in labels]
    held = update.held_by(model, labels, given.touched)
    leaves = update.leaves_of(model, held)
    gradients_of: Callable[[Tensor], Gradients] = partial(update.gradients_of, leaves)

    seen = see(leaves, _partly_hidden(given, seed, settings), tasks)
    logits = heads(leaves, seen, tasks)
    share = torch.from_numpy(rehearsal.shares(weights, len(new), settings))
    each = losses({g.task.name: rehearsal.rivals(logits[g.task.name], g, len(new), settings) for g in labels}, labels)
    parts = {f.task.name: f.task.weight * (each[f.task.name] * share[f.examples]).sum() for f in labels}
    parts |= rehearsal.rehearsed(model.state, examples, len(new), labels, logits, weights, settings)
    parts |= consistency(leaves, given, seen.text, labels, len(new), settings)
    found = guidance.violations(logits, labels, examples, settings)

    raw = gradients_of(sum(parts.values(), torch.zeros(())))
    if settings.replay == "a-gem" and replayed:
        raw = guidance.projected(raw, gradients_of(_of_replayed(each, labels, weights, len(new))))
    guided = guidance.guided(raw, found, _multipliers(model), gradients_of)
    penalty, pull = ewc.penalty(
        model.state, {n: h[0] for n, h in held.items() if n in model.dense}, settings.ewc_weight
    )
    guided = {name: gradient + pull[name] if name in pull else gradient for name, gradient in guided.items()}

    norm = math.sqrt(guidance.dot(guided, guided))
    clipped = np.float32(clip_factor(norm, settings.clip_norm))
    update.paces(model, labels, _of_new(each, labels, len(new)))
    paces = update.rates_of(model)
    touched = update.move(model, given.touched, held, {name: clipped * gradient for name, gradient in guided.items()})

    if found:
        model.state["guidance"] = guidance.updated(_multipliers(model), found, settings)
    if consolidate or _is_time_to_consolidate(model):
        values = {name: dense.packed[0] for name, dense in model.dense.items()}
        ewc.consolidate(model.state, values, seen, labels, settings.ewc_decay)
    said = {name: part.item() for name, part in parts.items()} | ({"ewc": penalty} if pull else {})
    return replace(model, steps=model.steps + 1), Progress(
        losses={"total": sum(said.values()), **said},
        norms=_norms(raw, guided, float(clipped)),
        rates=paces,
        guidance=guidance.told(_multipliers(model), found),
        touched=touched,
    )


def _partly_hidden(given: Batch, seed: int, settings: LearningSettings) -> Batch:
    """``given`` with the audio of some examples and the video of some hidden, so that none is leaned on alone."""
    if not (settings.modality_dropout and (settings.audio_dim or settings.video_dim)):
        return given
    draws = np.random.default_rng(seed).random((len(given), 2))
    return masked(given, torch.from_numpy((draws >= settings.modality_dropout).astype(np.float32)))


def _of_new(each: Mapping[str, Tensor], labels: Sequence[Targets], new: int) -> dict[str, float]:
    """The mean loss of each task on new examples, NaN where none is labelled."""
    means = {found.task.name: each[found.task.name].detach()[found.examples < new].mean() for found in labels}
    return {name: mean.item() for name, mean in means.items()}


def _of_replayed(each: Mapping[str, Tensor], labels: Sequence[Targets], weights: Floats, new: int) -> Tensor:
    """The loss on replayed examples, which under A-GEM is looked at and not learned from."""
    share = torch.from_numpy(np.where(np.arange(len(weights)) < new, 0, weights / max(len(weights) - new, 1)))
    parts = [found.task.weight * (each[found.task.name] * share[found.examples]).sum() for found in labels]
    return sum(parts, torch.zeros(())).float()


def _multipliers(model: Model) -> Floats:
    return model.state.get("guidance", guidance.no_multipliers())


def _is_time_to_consolidate(model: Model) -> bool:
    every = model.settings.ewc_steps
    return bool(model.settings.ewc_weight and every) and (model.steps + 1) % every == 0


def _norms(raw: Gradients, guided: Gradients, clipped: float) -> dict[str, float]:
    before, after = math.sqrt(guidance.dot(raw, raw)), math.sqrt(guidance.dot(guided, guided))
    cosine = guidance.dot(raw, guided) / (before * after) if before * after else 1.0
    return {"raw": before, "guided": after, "clipped": after * clipped, "cosine": cosine}

"""Agreement between modalities: what is said, heard and seen of one moment should tell the same of it.

Three parts, ``consistency_weight`` times each:

contrast  of what is said, heard and seen, two are nearer to each other than to those of other moments (InfoNCE)
alone     each modality's own heads learn the labels that it should know something of
accord    and two modalities' heads say the same

Anchors are the new examples of a batch; the replayed ones are others to be told from. How they once went together is
the past's: on the simulated stream, whose audio turns at half, retrieval is .06 less with replayed anchors too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import torch
import torch.nn.functional as F  # noqa: N812  # its usual name
from torch import Tensor

from learners.analyzer import Batch, losses
from learners.modalities import AUDIO, TEXT, VIDEO, bias_of, columns, weight_of, widths
from learners.settings import LearningSettings
from learners.targets import Targets
from learners.tasks import Task

Parameters = Mapping[str, Tensor]

TEMPERATURE = 0.1  # of the contrast; from .07 to .2 retrieval is the same within .005
ABSENT = -1e4  # added to the likeness with what is not there
TINY = 1e-7


def consistency(
    parameters: Parameters,
    given: Batch,
    text: Tensor,
    labels: Sequence[Targets],
    new: int,
    settings: LearningSettings,
) -> dict[str, Tensor]:
    """The parts of the loss that grow where modalities disagree, by name; none where only text is looked at.

    ``text``: embedded bags [n, FIELDS·dim]. The first ``new`` examples of the batch are new; clarity weighs what is
    heard.
    """
    said = _said(parameters, given, text, settings)
    if len(said) < 2:
        return {}
    there = _there(given)
    weight = {name: each[:new] * given.clarity[:new] if name == AUDIO else each[:new] for name, each in there.items()}
    parts = {
        "contrast": contrast(_points(said, settings), there, weight),
        **_heads(said, weight, labels, new, settings),
    }
    return {name: settings.consistency_weight * part for name, part in parts.items()}


def contrast(points: Mapping[str, Tensor], there: Mapping[str, Tensor], weight: Mapping[str, Tensor]) -> Tensor:
    """InfoNCE (van den Oord et al. 2018, eq. 4) both ways between every two modalities, the mean over these.

    points: [n, width] of norm one; there: [n], one where there is one; weight: [anchors], of the first examples as
    anchors. The likeness of two points is their cosine over ``TEMPERATURE``.
    """
    pairs = [pair for both in combinations(points, 2) for pair in (both, both[::-1])]
    weights = torch.stack([weight[one] * weight[other] for one, other in pairs])
    anchors = torch.stack([points[one][: weights.shape[1]] for one, _ in pairs])
    others = torch.stack([points[other] for _, other in pairs])
    absent = torch.stack([ABSENT * (1 - there[other]) for _, other in pairs])
    likeness = torch.baddbmm(absent.unsqueeze(1), anchors, others.transpose(1, 2), alpha=1 / TEMPERATURE)
    each = likeness.logsumexp(dim=2) - likeness.diagonal(dim1=1, dim2=2)
    return ((each * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)).mean()


def divergence(task: Task, one: Tensor, other: Tensor) -> Tensor:
    """How far two modalities' logits [n, logits] of ``task`` are apart, [n].

    Classes: Jensen–Shannon divergence (Lin 1991, eq. 4.1) in nats, at most ln 2, of multilabel and ordinal logits the
    mean over their bits. A regression: Huber's loss (1964) of the difference in the task's unit, quadratic within one.
    """
    if task.kind == "regression":
        lowest, highest = task.range or (0.0, 1.0)
        scaled = (highest - lowest) * torch.sigmoid(torch.stack((one[:, 0], other[:, 0])))
        return F.huber_loss(scaled[0], scaled[1], reduction="none")
    both = torch.stack((one, other))
    if task.kind != "categorical":
        both = torch.stack((both, torch.zeros_like(both)), dim=-1)
    likely = both.log_softmax(dim=-1)
    shares = likely.exp()
    middle = (shares.mean(dim=0) + TINY).log()
    apart = (shares * (likely - middle)).sum(dim=-1).mean(dim=0)
    return apart if task.kind == "categorical" else apart.mean(dim=1)


def embeddings(parameters: Parameters, given: Batch, text: Tensor, settings: LearningSettings) -> dict[str, Tensor]:
    """Where each modality places the examples in the common space: [n, consistency_dim] of norm one, zero where absent.

    Empty where only text is looked at.
    """
    points, there = _points(_said(parameters, given, text, settings), settings), _there(given)
    return {name: each * there[name].unsqueeze(1) for name, each in points.items()}


def alone(
    parameters: Parameters, given: Batch, text: Tensor, settings: LearningSettings
) -> dict[str, dict[str, Tensor]]:
    """The logits [n, logits] that each modality gives by itself, by modality and task."""
    said = _said(parameters, given, text, settings)
    return {name: {task.name: each[:, at] for task, at in columns(name, settings)} for name, each in said.items()}


def _said(parameters: Parameters, given: Batch, text: Tensor, settings: LearningSettings) -> dict[str, Tensor]:
    """What comes out of each modality's matrix."""
    inputs = {TEXT: text, AUDIO: given.audio, VIDEO: given.video}
    names = widths(settings)
    return {name: torch.addmm(parameters[bias_of(name)], inputs[name], parameters[weight_of(name)]) for name in names}


def _points(said: Mapping[str, Tensor], settings: LearningSettings) -> dict[str, Tensor]:
    return {name: F.normalize(each[:, : settings.consistency_dim], dim=1) for name, each in said.items()}


def _there(given: Batch) -> dict[str, Tensor]:
    return {TEXT: torch.ones(len(given)), AUDIO: given.present[:, 0], VIDEO: given.present[:, 1]}


def _heads(
    said: Mapping[str, Tensor],
    weight: Mapping[str, Tensor],
    labels: Sequence[Targets],
    new: int,
    settings: LearningSettings,
) -> dict[str, Tensor]:
    """What each modality's own heads lose on the labels of new examples, and how far they are from those of text."""
    taught = [_of_new(found, new) for found in labels if found.task.agrees]
    places = {name: {task.name: at for task, at in columns(name, settings)} for name in said}
    zero = torch.zeros(())
    learned, apart = zero, zero
    for name, each in said.items():
        mine = [found for found in taught if found.task.name in places[name]]
        spoken = {found.task.name: each[:new, places[name][found.task.name]] for found in mine}
        lost = losses({f.task.name: spoken[f.task.name][torch.from_numpy(f.examples)] for f in mine}, mine)
        for task, examples in ((found.task, torch.from_numpy(found.examples)) for found in mine):
            learned = learned + _mean(lost[task.name], weight[name][examples])
            if name != TEXT:
                read = said[TEXT][:new, places[TEXT][task.name]]
                apart = apart + _mean(divergence(task, spoken[task.name], read), weight[name])
    return {"alone": learned, "accord": apart}


def _of_new(found: Targets, new: int) -> Targets:
    is_new = found.examples < new
    return Targets(found.task, found.examples[is_new], found.values[is_new])


def _mean(each: Tensor, weight: Tensor) -> Tensor:
    """The mean under weights in [0, 1]; less where they add up to less than one."""
    return (each * weight).sum() / weight.sum().clamp(min=1)

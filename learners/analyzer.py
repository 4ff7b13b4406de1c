"""The analyzer: hashed bags into embeddings, beside a linear bag, one hidden layer, one head a task.

    logits[task] = head[task] · relu(trunk · [embedded bags, dense, audio, video] + b) + Σ linear[task][rows] + b[task]

and, where sentences are read by a pretrained encoder, what its own hidden layer adds (``learners.sentence_layer``).

Parameters are plain arrays by name, so that they can be folded, averaged, rounded and sent one by one. *Tables* have a
row a bucket and start at zero, so that only rows ever touched need be stored: ``embed`` [buckets, dim] and
``linear.TASK`` [buckets, logits]. All others are *dense* and small.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812  # its usual name
from torch import Tensor

from learners import sentence_layer
from learners.encode import FIELDS, Features
from learners.parameters import EMBED, linear_of
from learners.targets import Targets
from learners.tasks import Task

Parameters = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Batch:
    """Encoded examples as tensors. ``positions`` point into tables that hold the rows ``touched`` only.

    touched: int64 [k], sorted, each once; positions: int64 [entries]; bags: int64 [FIELDS·n + 1]; dense: [n, DENSE];
    audio, video: [n, width]; present: [n, 2], one where there is audio, video; clarity: [n]; sentence: [n, width].
    """

    touched: npt.NDArray[np.int64]
    positions: Tensor
    bags: Tensor
    dense: Tensor
    audio: Tensor
    video: Tensor
    present: Tensor
    clarity: Tensor
    sentence: Tensor

    def __len__(self) -> int:
        return len(self.dense)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the dense parameters see of a batch. text: embedded bags [n, FIELDS·dim]; inputs: what the trunk sees
    [n, trunk_inputs]; linear: of each task what is added to its logits [n, logits], by the linear bag and the sentence
    layer; a task without a linear bag is left out."""

    text: Tensor
    inputs: Tensor
    linear: Mapping[str, Tensor]


def batch(features: Features) -> Batch:
    """``features`` as tensors over the rows that occur in them."""
    touched, positions = np.unique(features.rows, return_inverse=True)
    found = (positions, features.starts, features.dense, features.audio, features.video, features.present,
             features.clarity, features.sentence)  # fmt: skip
    return Batch(touched, *map(torch.from_numpy, found))


def masked(given: Batch, kept: Tensor) -> Batch:
    """``given`` as if audio and video were absent wherever ``kept``, [n, 2], is zero."""
    audio, video = given.audio * kept[:, :1], given.video * kept[:, 1:]
    return replace(given, audio=audio, video=video, present=given.present * kept)


def forward(parameters: Parameters, given: Batch, tasks: Sequence[Task]) -> dict[str, Tensor]:
    """The logits of ``tasks``, float32 [n, logits] each. A linear table that is not among the parameters is zero."""
    return heads(parameters, see(parameters, given, tasks), tasks)


def see(parameters: Parameters, given: Batch, tasks: Sequence[Task]) -> Seen:
    """What the dense parameters see of ``given``: the tables are read here and nowhere else."""
    lengths = (given.bags[1:] - given.bags[:-1]).clamp(min=1)
    bags = _bags(given.positions, parameters[EMBED], given.bags) * lengths.rsqrt().unsqueeze(1)
    text = bags.reshape(len(given), -1)
    linear = {
        task.name: _bags(given.positions, parameters[linear_of(task)], given.bags[::FIELDS])
        for task in tasks
        if linear_of(task) in parameters
    }
    for name, added in sentence_layer.added(parameters, given.sentence, list(linear)).items():
        linear[name] = linear[name] + added
    return Seen(text, _inputs(text, given), linear)


def _inputs(text: Tensor, given: Batch) -> Tensor:
    parts = [text, given.dense]
    for at, vectors in enumerate((given.audio, given.video)):
        if vectors.shape[1]:
            parts += [vectors, given.present[:, at : at + 1]]
    return torch.cat(parts, dim=1)


def heads(parameters: Parameters, seen: Seen, tasks: Sequence[Task]) -> dict[str, Tensor]:
    """The logits of ``tasks`` from what the dense parameters see."""
    hidden = torch.relu(torch.addmm(parameters["trunk.bias"], seen.inputs, parameters["trunk.weight"]))
    logits = {}
    for task in tasks:
        weight, bias = parameters[f"head.{task.name}.weight"], parameters[f"head.{task.name}.bias"]
        logits[task.name] = torch.addmm(bias, hidden, weight)
        if task.name in seen.linear:
            logits[task.name] = logits[task.name] + seen.linear[task.name]
    return logits


def _bags(positions: Tensor, table: Tensor, bags: Tensor) -> Tensor:
    return F.embedding_bag(positions, table, bags, mode="sum", include_last_offset=True)


def losses(logits: Mapping[str, Tensor], labels: Sequence[Targets]) -> dict[str, Tensor]:
    """Of each task ℓ(logits_i, label_i), float32 [k], of the k examples labelled; ``logits`` are theirs, [k, logits].

    ℓ is cross-entropy for categorical tasks, and binary cross-entropy summed over logits for the others: of the
    cumulative bits of an ordinal label, of the fraction of a regression one (Papke & Wooldridge 1996, eq. 5).
    """
    found = {}
    for given in labels:
        mine, target = logits[given.task.name], torch.from_numpy(given.values)
        if given.task.kind == "categorical":
            found[given.task.name] = F.cross_entropy(mine, target, reduction="none")
        else:
            found[given.task.name] = F.binary_cross_entropy_with_logits(mine, target, reduction="none").sum(dim=1)
    return found

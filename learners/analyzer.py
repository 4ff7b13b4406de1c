"""The analyzer: hashed bags into embeddings, beside a linear bag, one hidden layer, one head a task.

    logits[task] = head[task] · relu(trunk · [embedded bags, dense] + b) + Σ linear[task][rows] + b[task]

Parameters are plain arrays by name, so that they can be folded, averaged, rounded and sent one by one. *Tables* have a
row a bucket and start at zero, so that only rows ever touched need be stored: ``embed`` [buckets, dim] and
``linear.TASK`` [buckets, logits]. All others are *dense* and small.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812  # its usual name
from torch import Tensor

from learners.encode import FIELDS, Features
from learners.parameters import EMBED, linear_of
from learners.targets import Targets
from learners.tasks import Task

Parameters = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Batch:
    """Encoded examples as tensors. ``positions`` point into tables that hold the rows ``touched`` only.

    touched: int64 [k], sorted, each once; positions: int64 [entries]; bags: int64 [FIELDS·n + 1]; dense: [n, DENSE].
    """

    touched: npt.NDArray[np.int64]
    positions: Tensor
    bags: Tensor
    dense: Tensor


def batch(features: Features) -> Batch:
    """``features`` as tensors over the rows that occur in them."""
    touched, positions = np.unique(features.rows, return_inverse=True)
    return Batch(touched, *map(torch.from_numpy, (positions, features.starts, features.dense)))


def forward(parameters: Parameters, given: Batch, tasks: Sequence[Task]) -> dict[str, Tensor]:
    """The logits of ``tasks``, float32 [n, logits] each. A linear table that is not among the parameters is zero."""
    lengths = (given.bags[1:] - given.bags[:-1]).clamp(min=1)
    bags = _bags(given.positions, parameters[EMBED], given.bags) * lengths.rsqrt().unsqueeze(1)
    seen = torch.cat((bags.reshape(len(given.dense), -1), given.dense), dim=1)
    hidden = torch.relu(torch.addmm(parameters["trunk.bias"], seen, parameters["trunk.weight"]))
    logits = {}
    for task in tasks:
        weight, bias = parameters[f"head.{task.name}.weight"], parameters[f"head.{task.name}.bias"]
        logits[task.name] = torch.addmm(bias, hidden, weight)
        if (linear := parameters.get(linear_of(task))) is not None:
            logits[task.name] = logits[task.name] + _bags(given.positions, linear, given.bags[::FIELDS])
    return logits


def _bags(positions: Tensor, table: Tensor, bags: Tensor) -> Tensor:
    return F.embedding_bag(positions, table, bags, mode="sum", include_last_offset=True)


def losses(logits: Mapping[str, Tensor], labels: Sequence[Targets], weights: Tensor) -> dict[str, Tensor]:
    """Of each task, Σ weight_i · ℓ(logits_i, label_i) over the examples that have a label of it.

    ℓ is cross-entropy for categorical tasks, and binary cross-entropy summed over logits for the others: of the
    cumulative bits of an ordinal label, of the fraction of a regression one (Papke & Wooldridge 1996, eq. 5).
    """
    found = {}
    for given in labels:
        examples, target = torch.from_numpy(given.examples), torch.from_numpy(given.values)
        mine = logits[given.task.name][examples]
        if given.task.kind == "categorical":
            each = F.cross_entropy(mine, target, reduction="none")
        else:
            each = F.binary_cross_entropy_with_logits(mine, target, reduction="none").sum(dim=1)
        found[given.task.name] = (each * weights[examples]).sum()
    return found

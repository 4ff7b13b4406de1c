"""How replayed examples are learned from: experience replay and its kin, by the setting ``replay``.

none      replayed examples weigh nothing
er        their loss beside the new ones' (Chaudhry et al. 2019)
er-ace    the same, but new examples compete only with the classes among the new (Caccia et al. 2022, eq. 4), so that
          classes met for the first time do not push the old ones down
der++     beside the label's loss, the distance to the logits that the model gave when it met the example (Buzzega et
          al. 2020, eq. 6)
der++ace  both
a-gem     new examples only, but never against the replayed ones' gradient (Chaudhry et al. 2019, A-GEM, eq. 11)

The logits met are part of the model: a table of ``SLOTS`` places by hash of the example's id, where a later example
may take an earlier one's place; whose logits are lost is given those of its next replay.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import xxhash
from torch import Tensor

from learners.settings import LearningSettings
from learners.targets import Targets
from schemas.training import TrainExample

Floats = npt.NDArray[np.float32]
Names = npt.NDArray[np.uint64]
State = MutableMapping[str, npt.NDArray[Any]]

SLOTS = 2**14
NEVER = -1e9  # a logit that takes its class out of the softmax


def shares(weights: Floats, new: int, settings: LearningSettings) -> Floats:
    """What each example's loss is multiplied with: its weight over the size of its part, new or replayed."""
    factor = {"none": 0.0, "a-gem": 0.0}.get(settings.replay, settings.replay_weight)
    if settings.replay.startswith("der++"):
        factor *= settings.der_beta
    size = np.full(len(weights), 1 / max(new, 1), dtype=np.float32)
    size[new:] = factor / max(len(weights) - new, 1)
    return weights * size


def rivals(logits: Tensor, given: Targets, new: int, settings: LearningSettings) -> Tensor:
    """The logits of the examples labelled, float32 [k, logits]; under ``er-ace`` those of the ``new`` examples (the
    first of the batch) are without the classes that none of them has."""
    mine = logits[torch.from_numpy(given.examples)]
    if "ace" not in settings.replay or given.task.kind != "categorical":
        return mine
    is_new = torch.from_numpy(given.examples) < new
    absent = ~torch.from_numpy(given.values).bool()[is_new].any(dim=0)
    return mine.masked_fill(is_new.unsqueeze(1) & absent.unsqueeze(0), NEVER)


def rehearsed(
    state: State, examples: Sequence[TrainExample], new: int, labels: Sequence[Targets], logits: Mapping[str, Tensor],
    weights: Floats, settings: LearningSettings,
) -> dict[str, Tensor]:  # fmt: skip
    """The part of the loss that DER++ adds, α times the mean over replayed examples of ‖z − z'‖² / logits, by name.

    z' are the logits met. Those of new examples, and of replayed ones whose logits were lost, are kept from now on.
    """
    if not settings.replay.startswith("der++"):
        return {}
    names = names_of([example.id for example in examples])
    share = weights * np.float32(settings.der_alpha * settings.replay_weight / max(len(examples) - new, 1))
    total = torch.zeros(())
    for given in labels:
        z = logits[given.task.name][torch.from_numpy(given.examples)]
        met, known = recall(state, given, names)
        again = torch.from_numpy(known & (given.examples >= new))
        far = (z - torch.from_numpy(met)).square().mean(dim=1) * torch.from_numpy(share[given.examples])
        total = total + far[again].sum()
        remember(state, given, names, z.detach().numpy(), known)
    return {"rehearsal": total}


def names_of(ids: Sequence[str]) -> Names:
    """A 64-bit hash of each id, never zero."""
    return np.array([xxhash.xxh3_64_intdigest(id_.encode()) or 1 for id_ in ids], dtype=np.uint64)


def recall(state: Mapping[str, npt.NDArray[Any]], given: Targets, names: Names) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """The logits met of the examples labelled, float32 [k, logits], and of which there are any, bool [k]."""
    mine = names[given.examples]
    if (held := state.get(f"met/{given.task.name}.names")) is None:
        return np.zeros((len(mine), given.task.logits), dtype=np.float32), np.zeros(len(mine), dtype=bool)
    places = mine % np.uint64(SLOTS)
    return np.asarray(state[f"met/{given.task.name}"][places], dtype=np.float32), held[places] == mine


def remember(state: State, given: Targets, names: Names, logits: Floats, known: npt.NDArray[np.bool_]) -> None:
    """Keep the ``logits`` [k, logits] of the examples labelled whose logits are not ``known`` [k]."""
    lost = names[given.examples[~known]]
    key = f"met/{given.task.name}"
    if key not in state:
        state[key] = np.zeros((SLOTS, given.task.logits), dtype=np.float32)
        state[f"{key}.names"] = np.zeros(SLOTS, dtype=np.uint64)
    state[key][lost % np.uint64(SLOTS)] = logits[~known]
    state[f"{key}.names"][lost % np.uint64(SLOTS)] = lost

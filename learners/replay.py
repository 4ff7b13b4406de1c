"""Which remembered examples a request replays: half uniform, half by priority, with weights that correct for it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from learners.memory import Memory


class Replay(NamedTuple):
    """Ids to replay and, for each, the weight of its loss: in (0, 1], the largest is one."""

    ids: tuple[str, ...]
    weights: tuple[float, ...]


def sample(memory: Memory, n: int, seed: int) -> Replay:
    """At most ``n`` ids without replacement, a function of content and seed: half uniform, half by ``weight ** alpha``.

    The weights are ``(N P_i) ** -beta`` over their maximum, with P_i the chance of entry i in the mixture of both
    halves (Schaul 2016, section 3.4); the uniform half keeps N P_i above 1/2 and the correction bounded.
    The draws by priority are the n smallest exponentials of rate weight ** alpha (Efraimidis & Spirakis 2006).
    """
    entries = memory.ordered
    n = min(n, len(entries))
    if n == 0:
        return Replay((), ())
    priority = np.fromiter((entry.weight for entry in entries), float, len(entries)) ** memory.settings.alpha
    uniform, ranks = np.random.default_rng(seed).exponential(size=(2, len(entries)))
    half = n - n // 2
    chosen = np.argsort(uniform, kind="stable")[:half]
    ranks /= priority
    ranks[chosen] = np.inf
    chosen = np.concatenate([chosen, np.argsort(ranks, kind="stable")[: n - half]])
    chance = half / n / len(entries) + (1 - half / n) * priority[chosen] / priority.sum()
    weights = (len(entries) * chance) ** -memory.settings.beta
    return Replay(tuple(entries[i].id for i in chosen), tuple((weights / weights.max()).tolist()))

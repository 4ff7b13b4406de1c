"""Which remembered examples a request replays: half uniform, half by priority, with weights that correct for it."""

from __future__ import annotations

from typing import NamedTuple

from learners.memory import Memory


class Replay(NamedTuple):
    """Ids to replay and, for each, the weight of its loss: in (0, 1], the largest is one."""

    ids: tuple[str, ...]
    weights: tuple[float, ...]


def sample(memory: Memory, n: int, seed: int) -> Replay:
    """At most ``n`` ids without replacement, a function of content and seed: half uniform, half by ``weight ** alpha``.

    The weights are ``(N P_i) ** -beta`` over their maximum, with P_i the chance of entry i in the mixture of both
    halves (Schaul 2016, section 3.4); the uniform half keeps N P_i above 1/2 and the correction bounded.
    Each draw by priority is in proportion to it among what was not drawn before (``learners.lots``).
    """
    size = len(memory)
    n = min(n, size)
    if n == 0:
        return Replay((), ())
    half = n - n // 2
    drawn, total = memory.lots.draw(half, n - half, seed), memory.lots.total
    chances = (half / n / size + (1 - half / n) * (priority / total) for priority in drawn.values())
    weights = [(size * chance) ** -memory.settings.beta for chance in chances]
    most = max(weights)
    return Replay(tuple(drawn), tuple(weight / most for weight in weights))

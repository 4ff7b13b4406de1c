"""What one learner or rater may have of a request: places in the batch, and weight in the gradient.

The memory keeps its own caps (``learners.memory``). These are relative to who else is there: nobody is held back where
nobody else waits, and who is alone has everything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import accumulate

Names = tuple[str | None, ...]
SLACK = 1e-9  # of a sum of floats


def turn(who: Sequence[Names], size: int, shares: Sequence[float]) -> list[int]:
    """Which of those who wait come into a batch of ``size``: their places in line, rising.

    ``who`` has, for each in the order in which they wait, a name of each kind (learner, rater), None where there is
    none; ``shares`` is what one name of each kind may have of the batch, at least one place, and at least as much as
    all names in line would have if they had the same. First come those whose every name has room, in order; places left
    over go to the others, in order. So no place stays empty while somebody waits, the first always comes, and whoever
    is n-th comes within n batches.
    """
    if len(who) <= size:
        return list(range(len(who)))
    most = [_places(size, share, names) for share, names in zip(shares, zip(*who, strict=True), strict=True)]
    taken: Counter[tuple[int, str]] = Counter()
    chosen: list[int] = []
    passed: list[int] = []
    for at, names in enumerate(who):
        if len(chosen) == size:
            break
        held = [(kind, name) for kind, name in enumerate(names) if name is not None]
        if all(taken[kind, name] < most[kind] for kind, name in held):
            taken.update(held)
            chosen.append(at)
        else:
            passed.append(at)
    return sorted([*chosen, *passed[: size - len(chosen)]])


def _places(size: int, share: float, names: Sequence[str | None]) -> int:
    present = len(set(names) - {None})
    return max(int(max(share, 1 / max(present, 1)) * size), 1)


def capped(weights: Sequence[float], names: Sequence[str | None], share: float) -> list[float]:
    """``weights`` >= 0, those of each name scaled so that their sum is at most ``share`` of the sum that is left.

    Where too few are present for that, the cap is what each would have if all had the same; what has no name is never
    scaled and counts as one more. Nothing grows, and what is below its cap keeps its weight to the bit.
    """
    sums: dict[str | None, float] = {}
    for name, weight in zip(names, weights, strict=True):
        sums[name] = sums.get(name, 0.0) + weight
    present = sum(total > 0 for total in sums.values())
    nameless = sums.pop(None, 0.0)
    cap = max(share, 1 / max(present, 1))
    level = _level(sorted(sums.values()), nameless, cap)
    factors = {name: level / total for name, total in sums.items() if total > level * (1 + SLACK)}
    if not factors:
        return list(weights)
    return [weight * factors.get(name, 1.0) if name else weight for name, weight in zip(names, weights, strict=True)]


def _level(sums: Sequence[float], nameless: float, cap: float) -> float:
    """The largest sum that a name may keep: ``cap`` times all that is left once the larger ones are cut to it.

    ``sums`` rise. With j of them cut to L the total is T = rest + j · L, so that L = cap · T = cap · rest / (1 - j ·
    cap). The last is never cut where nothing is nameless, for then ``cap`` is at least one over their number.
    """
    rests = list(accumulate(sums, initial=nameless))
    level = 0.0
    for cut, most in enumerate(reversed(sums)):
        level = cap * rests[len(sums) - cut] / (1 - cut * cap)
        if most <= level * (1 + SLACK):
            return level
    return cap * nameless / (1 - len(sums) * cap) if nameless else level

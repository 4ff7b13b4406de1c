"""Lots: few are looked at, however many there are."""

from __future__ import annotations

import pytest

from learners.entry import Entry
from learners.lots import ONE, Lots

DRAWS, ROUNDS = 32, 100


class Counted(dict[str, Entry]):
    """Entries that count how often one is looked at."""

    looks = 0

    def __getitem__(self, id: str) -> Entry:
        self.looks += 1
        return super().__getitem__(id)


def entries(n: int, weight: float = 0.5) -> Counted:
    return Counted({f"e{i}": Entry(f"e{i}", 0.0, weight * 0.9 ** (i % 30), "a", None, None, 0) for i in range(n)})


@pytest.mark.parametrize("n", [100, 1_000, 10_000])
def test_a_draw_looks_at_as_few_of_many_as_of_some(n: int) -> None:
    """Evenly once; by priority at most twice until one stands, on average, and once more to know it."""
    held = entries(n)
    lots = Lots(0.6, held)
    held.looks = 0
    for seed in range(ROUNDS):
        lots.draw(DRAWS // 2, DRAWS // 2, seed)
    anew = 1 / (1 - DRAWS / n)  # for those that were drawn before
    assert held.looks < 1.1 * ROUNDS * DRAWS / 2 * (anew + 2 * anew + 1)


def test_priorities_are_weights_to_the_power_of_alpha_in_whole_units() -> None:
    held = entries(30)
    lots = Lots(2.0, held)
    assert [lots.priority(id) / ONE for id in held] == pytest.approx([one.weight**2 for one in held.values()])
    assert lots.total == sum(map(lots.priority, held))


def test_the_least_priority_is_one_unit_so_that_everything_can_be_drawn() -> None:
    assert Lots(10.0, entries(1, weight=1e-9)).total == 1


def test_what_went_is_not_drawn() -> None:
    held = entries(8)
    lots = Lots(0.6, held)
    for id in ("e1", "e5"):
        lots.drop(id)
        del held[id]
    assert set(lots.draw(3, 3, seed=0)) == set(held)
    assert len(lots) == len(held)

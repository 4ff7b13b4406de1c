"""Rows about processes: killed, stopped, raced, replaced."""

from __future__ import annotations

from functools import partial

from streams.chaos.matrix import Row
from streams.chaos.stand import Stand
from streams.roles import ROLES


def killed(role: str, here: Stand) -> None:
    """SIGKILL of one role, three times, each after a seeded number of outcomes."""
    crew = here.start(*ROLES)
    here.play()
    for _ in range(3):
        here.reach(role, here.random.randint(3, 12))
        crew.kill(role)
        here.recovered("restart", role)


ROWS = tuple(
    Row(
        f"kill-{role}",
        f"SIGKILL of {role} at work, three times",
        "it is started again and goes on where it was",
        partial(killed, role),
    )
    for role in ROLES
)

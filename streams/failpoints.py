"""Named moments between the steps of a batch at which a process that was told so kills itself.

``CURRERE_FAILPOINT=after-commit:3`` ends the process by SIGKILL when it comes by ``after-commit`` for the third time,
``poison:ID`` whenever it is about to decide the event ``ID``. For `currere chaos` and tests; a process that was told
nothing pays for a comparison with None.

What is armed belongs to the process, as a signal handler does: handing it through every constructor would put the fault
into every signature.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from schemas.errors import ConfigurationError

ENVIRONMENT = "CURRERE_FAILPOINT"

BEFORE_COMMIT = "before-commit"  # decided, and the store does not know
AFTER_COMMIT = "after-commit"  # the store knows, and nothing was sent
BETWEEN_OUTPUTS = "between-outputs"  # the log has the first outputs of a batch, and not the others
BEFORE_ACKNOWLEDGEMENT = "before-acknowledgement"  # the log has them all, and the owner does not know
BETWEEN_STEP_AND_DELTA = "between-step-and-delta"  # folded and its step published; no consumer has the change
BETWEEN_DELTA_AND_SNAPSHOT = "between-delta-and-snapshot"
BEFORE_CHECKPOINT = "before-checkpoint"  # the blob lies there, and nothing names it
OF_A_SHARD = (BEFORE_COMMIT, AFTER_COMMIT, BETWEEN_OUTPUTS, BEFORE_ACKNOWLEDGEMENT)
OF_THE_WORKER = (BETWEEN_STEP_AND_DELTA, BETWEEN_DELTA_AND_SNAPSHOT, BEFORE_CHECKPOINT)
POISON = "poison"


@dataclass(slots=True)
class _Armed:
    name: str
    left: int = 0
    id: str = ""


_armed: _Armed | None = None


def arm(told: str | None) -> None:
    """Be ready to die as ``told``: ``NAME:N`` or ``poison:ID``; None or empty: never.

    Raises ConfigurationError.
    """
    global _armed
    _armed = _read(told) if told else None


def pass_by(name: str, first: Callable[[float], object] | None = None) -> None:
    """Die here if it was told so and this is the time; before that call ``first`` with a timeout of some seconds."""
    if _armed is None or _armed.name != name:
        return
    _armed.left -= 1
    if _armed.left == 0:
        if first is not None:
            first(5.0)
        os.kill(os.getpid(), signal.SIGKILL)


def meet(ids: Iterable[str]) -> None:
    """Die if the poison is among the events of these ids."""
    if _armed is not None and _armed.name == POISON and _armed.id in ids:
        os.kill(os.getpid(), signal.SIGKILL)


def _read(told: str) -> _Armed:
    name, _, rest = told.partition(":")
    if name == POISON and rest:
        return _Armed(POISON, id=rest)
    if name not in (*OF_A_SHARD, *OF_THE_WORKER) or not rest.isdecimal() or int(rest) < 1:
        names = ", ".join((*OF_A_SHARD, *OF_THE_WORKER))
        raise ConfigurationError(f"{ENVIRONMENT}={told} is not NAME:N with a name of {names}, nor {POISON}:ID")
    return _Armed(name, int(rest))

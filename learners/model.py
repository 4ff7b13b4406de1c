"""The model between two requests: parameters, how they came to be, and where in the log it stands."""

from __future__ import annotations

import hashlib
import math
import mmap
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from learners.folded import Folded
from learners.optimiser import TOUCHES, packed_width
from learners.parameters import dense_shapes, table_widths, task_of
from learners.served import Halves, Served, merkle_root
from learners.settings import LearningSettings
from schemas.errors import UnusableEvent
from schemas.training import TrainRequest

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Table:
    """A table by row. ``packed``: float32 [buckets, 2·width + 2], a row as ``optimiser.step_rows`` knows it, in one
    piece, so that a step reaches into memory once a row; ``served``: its average, rounded. Rows never touched are zero.
    """

    packed: Floats
    served: Halves

    @classmethod
    def zero(cls, buckets: int, width: int) -> Table:
        """A table that nothing has touched; its pages take no memory until something does, or ``take_memory``."""
        packed = np.zeros((buckets, packed_width(width)), dtype=np.float32)
        return cls(packed, np.zeros((buckets, width), dtype=np.float16))

    @property
    def width(self) -> int:
        """Numbers in a row."""
        return int(self.served.shape[1])

    def rows(self) -> Rows:
        """The rows ever touched, rising."""
        return np.flatnonzero(self.packed[:, TOUCHES])

    def take_memory(self) -> None:
        """Touch each page, and change nothing: what learning will need is taken now, and does not grow later."""
        for array in (self.packed, self.served):
            once_a_page = array.reshape(-1)[:: mmap.PAGESIZE // array.itemsize]
            once_a_page[:] = once_a_page.copy()  # numpy passes over what is assigned to itself


@dataclass(frozen=True, slots=True)
class Dense:
    """A dense parameter. ``packed``: float32 [4, ...], as ``optimiser.step_dense`` knows it; ``served``: its average,
    rounded; ``steps``: int64 [1], how often it was stepped."""

    packed: Floats
    served: Halves
    steps: npt.NDArray[np.int64]

    @classmethod
    def at(cls, value: Floats) -> Dense:
        """A parameter that begins at ``value``."""
        nothing = np.zeros_like(value)
        return cls(np.stack((value, value, nothing, nothing)), value.astype(np.float16), np.zeros(1, dtype=np.int64))


@dataclass(frozen=True, slots=True)
class Model:
    """All that folding on depends on. ``version`` is ``lineage:next_offset``.

    ``folded`` holds the hashes of the requests and the new examples folded last. ``state`` is what a step hands to the
    next beside parameters, each array by the name that its module gives it: multipliers of constraints (``guidance``),
    paces of groups (``pace/…``), Fisher information and anchors (``fisher/…``, ``anchor/…``), logits met (``met/…``),
    the probe and its scores (``probe…``). ``fold`` and ``step`` consume a model: they change its arrays in place.
    """

    settings: LearningSettings
    lineage: str
    next_offset: int
    steps: int
    tables: Mapping[str, Table]
    dense: Mapping[str, Dense]
    folded: Folded = field(repr=False)
    state: dict[str, npt.NDArray[Any]] = field(default_factory=dict, repr=False)

    @property
    def version(self) -> str:
        """What events call it."""
        return f"{self.lineage}:{self.next_offset}"

    def is_taught(self, task: str | None) -> bool:
        """Whether a step has had a label of ``task``; None stands for what all tasks share."""
        return task is None or bool(self.dense[f"head.{task}.bias"].steps[0])


def genesis(manifest: TrainRequest, request_id: str, offset: int = 0) -> Model:
    """The model that the genesis record ``request_id`` at ``offset`` begins; its seed draws the dense parameters.

    Raises:
        UnusableEvent: the record is no genesis.
        ConfigurationError: its settings cannot be.
    """
    if manifest.kind != "genesis":
        raise UnusableEvent(f"a lineage begins with a genesis record, not with a {manifest.kind}")
    settings = LearningSettings.from_dict(manifest.settings or {})
    draw = np.random.Generator(np.random.PCG64(manifest.seed))
    return Model(
        settings=settings,
        lineage=hashlib.sha256(request_id.encode()).hexdigest()[:16],
        next_offset=offset + 1,
        steps=0,
        tables={name: Table.zero(settings.buckets, width) for name, width in table_widths(settings).items()},
        dense={name: Dense.at(_initial(name, shape, draw)) for name, shape in dense_shapes(settings).items()},
        folded=Folded([id_hash(request_id)]),
    )


def _initial(name: str, shape: tuple[int, ...], draw: np.random.Generator) -> Floats:
    """Normal with variance 2 / inputs (He et al. 2015, eq. 10) but for heads and biases, which begin at zero."""
    if name.startswith("head.") or not name.endswith("weight"):
        return np.zeros(shape, dtype=np.float32)
    return draw.standard_normal(shape, dtype=np.float32) * np.float32(math.sqrt(2 / shape[0]))


def served_view(model: Model) -> Served:
    """What leaves of ``model``: its rounded averages, *until it is folded on*, which changes them under the view.

    The linear table of a task that was never taught is left out.
    """
    tables = {name: table.served for name, table in model.tables.items() if model.is_taught(task_of(name))}
    dense = {name: dense.served for name, dense in model.dense.items()}
    return Served(model.settings, model.lineage, model.next_offset, {**tables, **dense})


def served(model: Model) -> Served:
    """A copy of what leaves of ``model``, to keep."""
    view = served_view(model)
    return replace(view, arrays={name: array.copy() for name, array in view.arrays.items()})


def served_digest(model: Model) -> str:
    """The digest of what leaves of ``model``."""
    return served_view(model).digest()


def trained_digest(model: Model) -> str:
    """Merkle root over everything that training depends on but the ids of what was folded."""
    arrays: dict[str, npt.NDArray[np.generic]] = {name: table.packed for name, table in model.tables.items()}
    for name, dense in model.dense.items():
        arrays |= {name: dense.packed, f"{name}:steps": dense.steps}
    arrays |= {f"state:{name}": array for name, array in model.state.items()}
    return merkle_root(arrays)


def id_hash(identifier: str) -> bytes:
    """Sixteen bytes that stand for an id among those folded: as ids they would outgrow the weights."""
    return xxhash.xxh3_128_digest(identifier.encode())

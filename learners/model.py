"""The model between two requests: parameters, how they came to be, and where in the log it stands."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import xxhash

from learners.parameters import EMBED, dense_shapes, table_widths
from learners.served import Arrays, Served, merkle_root
from learners.settings import LearningSettings
from schemas.errors import UnusableEvent
from schemas.training import TrainRequest

Floats = npt.NDArray[np.float32]
Counts = npt.NDArray[np.uint32]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Table:
    """A table by row: what was trained, its served average in float32 and rounded, its Adagrad accumulators, and how
    often each row was touched. A row never touched is zero in all of them."""

    trained: Floats
    average: Floats
    served: npt.NDArray[np.float16]
    squares: Floats
    touches: Counts

    @classmethod
    def zero(cls, buckets: int, width: int) -> Table:
        """A table that nothing has touched; its pages take no memory until something does."""
        shape = (buckets, width)
        floats, halves = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float16)
        squares, touches = np.zeros(buckets, dtype=np.float32), np.zeros(buckets, dtype=np.uint32)
        return cls(floats, np.zeros(shape, dtype=np.float32), halves, squares, touches)


@dataclass(frozen=True, slots=True)
class Dense:
    """A dense parameter: trained, its average in float32 and rounded, AdamW's moments, and how often it was stepped."""

    trained: Floats
    average: Floats
    served: npt.NDArray[np.float16]
    first: Floats
    second: Floats
    touches: Counts  # of one element

    @classmethod
    def at(cls, value: Floats) -> Dense:
        """A parameter that begins at ``value``."""
        halves, moment = value.astype(np.float16), np.zeros_like(value)
        return cls(value, value.copy(), halves, moment, moment.copy(), np.zeros(1, dtype=np.uint32))


@dataclass(frozen=True, slots=True)
class Model:
    """All that folding on depends on. ``version`` is ``lineage:next_offset``.

    ``seen`` counts, up to 255, the new examples that had each row; ``folded`` holds the hashes of the requests and the
    new examples folded so far, in order. ``fold`` and ``step`` consume a model: they change its arrays in place.
    """

    settings: LearningSettings
    lineage: str
    next_offset: int
    steps: int
    tables: Mapping[str, Table]
    dense: Mapping[str, Dense]
    seen: npt.NDArray[np.uint8]
    folded: dict[bytes, None] = field(repr=False)

    @property
    def version(self) -> str:
        """What events call it."""
        return f"{self.lineage}:{self.next_offset}"

    def trained_arrays(self) -> Arrays:
        """Every array that training depends on, by name."""
        found: dict[str, npt.NDArray[np.generic]] = {"seen": self.seen}
        for name, table in self.tables.items():
            if table.touches.any():
                parts = {"trained": table.trained, "average": table.average, "squares": table.squares}
                found |= {f"{name}:{part}": array for part, array in parts.items()}
                found[f"{name}:touches"] = table.touches
        for name, dense in self.dense.items():
            parts = {"trained": dense.trained, "average": dense.average, "first": dense.first, "second": dense.second}
            found |= {f"{name}:{part}": array for part, array in parts.items()}
            found[f"{name}:touches"] = dense.touches
        return found


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
        seen=np.zeros(settings.buckets, dtype=np.uint8),
        folded={id_hash(request_id): None},
    )


def _initial(name: str, shape: tuple[int, ...], draw: np.random.Generator) -> Floats:
    """Normal with variance 2 / inputs for the trunk (He et al. 2015, eq. 10); heads and biases begin at zero."""
    if name != "trunk.weight":
        return np.zeros(shape, dtype=np.float32)
    return draw.standard_normal(shape, dtype=np.float32) * np.float32(math.sqrt(2 / shape[0]))


def served_view(model: Model) -> Served:
    """What leaves of ``model``: its rounded averages, *until it is folded on*, which changes them under the view.

    A linear table that nothing has touched is left out.
    """
    tables = {name: table.served for name, table in model.tables.items() if name == EMBED or table.touches.any()}
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
    """Merkle root over everything that training depends on."""
    return merkle_root(model.trained_arrays())


def id_hash(identifier: str) -> bytes:
    """Sixteen bytes that stand for an id among those folded: as ids they would outgrow the weights."""
    return xxhash.xxh3_128_digest(identifier.encode())

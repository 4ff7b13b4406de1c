"""What the targets are about: an interaction that was judged, and what a figure over many of them has to offer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import xxhash

from schemas.feedback import LabelValue
from schemas.prediction import Output

Floats = npt.NDArray[np.float64]
Row = tuple[float, ...]
Outputs = Mapping[str, Output]


@dataclass(frozen=True, slots=True)
class Judged:
    """An interaction whose labels have come, and what had been said of it.

    ``unit`` is what is independent of other units, the session; ``by_modality`` has outputs from one modality alone.
    """

    unit: str
    item: str
    rater: str
    labels: Mapping[str, LabelValue]
    outputs: Outputs
    by_modality: Mapping[str, Outputs] = field(default_factory=dict)


class Goal(Protocol):
    """A figure with a target: more is better."""

    @property
    def name(self) -> str:
        """What it is called, the same in every report."""

    @property
    def target(self) -> float:
        """The least value that meets it."""

    @property
    def ceiling(self) -> float | None:
        """What people reach who are judged the same way, if that is known."""

    def row(self, judged: Judged) -> Row | None:
        """What ``judged`` has to say about it; None if nothing."""

    def figure(self, rows: Floats) -> float:
        """Its value over ``rows`` [n, ...]; NaN where that is undefined."""

    def parts(self, rows: Floats) -> dict[str, float]:
        """What its value consists of, and what it must be read beside, by name."""


def likeliest(output: Output | None) -> str | None:
    """The most likely class of an output; None if it has no probabilities."""
    probabilities = output.probabilities if output else None
    return max(probabilities, key=probabilities.__getitem__) if probabilities else None


def name_code(name: str) -> float:
    """A number that stands for a name, exact as float64: 52 bits of its XXH3."""
    return float(xxhash.xxh3_64_intdigest(name.encode()) >> 12)


def f1(true: npt.NDArray[np.bool_], said: npt.NDArray[np.bool_]) -> float:
    """2 TP / (2 TP + FP + FN); NaN where it neither came nor was said."""
    both = int(true.sum()) + int(said.sum())
    return 2 * int((true & said).sum()) / both if both else math.nan

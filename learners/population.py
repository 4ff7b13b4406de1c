"""Change in what is said to the model, whether or not anybody labels it: recent inputs against a reference.

Inputs come as the rows of ``learners.sketch``, in panes. The first panes become the reference of each part: its scale,
then the moments of its features. From then on the last panes are compared with it: each number by Kolmogorov's and
Smirnov's test, corrected together (Holm 1979); words, audio, video, and how two of them go together by the means of
features (``learners.shift.compare_means``). A part that has changed begins a new reference.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from zlib import crc32

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from learners.part_features import COSINES, PRODUCTS, columns_of_parts, features_of, scale_of
from learners.shift import Floats, Moments, compare_means, holm, ks
from learners.sketch import NUMBERS, PARTS, WIDTH, Row

MOST_MET = 1_000  # interactions known by a hash, so that a second label on one shows it no second time
TELLING = 3  # examples named as those that show a change most


@dataclass(frozen=True, slots=True)
class PopulationSettings:
    """Panes of ``pane`` inputs; the last ``recent`` ones are compared with ``reference`` panes, of numbers ``numbers``.

    ``alpha`` is the chance of one false alarm of one part at one comparison, as if inputs were independent; since those
    of a lesson are not, ``effect`` is the least distance of means, in standard deviations, and ``distance`` the least
    of a number's distributions, in [0, 1], that are told of.
    """

    pane: int = 50
    reference: int = 40
    numbers: int = 12
    recent: int = 10
    alpha: float = 1e-6
    effect: float = 0.3
    distance: float = 0.2


class ShiftSeen(NamedTuple):
    """What was seen at ``example``, the ``n``-th input: in ``part``, by ``detector`` (mmd or ks), how large, how sure.

    ``before`` and ``after`` are means: of a number itself, or along the direction of the change, 0 before.
    ``telling`` names the recent examples that lie furthest along it.
    """

    part: str
    detector: str
    before: float
    after: float
    effect: float
    p: float
    n: int
    example: str
    telling: tuple[str, ...] = ()


@dataclass
class Part:
    """One part's reference and the panes since: (count, mean of its features) each."""

    scale: tuple[Floats, Floats] | None = None  # mean and deviation of each column that is used
    reference: Moments | None = None
    panes: int = 0  # that the reference holds
    recent: list[tuple[int, Floats]] = field(default_factory=list)


class Population:
    """The references and recent panes of every part. Pure: equal rows in equal order give equal findings and bytes."""

    def __init__(self, settings: PopulationSettings = PopulationSettings()) -> None:
        self.settings = settings
        self.parts: dict[str, Part] = {}
        self.numbers: list[Row] = []  # panes of numbers: the reference's, then the recent ones
        self.open: list[tuple[str, Row]] = []
        self.met: dict[int, None] = {}
        self.n = 0

    def meets(self, interaction: str) -> bool:
        """Whether ``interaction`` was not met before, as far as is remembered; from now on it was."""
        place = crc32(interaction.encode())
        if place in self.met:
            return False
        self.met[place] = None
        if len(self.met) > MOST_MET:
            del self.met[next(iter(self.met))]
        return True

    def update(self, example: str, row: Row) -> list[ShiftSeen]:
        """Show one input; what a pane that it completes shows to have changed."""
        self.open.append((example, row))
        self.n += 1
        if len(self.open) < self.settings.pane:
            return []
        ids, rows = [id_ for id_, _ in self.open], np.array([held for _, held in self.open])
        self.open = []
        seen = self._numbers(rows, example)
        there = ~np.isnan(rows).all(axis=0)
        for name, columns in columns_of_parts():
            if all(there[each.start] for each in columns):
                seen += self._part(name, columns, ids, rows, example)
        return seen

    def _part(
        self, name: str, columns: tuple[slice, ...], ids: Sequence[str], rows: Row, example: str
    ) -> list[ShiftSeen]:
        here = self.parts.setdefault(name, Part())
        given = [rows[:, each].astype(np.float64) for each in columns]
        if here.scale is None:
            here.scale = scale_of(given)
        if here.scale is None:
            return []
        whole, features = features_of(name, given, here.scale)
        if not len(features):
            return []
        if here.panes < self.settings.reference:
            here.reference = Moments.of(features).merge(here.reference or Moments.none(features.shape[1]))
            here.panes += 1
            return []
        here.recent = [*here.recent, (len(features), features.mean(axis=0))][-self.settings.recent :]
        if here.reference is None or len(here.recent) < 2 or here.reference.n < 3 * len(here.reference.mean):
            return []
        counts = np.cumsum([count for count, _ in here.recent[::-1]])
        means = np.cumsum([count * mean for count, mean in here.recent[::-1]], axis=0) / counts[:, None]
        found = min(compare_means(here.reference, means[1:], counts[1:].tolist()), key=lambda one: one.p)
        p = min(found.p * (len(counts) - 1), 1.0)  # the last two panes, three, and so on: as many tests
        if p > self.settings.alpha or found.effect < self.settings.effect:
            return []
        along = (features - here.reference.mean) @ found.towards / max(found.effect, 1e-9)
        telling = tuple(ids[whole[place]] for place in np.argsort(-along)[:TELLING])
        self.parts[name] = Part()
        return [ShiftSeen(name, "mmd", 0.0, found.effect, found.effect, p, self.n, example, telling)]

    def _numbers(self, rows: Row, example: str) -> list[ShiftSeen]:
        reference, recent = self.settings.numbers, self.settings.recent
        self.numbers.append(rows[:, PARTS["numbers"]])
        if len(self.numbers) < reference + recent:
            return []
        before, after = np.concatenate(self.numbers[:reference]), np.concatenate(self.numbers[reference:])
        del self.numbers[reference]
        tried, found = [], []
        for place, name in enumerate(NUMBERS):
            if np.isnan(after[-1, place]) and np.isnan(after[:, place]).all():
                continue
            one, two = (held[:, place][~np.isnan(held[:, place])] for held in (before, after))
            if min(len(one), len(two)) >= self.settings.pane and max(one.max(), two.max()) > min(one.min(), two.min()):
                tried.append((name, one, two, *ks(one, two)))
        for (name, one, two, statistic, _), p in zip(tried, holm([each[-1] for each in tried]), strict=True):
            if p <= self.settings.alpha and statistic >= self.settings.distance:
                found.append(ShiftSeen(name, "ks", float(one.mean()), float(two.mean()), statistic, p, self.n, example))
        if found:
            self.numbers = []
        return found

    def _form(self) -> list[int]:
        return [WIDTH, PRODUCTS, COSINES, self.settings.pane]

    def to_bytes(self) -> bytes:
        """Everything, as safetensors."""
        arrays: dict[str, npt.NDArray[np.generic]] = {
            "open": np.array([row for _, row in self.open], np.float32).reshape(-1, WIDTH),
            "met": np.array(list(self.met), np.uint32),
            "numbers": np.array(self.numbers, np.float32).reshape(-1, self.settings.pane, len(NUMBERS)),
        }
        for name, part in self.parts.items():
            if part.scale is not None:
                arrays |= {f"{name}.mean": part.scale[0], f"{name}.deviation": part.scale[1]}
            if part.reference is not None:
                arrays |= {f"{name}.center": part.reference.mean, f"{name}.m2": part.reference.m2}
            if part.recent:
                arrays[f"{name}.recent"] = np.array([mean for _, mean in part.recent])
        said = {
            "form": self._form(),
            "n": self.n,
            "ids": [id_ for id_, _ in self.open],
            "parts": {
                name: [p.panes, p.reference.n if p.reference else 0, [count for count, _ in p.recent]]
                for name, p in self.parts.items()
            },
        }
        return save(arrays, {"said": json.dumps(said)})

    @classmethod
    def from_bytes(cls, value: bytes, settings: PopulationSettings = PopulationSettings()) -> Population:
        """The inverse of ``to_bytes``. Raises ValueError or KeyError, also where panes or features are others now."""
        try:
            arrays = load(value)
        except SafetensorError as error:
            raise ValueError(f"no population: {error}") from error
        length = int.from_bytes(value[:8], "little")
        said, found = json.loads(json.loads(value[8 : 8 + length])["__metadata__"]["said"]), cls(settings)
        if said["form"] != found._form():
            raise ValueError(f"a population of form {said['form']}, not {found._form()}")
        found.n, found.numbers = said["n"], list(arrays["numbers"])
        found.met = dict.fromkeys(arrays["met"].tolist())
        found.open = list(zip(said["ids"], arrays["open"], strict=True))
        for name, (panes, held, counts) in said["parts"].items():
            scale = (arrays[f"{name}.mean"], arrays[f"{name}.deviation"]) if f"{name}.mean" in arrays else None
            moments = Moments(held, arrays[f"{name}.center"], arrays[f"{name}.m2"]) if held else None
            recent = list(zip(counts, arrays[f"{name}.recent"], strict=True)) if counts else []
            found.parts[name] = Part(scale, moments, panes, recent)
        return found

"""What the analyzer learns to say of an utterance: tasks are data."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Literal, get_args

from schemas.errors import ConfigurationError, UnusableEvent
from schemas.feedback import LabelValue
from schemas.interaction import SpeakerRole

Kind = Literal["categorical", "ordinal", "regression", "multilabel"]

Constraint = Literal["question_quality", "wait_time", "scaffolding", "responsiveness"]
Modality = Literal["audio", "video"]
KIND_OF: Mapping[Constraint, Kind] = {
    "question_quality": "categorical", "wait_time": "regression", "scaffolding": "multilabel",
    "responsiveness": "regression",
}  # fmt: skip

DEFAULT_FILE = Path(__file__).with_name("tasks.toml")
SETS = Path(__file__).with_name("task_sets")


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to say of an utterance.

    ``classes`` belongs to categorical and multilabel tasks, ``range`` (lowest, highest) to ordinal and regression ones.
    ``role`` is the speaker that it applies to, None for all. ``weight`` is its share in the loss, ``group`` names its
    learning rate, ``decay`` the share of its value that a row of its table loses at each step that touches it, for few
    and noisy labels. ``constraint`` is what research asks of its outputs, ``research_weight`` how much that counts; see
    ``learners.guidance``. ``agrees`` names the modalities that should say the same of it by themselves; see
    ``learners.consistency``. Raises ConfigurationError when these contradict.
    """

    name: str
    kind: Kind
    classes: tuple[str, ...] = ()
    range: tuple[float, float] | None = None
    role: SpeakerRole | None = None
    weight: float = 1.0
    group: str = "rest"
    decay: float = 0.0
    research_weight: float = 0.0
    constraint: Constraint | None = None
    agrees: tuple[Modality, ...] = ()

    def __post_init__(self) -> None:
        if problem := self._problem():
            raise ConfigurationError(f"task {self.name!r}: {problem}")

    def _problem(self) -> str | None:
        if not self.name or "." in self.name:
            return "a name is not empty and has no dot"
        if self.kind not in get_args(Kind):
            return f"kind is {self.kind!r}, expected one of {', '.join(get_args(Kind))}"
        if self.role is not None and self.role not in get_args(SpeakerRole):
            return f"role is {self.role!r}, expected one of {', '.join(get_args(SpeakerRole))}"
        if not (0 <= self.weight < math.inf and 0 <= self.research_weight < math.inf):
            return "weights are finite and not negative"
        if not 0 <= self.decay < 1:
            return f"decay is {self.decay}, expected 0 <= it < 1"
        if self.constraint is not None and self.constraint not in get_args(Constraint):
            return f"constraint is {self.constraint!r}, expected one of {', '.join(get_args(Constraint))}"
        if unknown := sorted(set(self.agrees) - set(get_args(Modality))):
            return f"agrees names {unknown[0]!r}, expected {' or '.join(get_args(Modality))}"
        if self.constraint is not None and (self.kind != (kind := KIND_OF[self.constraint])):
            return f"the constraint {self.constraint} is for {kind} tasks"
        if self.constraint == "question_quality" and "open" not in self.classes:
            return "the constraint question_quality needs a class 'open'"
        return self._problem_of_classes() if self.kind in ("categorical", "multilabel") else self._problem_of_range()

    def _problem_of_classes(self) -> str | None:
        fewest = 2 if self.kind == "categorical" else 1
        if len(self.classes) < fewest or len(set(self.classes)) < len(self.classes):
            return f"a {self.kind} task has at least {fewest} classes, each once"
        return "a range belongs to ordinal and regression tasks" if self.range else None

    def _problem_of_range(self) -> str | None:
        if self.classes:
            return "classes belong to categorical and multilabel tasks"
        if self.range is None or not self.range[0] < self.range[1] or not all(map(math.isfinite, self.range)):
            return f"a {self.kind} task has a range, [lowest, highest]"
        if self.kind == "ordinal" and any(bound != int(bound) for bound in self.range):
            return "the range of an ordinal task is of whole numbers"
        return None

    @property
    def levels(self) -> tuple[str, ...]:
        """The names of what gets a probability: the classes, or an ordinal task's numbers; none for regression."""
        if self.kind == "ordinal" and self.range:
            return tuple(str(level) for level in range(int(self.range[0]), int(self.range[1]) + 1))
        return self.classes

    @property
    def logits(self) -> int:
        """How many numbers the analyzer computes for it: one a class, one a step of an ordinal scale, or one."""
        return {"regression": 1, "ordinal": len(self.levels) - 1}.get(self.kind, len(self.classes))

    def to_dict(self) -> dict[str, object]:
        """As JSON can hold it; the inverse of ``task_from``."""
        found = asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


def task_from(values: Mapping[str, object]) -> Task:
    """The task that a table of TOML or JSON describes. Raises ConfigurationError, naming an unknown key."""
    known = {field.name for field in fields(Task)}
    if unknown := sorted(set(values) - known):
        raise ConfigurationError(f"unknown key {unknown[0]!r} in task {values.get('name')!r}; known: {sorted(known)}")
    arguments = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    try:
        return Task(**arguments)  # type: ignore[arg-type]  # the values are checked by Task itself
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigurationError(f"task {values.get('name')!r}: {error}") from error


def load_tasks(named: Path = DEFAULT_FILE) -> tuple[Task, ...]:
    """The tasks of a TOML file, in its order; or of task sets that ship, by their names with commas: ``uptake,cima``.

    Raises ConfigurationError: there is no such file or set, it is no TOML, or two of its tasks share a name.
    """
    if named.suffix == ".toml":
        return tasks_from(_tables(named))
    return tasks_from([table for name in str(named).split(",") for table in _tables(_set_file(name.strip()))])


def task_sets() -> tuple[str, ...]:
    """The names of the task sets that ship, one a data set."""
    return tuple(sorted(path.stem for path in SETS.glob("*.toml")))


def _set_file(name: str) -> Path:
    if name not in task_sets():
        raise ConfigurationError(f"{name!r} is no TOML file and no task set; the sets are {', '.join(task_sets())}")
    return SETS / f"{name}.toml"


def _tables(path: Path) -> list[Mapping[str, object]]:
    try:
        return list(tomllib.loads(path.read_text()).get("task", []))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path}: {error}") from error


def tasks_from(tables: object) -> tuple[Task, ...]:
    """The tasks that a list of tables describes. Raises ConfigurationError when a name comes twice."""
    if not isinstance(tables, list) or not all(isinstance(table, Mapping) for table in tables):
        raise ConfigurationError("tasks are a list of tables; in TOML each begins with [[task]]")
    tasks = tuple(map(task_from, tables))
    names = [task.name for task in tasks]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise ConfigurationError(f"two tasks are named {repeated[0]!r}")
    return tasks


@cache
def default_tasks() -> tuple[Task, ...]:
    """The tasks that ship: question type, scaffolding, CLASS, depth, wait time, responsiveness, talk moves."""
    return load_tasks()


def check_label(task: Task | None, value: LabelValue) -> None:
    """Raise UnusableEvent unless ``value`` can be a label of ``task``; None stands for a task that nobody knows."""
    if task is None:
        raise UnusableEvent("the label is of a task that the settings do not name")
    if problem := _label_problem(task, value):
        raise UnusableEvent(f"label {value!r} of task {task.name}: {problem}")


def _label_problem(task: Task, value: LabelValue) -> str | None:
    if task.kind == "categorical":
        return None if value in task.classes else f"expected one of {', '.join(task.classes)}"
    if task.kind == "multilabel":
        known = isinstance(value, tuple) and set(value) <= set(task.classes)
        return None if known else f"expected a list of {', '.join(task.classes)}"
    lowest, highest = task.range or (0.0, 0.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not lowest <= value <= highest:
        return f"expected a number from {lowest:g} to {highest:g}"
    return "expected a whole number" if task.kind == "ordinal" and value != int(value) else None

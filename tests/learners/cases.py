"""Small settings, examples and requests that the tests of the model share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from learners.fold import fold
from learners.model import Model
from learners.settings import LearningSettings
from learners.tasks import Task
from schemas.feedback import LabelValue
from schemas.interaction import Payload, SpeakerRole, Turn
from schemas.prediction import ExampleInput
from schemas.training import TrainExample, TrainRequest

MOVE = Task(name="move", kind="categorical", classes=("none", "restating", "press"), role="teacher", group="move")
CLAIM = Task(name="claim", kind="multilabel", classes=("claim", "reason"), role="student", group="move")
SUPPORT = Task(name="support", kind="ordinal", range=(1, 7), group="class")
DEPTH = Task(name="depth", kind="regression", range=(0, 1), group="depth")
SMALL = LearningSettings(tasks=(MOVE, CLAIM, SUPPORT, DEPTH), buckets=8192, dim=4, hidden=8)

MOVES = {"none": "okay so sit down now", "restating": "the area is twelve", "press": "why do you think so?"}


def said(text: str, role: SpeakerRole = "teacher", before: Sequence[tuple[SpeakerRole, str]] = ()) -> ExampleInput:
    """``text`` spoken after ``before``, oldest first."""
    context = tuple(Turn(role=who, text=words) for who, words in before)
    return ExampleInput(session="lesson", role=role, payload=Payload(text=text, context=context))


def example(name: str, given: ExampleInput, **labels: LabelValue) -> TrainExample:
    """An example with these labels."""
    return TrainExample(id=name, interaction=name, feedback=name, rater="rater", input=given, labels=labels)


def moves(first: int, count: int) -> tuple[TrainExample, ...]:
    """Teacher sentences number ``first`` and on; each has a word of its own and tells its move."""
    names = list(MOVES)
    return tuple(
        example(
            f"example-{n}", said(f"{MOVES[names[n % 3]]} word{n}", before=[("student", "twelve")]), move=names[n % 3]
        )
        for n in range(first, first + count)
    )


def genesis_request(settings: LearningSettings = SMALL, seed: int = 7) -> TrainRequest:
    """The record that begins a lineage under ``settings``."""
    return TrainRequest(kind="genesis", model="main", seed=seed, reason="test", settings=settings.to_dict())


def step_request(new: Sequence[TrainExample], replayed: Sequence[TrainExample] = ()) -> TrainRequest:
    """A request for one step."""
    return TrainRequest(kind="step", model="main", seed=1, reason="test", new=tuple(new), replayed=tuple(replayed))


def ones(request: TrainRequest) -> dict[str, np.ndarray[tuple[int], np.dtype[np.float32]]]:
    """A weight of one for each example of ``request``."""
    return {
        "weights.new": np.ones(len(request.new), dtype=np.float32),
        "weights.replayed": np.ones(len(request.replayed), dtype=np.float32),
    }


def begun(settings: LearningSettings = SMALL) -> Model:
    """A model that has folded its genesis alone, at offset 0."""
    return fold(None, genesis_request(settings), {}, "genesis", 0)[0]


def folded(model: Model, first: int, last: int) -> Model:
    """``model`` after the requests at offsets ``first`` to ``last``, four new examples and the two before them each."""
    for offset in range(first, last + 1):
        request = step_request(moves(4 * offset, 4), moves(max(0, 4 * offset - 2), 2))
        model, _ = fold(model, request, ones(request), f"request-{offset}", offset)
    return model

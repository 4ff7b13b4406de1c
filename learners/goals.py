"""The targets that are about single interactions: what each is, exactly, over what was judged.

Each class turns one judged interaction into a row of numbers, or says that it has no part in it, and has a figure over
rows. What is independent of what is not its business: ``learners.tracker`` keeps the rows with their units.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from learners.accord import ClassCorrelation, CrossModal, ExpertAgreement
from learners.judged import Floats, Goal, Judged, Row, f1, likeliest
from learners.tasks import Task
from schemas.feedback import LabelValue

QUESTION, CLOSED, OPEN = "question_type", "closed", "open"
SCAFFOLDING, WAIT = "scaffolding", "wait_time"


@dataclass(frozen=True)
class OpenQuestions:
    """Open-question accuracy: of the utterances that an expert called a closed or an open question, the share of which
    the most likely question type is the expert's. An open question taken for no question is as wrong as for a closed
    one. Utterances that are none are left out, since they are most and easy; they count in ``f1``, that of "open" over
    all utterances. ``majority`` is the accuracy of always saying the more frequent of the two.
    """

    name: str = "open_question_accuracy"
    target: float = 0.85
    ceiling: float | None = None

    def row(self, judged: Judged) -> Row | None:
        label, said = judged.labels.get(QUESTION), likeliest(judged.outputs.get(QUESTION))
        return None if label is None or said is None else (_code(label), _code(said))

    def figure(self, rows: Floats) -> float:
        asked = rows[rows[:, 0] > 0]
        return float((asked[:, 0] == asked[:, 1]).mean()) if len(asked) else math.nan

    def parts(self, rows: Floats) -> dict[str, float]:
        asked, true, said = rows[rows[:, 0] > 0], rows[:, 0] == 2, rows[:, 1] == 2
        opened = float((asked[:, 0] == 2).mean()) if len(asked) else math.nan
        return {
            "f1": f1(true, said),
            "recall_of_open": float(said[true].mean()) if true.any() else math.nan,
            "majority": max(opened, 1 - opened),
        }


def _code(question: LabelValue) -> float:
    return {CLOSED: 1.0, OPEN: 2.0}.get(str(question), 0.0)


@dataclass(frozen=True)
class Scaffolding:
    """Scaffolding macro F1: the mean over techniques of 2 TP / (2 TP + FP + FN), a technique said where its probability
    is above 1/2; over the techniques that experts marked at least once. One that nobody marked has no F1, but what is
    wrongly said of it is counted in ``false_share``, the share of what was said that no expert marked.
    """

    classes: tuple[str, ...]
    name: str = "scaffolding_macro_f1"
    target: float = 0.80
    ceiling: float | None = None

    def row(self, judged: Judged) -> Row | None:
        label, output = judged.labels.get(SCAFFOLDING), judged.outputs.get(SCAFFOLDING)
        if not isinstance(label, tuple) or output is None or not output.probabilities:
            return None
        said = (float(output.probabilities.get(name, 0.0) > 0.5) for name in self.classes)
        return (*(float(name in label) for name in self.classes), *said)

    def figure(self, rows: Floats) -> float:
        each = [value for value in self._each(rows).values() if not math.isnan(value)]
        return sum(each) / len(each) if each else math.nan

    def parts(self, rows: Floats) -> dict[str, float]:
        true, said = np.split(rows, 2, axis=1)
        wrongly = float((said * (1 - true)).sum() / said.sum()) if said.any() else 0.0
        return {**self._each(rows), "false_share": wrongly}

    def _each(self, rows: Floats) -> dict[str, float]:
        true, said = np.split(rows > 0, 2, axis=1)
        marked = {name: true[:, n].any() for n, name in enumerate(self.classes)}
        return {name: f1(true[:, n], said[:, n]) if marked[name] else math.nan for n, name in enumerate(self.classes)}


@dataclass(frozen=True)
class WaitTime:
    """Wait-time appropriateness: of the open questions (by the expert's label) with a known wait, the share whose wait
    the model puts on the right side: below, within, or above the band from ``low_s`` to ``high_s`` seconds (Rowe 1986
    for three seconds; the upper end is a choice). Beside it ``majority``, the share of the most frequent verdict,
    without which the figure says nothing, and ``within``, how many waits were themselves appropriate: that is the
    classroom's figure, not the model's.
    """

    low_s: float = 3.0
    high_s: float = 7.0
    name: str = "wait_time_appropriateness"
    target: float = 0.70
    ceiling: float | None = None

    def row(self, judged: Judged) -> Row | None:
        label, output = judged.labels.get(WAIT), judged.outputs.get(WAIT)
        if judged.labels.get(QUESTION) != OPEN or not isinstance(label, int | float) or output is None:
            return None
        return None if output.value is None else (float(label), output.value)

    def figure(self, rows: Floats) -> float:
        true, said = self._verdicts(rows).T
        return float((true == said).mean()) if len(rows) else math.nan

    def parts(self, rows: Floats) -> dict[str, float]:
        true, said = self._verdicts(rows).T
        shares = [float((true == verdict).mean()) for verdict in range(3)] if len(rows) else [math.nan]
        within = {"within": float((true == 1).mean()), "said_within": float((said == 1).mean())} if len(rows) else {}
        return {"majority": max(shares), **within}

    def _verdicts(self, rows: Floats) -> npt.NDArray[np.int64]:
        return (rows >= self.low_s).astype(np.int64) + (rows > self.high_s)


def goals(tasks: Sequence[Task]) -> tuple[Goal, ...]:
    """The targets about single interactions, for a model of ``tasks``."""
    by_name = {task.name: task for task in tasks}
    techniques = by_name[SCAFFOLDING].classes if SCAFFOLDING in by_name else ()
    categorical = tuple(task.name for task in tasks if task.kind == "categorical")
    widths = {task.name: task.range[1] - task.range[0] for task in tasks if task.range}
    return (
        OpenQuestions(),
        Scaffolding(techniques),
        ClassCorrelation(),
        WaitTime(),
        ExpertAgreement(categorical),
        CrossModal(widths),
    )

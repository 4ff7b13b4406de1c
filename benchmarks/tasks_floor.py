"""What the task sets come to with words alone, learned offline: on the same cuts, and on dialogues apart from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge

from benchmarks.tasks_data import Part, tasks_of
from benchmarks.tasks_run import Scores, score
from learners.targets import targets
from learners.tasks import Task
from schemas.training import TrainExample

# Bags of words learned offline on a whole set, on dialogues kept back from it that are no part of these cuts.
KEPT_BACK: Scores = {
    "uptake": 0.557,
    "mistake_identification": 0.606, "mistake_location": 0.487, "providing_guidance": 0.492, "actionability": 0.607,
    "tutor_move": 0.601,
}  # fmt: skip


def bag_of_words(cut: Part, sets: Sequence[str]) -> Scores:
    """The scores of TF-IDF of the text's words and pairs: logistic regression with balanced classes, or ridge."""
    found = {}
    for name in sets:
        words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"[\w']+|[?!]")
        learn, probe = cut.learn[name], cut.probe[name]
        seen, asked = words.fit_transform(_texts(learn)), words.transform(_texts(probe))
        for task in tasks_of((name,)):
            if task.kind != "multilabel":
                found[task.name] = _offline(task, seen, asked, learn, probe)
    return found


def _texts(examples: Sequence[TrainExample]) -> list[str]:
    return [example.input.payload.text for example in examples]


def _offline(task: Task, seen: Any, asked: Any, learn: Sequence[TrainExample], probe: Sequence[TrainExample]) -> float:
    known, true = (targets(task, [one.labels for one in part]) for part in (learn, probe))
    seen, asked = seen[known.examples], asked[true.examples]
    if task.kind == "categorical":
        classifier = LogisticRegression(C=4.0, class_weight="balanced", max_iter=100)
        said = _logits(classifier.fit(seen, known.values.argmax(axis=1)).decision_function(asked))
        return score(task, _wide(said, classifier.classes_, len(task.classes)), true.values)
    fitted = Ridge(alpha=1.0).fit(seen, known.values.sum(axis=1))
    return score(task, np.asarray(fitted.predict(asked), dtype=np.float32)[:, None], true.values)


def _logits(decision: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """One column a class, also where there are two."""
    return np.stack((-decision, decision), axis=1) if decision.ndim == 1 else decision


def _wide(said: npt.NDArray[np.float64], classes: npt.NDArray[np.int64], width: int) -> npt.NDArray[np.float32]:
    """Logits of the ``classes`` that were met, among all."""
    found = np.full((len(said), width), -np.inf, dtype=np.float32)
    found[:, classes] = said
    return found

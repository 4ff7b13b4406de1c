"""How right the model probably is on what this process has predicted and nobody has labelled yet, and how much that is.

Counted since the process began, like every counter; a label on a prediction of an earlier process counts, too. So does
one on a prediction that was not counted because the role was behind (``streams.shedding``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from threading import Lock

from learners.estimate import Estimate
from schemas.prediction import Example, Prediction
from streams.processor import Output

METHODS = ("calibrated", "thresholded")


class Unlabelled:
    """The estimates of a process, over all its partitions, whose threads may call at once."""

    def __init__(self) -> None:
        self._estimate = Estimate()
        self._lock = Lock()

    def take(self, outputs: Iterable[Output]) -> list[tuple[str, Mapping[str, str], float]]:
        """Count the predictions and labels among ``outputs``; the gauges after them, none if there were none."""
        said = [output.data for output in outputs if isinstance(output.data, Prediction | Example)]
        said = [data for data in said if not (isinstance(data, Prediction) and "estimates" in data.shed)]
        if not said:
            return []
        with self._lock:
            for data in said:
                self._count(data)
            return gauges(self._estimate)

    def _count(self, data: Prediction | Example) -> None:
        if isinstance(data, Prediction):
            for task, output in data.outputs.items():
                self._estimate.asked(task, output)
        elif data.revises is None and not data.contradicts:
            for task, label in data.labels.items():
                if task in data.predicted:
                    self._estimate.labelled(task, label, data.predicted[task])


def gauges(estimate: Estimate) -> list[tuple[str, Mapping[str, str], float]]:
    """Coverage by task, and by task and method the estimate and its error so far."""
    found: list[tuple[str, Mapping[str, str], float]] = []
    for task, summary in estimate.summary().items():
        if "coverage" in summary:
            found.append(("label_coverage", {"task": task}, summary["coverage"]))
        for method in METHODS:
            labels = {"task": task, "method": method}
            if method in summary:
                found.append(("estimated_accuracy", labels, summary[method]))
            if f"{method}_error" in summary:
                found.append(("estimated_accuracy_error", labels, summary[f"{method}_error"]))
    return found

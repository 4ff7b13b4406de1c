"""Curate's judgement of the model: prequential quality by task and delay, and drift of its errors."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from learners.drift import DriftMonitor, DriftSeen, DriftStateRefused
from learners.importance import disagreement
from learners.metrics import Prequential
from schemas import topics
from schemas.drift import Drift
from schemas.envelope import derive_id
from schemas.prediction import Example
from state.store import Delete, Put, Write
from streams.processor import Output

LOG = logging.getLogger("streams.judge")
QUALITY, DRIFT = "q", "d:"  # keys: prequential quality, and the detectors of a task


@dataclass
class Judge:
    """Both judgements while a batch is curated."""

    quality: Prequential
    monitor: DriftMonitor
    scales: Mapping[str, float]
    _refused: set[str]  # tasks whose stored detectors are of no use
    _seen: list[tuple[DriftSeen, Example, str]] = field(default_factory=list)
    _heard: set[str] = field(default_factory=set)

    @classmethod
    def load(cls, values: Mapping[str, bytes], scales: Mapping[str, float]) -> Judge:
        """What the store holds, or the beginning; detectors that cannot be restored begin anew.

        ``scales`` are the widths of the tasks' ranges.
        """
        monitor, refused = DriftMonitor(), set()
        stored = {key.removeprefix(DRIFT): value for key, value in values.items() if key.startswith(DRIFT)}
        for task, value in stored.items():  # one by one: a task's damage is no other's
            try:
                monitor.watches |= DriftMonitor.restored(monitor.settings, {task: value}).watches
            except DriftStateRefused as error:
                LOG.warning("drift detectors of %s begin anew: %s", task, error)
                refused.add(task)
        quality = values.get(QUALITY)
        return cls(Prequential.from_bytes(quality) if quality else Prequential(), monitor, scales, refused)

    def hear(self, example_id: str, data: Example) -> None:
        """Hold the label against the prediction made then, if the model was asked then."""
        for task, label in data.labels.items():
            self._heard.add(task)
            output = data.predicted.get(task)
            self.quality.update(task, label, output, data.delay_s)
            if output is not None:
                error = disagreement(output, label, self.scales.get(task, 1.0))
                cohort = data.input.group if data.input else None
                found = self.monitor.update(task, cohort, error, example_id)
                self._seen += [(seen, data, example_id) for seen in found]

    def writes(self) -> list[Write]:
        """What the store must keep of what was heard, and forget because it is of no use."""
        heard = sorted(self._heard & set(self.monitor.watches))
        found: list[Write] = [Put(f"{DRIFT}{task}", self.monitor.task_bytes(task)) for task in heard]
        found += [Delete(f"{DRIFT}{task}") for task in sorted(self._refused.difference(heard))]
        if self._heard:
            found.append(Put(QUALITY, self.quality.to_bytes()))
        return found

    def drifts(self, model: str) -> Iterable[Output]:
        """The drifts seen in this batch, each named after the example at which it was seen."""
        for seen, data, example_id in self._seen:
            worse = seen.after > seen.before
            found = Drift(
                model=model,
                task=seen.task,
                cohort=seen.cohort,
                detector=seen.detector,
                example=example_id,
                before=seen.before,
                after=seen.after,
                examples=seen.n,
                advice="look at what this cohort says since then, and at label quality" if worse else "errors fell",
            )
            id_ = derive_id("drift", example_id, seen.task, seen.cohort, seen.detector)
            time = datetime.fromtimestamp(data.arrived_ms / 1000, UTC)
            yield Output(topics.DRIFT, model, id_, time, found, ())

    def gauges(self) -> list[tuple[str, Mapping[str, str], float]]:
        """Recent quality by task."""
        found: list[tuple[str, Mapping[str, str], float]] = []
        for task, summary in self.quality.summary().items():
            recent = summary.get("window", {})
            for name in ("mcc", "accuracy"):
                if name in recent:
                    found += [(f"prequential_{name}", {"task": task}, recent[name])]
        return found

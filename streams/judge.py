"""Curate's judgement of the model: prequential quality by task and delay, drift of its errors and of what it is told,
and how late labels are."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from learners.delays import Delays
from learners.drift import ALL, DriftMonitor, DriftSeen, DriftStateRefused
from learners.importance import disagreement
from learners.metrics import Prequential
from learners.population import Population, ShiftSeen
from learners.sketch import sketch
from schemas import topics
from schemas.drift import Drift
from schemas.envelope import derive_id
from schemas.feedback import LabelValue
from schemas.prediction import Example
from state.store import Delete, Put, Write
from streams.processor import Output

LOG = logging.getLogger("streams.judge")
QUALITY, DRIFT = "q", "d:"  # keys: prequential quality, and the detectors of a task
DELAYS, SHIFT = "late", "shift"  # keys: how late labels are, and the references of the population
INPUT = "input"  # the task that a shift of the population is of
AHEAD_S = 86_400.0  # by so much an app's clock may be ahead of the log's


@dataclass
class Judge:
    """All judgements while a batch is curated."""

    quality: Prequential
    monitor: DriftMonitor
    scales: Mapping[str, float]
    delays: Delays
    population: Population
    _refused: set[str]  # tasks whose stored detectors are of no use
    _seen: list[tuple[DriftSeen | ShiftSeen, Example]] = field(default_factory=list)
    _heard: set[str] = field(default_factory=set)
    _weights: dict[str, dict[str, float]] = field(default_factory=dict)
    _told: list[tuple[str, str, float, float]] = field(default_factory=list)  # not yet counted: see settle
    _met: list[tuple[str, Example, float]] = field(default_factory=list)

    @classmethod
    def load(cls, values: Mapping[str, bytes], scales: Mapping[str, float], tasks: Iterable[str]) -> Judge:
        """What the store holds of ``tasks``, or the beginning; detectors that cannot be restored begin anew.

        ``scales`` are the widths of the tasks' ranges.
        """
        monitor, refused = DriftMonitor(), set()
        # Asked by name: among a million examples met, looking through all values would take 90 ms a batch.
        stored = {task: values[key] for task in tasks if (key := f"{DRIFT}{task}") in values}
        for task, value in stored.items():  # one by one: a task's damage is no other's
            try:
                monitor.watches |= DriftMonitor.restored(monitor.settings, {task: value}).watches
            except DriftStateRefused as error:
                LOG.warning("drift detectors of %s begin anew: %s", task, error)
                refused.add(task)
        quality, late, shift = (values.get(key) for key in (QUALITY, DELAYS, SHIFT))
        return cls(
            Prequential.from_bytes(quality) if quality else Prequential(),
            monitor,
            scales,
            Delays.from_bytes(late) if late else Delays(),
            _population(shift),
            refused,
        )

    def hear(self, example_id: str, data: Example, time_s: float) -> None:
        """Hold the label, given at ``time_s``, against the prediction made then, if the model was asked then."""
        time_s, before = _by_the_log(data, time_s), len(self._seen)
        for task, label in data.labels.items():
            self._heard.add(task)
            if isinstance(label, str) and data.revises is None:
                self._told.append((task, label, time_s - data.delay_s, data.delay_s))
            output = data.predicted.get(task)
            self.quality.update(task, label, output, data.delay_s)
            if output is not None:
                error = disagreement(output, label, self.scales.get(task, 1.0))
                cohort = data.input.group if data.input else None
                found = self.monitor.update(task, cohort, error, example_id)
                self._seen += [(drift, data) for drift in found]
        if any(is_alarm(seen) for seen, _ in self._seen[before:]):
            self.delays.restart(time_s)

    def meet(self, example_id: str, data: Example, time_s: float) -> None:
        """Look at the input of somebody who consents, once whatever the number of its labels."""
        self._met.append((example_id, data, _by_the_log(data, time_s)))

    def settle(self) -> None:
        """Count what was told and met. Together at the end: between other work each would cost three times as much."""
        for task, label, at_s, delay_s in self._told:
            self.delays.update(task, label, at_s, delay_s)
        for example_id, data, time_s in self._met:
            if data.input is None or not self.population.meets(data.interaction):
                continue
            if found := self.population.update(example_id, sketch(data.input)):
                self._seen += [(seen, data) for seen in found]
                self.delays.restart(time_s)
        self._told, self._met = [], []

    def delay_weight(self, labels: Mapping[str, LabelValue], at_s: float) -> float:
        """The factor by which an example of an item at ``at_s`` makes up for labels of its class that are still out.

        The mean over its tasks; 1 of an item from before the last change. See ``learners.delays.Delays.weights``.
        """
        self.settle()
        if at_s < self.delays.began or not labels:
            return 1.0
        for task in labels.keys() - self._weights.keys():
            self._weights[task] = self.delays.weights(task)
        found = [
            self._weights[task].get(label, 1.0) if isinstance(label, str) else 1.0 for task, label in labels.items()
        ]
        return sum(found) / len(found)

    def writes(self) -> list[Write]:
        """What the store must keep of what was heard, and forget because it is of no use."""
        self.settle()
        heard = sorted(self._heard & set(self.monitor.watches))
        found: list[Write] = [Put(f"{DRIFT}{task}", self.monitor.task_bytes(task)) for task in heard]
        found += [Delete(f"{DRIFT}{task}") for task in sorted(self._refused.difference(heard))]
        if self._heard:
            found += [Put(QUALITY, self.quality.to_bytes()), Put(DELAYS, self.delays.to_bytes())]
            found.append(Put(SHIFT, self.population.to_bytes()))
        return found

    def drifts(self, model: str) -> Iterable[Output]:
        """The drifts seen in this batch, each named after the example at which it was seen."""
        self.settle()
        for seen, data in self._seen:
            found = _of_errors(model, seen) if isinstance(seen, DriftSeen) else _of_input(model, seen)
            id_ = derive_id("drift", seen.example, found.task, found.part or found.cohort, found.detector)
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


def _by_the_log(data: Example, time_s: float) -> float:
    """``time_s`` at most ``AHEAD_S`` after the log heard of it: one label from the year 2100 would make every other
    delay too old to count."""
    return min(time_s, data.arrived_ms / 1000 + AHEAD_S) if data.arrived_ms else time_s


def _population(value: bytes | None) -> Population:
    try:
        return Population.from_bytes(value) if value else Population()
    except (ValueError, KeyError) as error:
        LOG.warning("the reference of what is said to the model begins anew: %s", error)
        return Population()


def is_alarm(seen: DriftSeen | ShiftSeen) -> bool:
    """Whether somebody should look: errors that fall are what learning is for."""
    return isinstance(seen, ShiftSeen) or seen.after > seen.before


def _of_errors(model: str, seen: DriftSeen) -> Drift:
    worse = is_alarm(seen)
    return Drift(
        model=model,
        task=seen.task,
        cohort=seen.cohort,
        detector=seen.detector,
        example=seen.example,
        before=seen.before,
        after=seen.after,
        examples=seen.n,
        advice="look at what this cohort says since then, and at label quality" if worse else "errors fell",
        alarm=worse,
        effect=seen.after - seen.before,
    )


def _of_input(model: str, seen: ShiftSeen) -> Drift:
    what = f"the number {seen.part}" if seen.detector == "ks" else seen.part
    return Drift(
        model=model,
        task=INPUT,
        cohort=ALL,
        detector=seen.detector,
        example=seen.example,
        before=seen.before,
        after=seen.after,
        examples=seen.n,
        advice=f"compare {what} in inputs since then with earlier ones: another producer, or other people?",
        effect=seen.effect,
        p_value=seen.p,
        part=seen.part,
        look_at=seen.telling,
    )

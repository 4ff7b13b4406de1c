"""What operators see: every metric, once, with its unit in its name."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from schemas.drift import Drift
from schemas.prediction import DeadLetter, Example, Fate, Prediction
from streams.message import Record
from streams.processor import Output
from streams.unlabelled import Unlabelled

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60)
LATE_SECONDS = 3600.0  # a feedback that comes later than this after what it judges counts as late

COUNTERS = {
    "events_in": ("records taken from the log", ["role", "topic"]),
    "events_out": ("records published", ["role", "topic"]),
    "dead_letters": ("records that could not be used", ["role", "topic", "reason"]),
    "late_feedback": ("feedbacks more than an hour after what they judge", ["role"]),
    "fates": ("inputs led nowhere", ["role", "fate"]),
    "contradictions": ("labels that contradict another rater's on the same task", ["role"]),
    "drifts": ("alarms: errors of a task that rise, or inputs that are not as they were", ["role", "task", "detector"]),
    "learning_alerts": ("verdicts on the probe's history: converged, early-stop, falling", ["alert"]),
    "shed": ("predictions from which optional work was left out, by what", ["role", "work"]),
    "refusals": ("times that the store refused this owner", ["role"]),
    "models_refused": ("snapshots and deltas that failed their checks", ["role"]),
}
GAUGES = {
    "lag_records": ("records not yet taken; absent while unknown", ["role", "topic", "partition"]),
    "lag_seconds": ("age of the oldest record not yet taken; 0 when caught up", ["role", "topic", "partition"]),
    "partitions_stopped": ("whose next record is gone, is corrupt or ends each process; none is skipped", ["role"]),
    "poison_records": ("led aside as poison, of the last thousand records of each topic", ["role", "partition"]),
    "poll_age_seconds": ("since the engine last polled", ["role"]),
    "pending_entries": ("entries in the store", ["role", "partition"]),
    "shedding_level": ("how many kinds of optional work are left out", ["role", "partition"]),
    "outbox_records": ("outputs decided and not yet acknowledged", ["role", "partition"]),
    "memory_items": ("items in replay memory", ["task", "class"]),
    "rater_trust": ("what a label of a rater counts, learned from agreement; at most 1", ["rater"]),
    "prequential_mcc": ("Matthews correlation over the last labels", ["task"]),
    "prequential_accuracy": ("accuracy over the last labels", ["task"]),
    "label_coverage": ("labels a prediction, of those of this process", ["task"]),
    "estimated_accuracy": ("an estimate: accuracy on all predictions, labelled or not", ["task", "method"]),
    "estimated_accuracy_error": ("estimate less truth, on labels that came after it", ["task", "method"]),
    "probe_skill": ("MCC or correlation on the frozen probe", ["task"]),
    "constraint_violation": ("of what research asks, in the last step that could tell", ["constraint"]),
    "constraint_multiplier": ("how strongly the constraint pulls", ["constraint"]),
    "rate_scale": ("what a task group's learning rates are multiplied with", ["group"]),
    "model_offset": ("next offset of the model in use", ["role"]),
    "model_swapped_timestamp_seconds": ("when the model in use was swapped in", ["role"]),
    "healthy": ("1 if the role makes progress", ["role"]),
}
HISTOGRAMS = {
    "batch_seconds": ("processing of one batch", ["role"]),
    "step_seconds": ("one gradient step", ["role"]),
    "feedback_to_model_seconds": ("feedback's arrival to a served model that learned from it", ["role"]),
}


class Metrics:
    """The metrics of one process, in a registry of its own. A gauge that is unknown has no sample; it is never 0."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.unlabelled = Unlabelled()
        self._counters = {n: Counter(f"currere_{n}", t, ls, registry=self.registry) for n, (t, ls) in COUNTERS.items()}
        self._gauges = {n: Gauge(f"currere_{n}", t, ls, registry=self.registry) for n, (t, ls) in GAUGES.items()}
        self._histograms = {
            n: Histogram(f"currere_{n}", t, ls, registry=self.registry, buckets=SECONDS)
            for n, (t, ls) in HISTOGRAMS.items()
        }

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter. Raises KeyError for a name that is not in COUNTERS."""
        self._counters[name].labels(**labels).inc(amount)

    def gauge(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge. Raises KeyError for a name that is not in GAUGES."""
        self._gauges[name].labels(**labels).set(value)

    def forget(self, name: str, **labels: str) -> None:
        """Take a gauge's sample away: its value is unknown."""
        self._gauges[name].remove_by_labels(labels)

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        """Add an observation to a histogram. Raises KeyError for a name that is not in HISTOGRAMS."""
        self._histograms[name].labels(**labels).observe(seconds)


class RoleMetrics:
    """The metrics of one role in a process."""

    def __init__(self, metrics: Metrics, role: str) -> None:
        self.metrics, self.role = metrics, role

    def batch(
        self,
        records: Sequence[Record],
        outputs: Sequence[Output],
        gauges: Sequence[tuple[str, Mapping[str, str], float | None]],
    ) -> None:
        """What a committed batch held and what came of it."""
        for topic, n in Tally(r.origin.topic for r in records).items():
            self.metrics.count("events_in", n, role=self.role, topic=topic)
        for topic, n in Tally(o.topic.name for o in outputs).items():
            self.metrics.count("events_out", n, role=self.role, topic=topic)
        for output in outputs:
            self._outcome(output)
        for name, labels, value in (*gauges, *self.metrics.unlabelled.take(outputs)):
            if value is None:
                self.metrics.forget(name, **labels)
            else:
                self.metrics.gauge(name, value, **labels)

    def outbox(self, partition: int, records: int) -> None:
        """How many outputs are decided and not yet acknowledged."""
        self.metrics.gauge("outbox_records", records, role=self.role, partition=str(partition))

    def poison(self, partition: int, records: int) -> None:
        """How many records were led aside lately since they end each process."""
        self.metrics.gauge("poison_records", records, role=self.role, partition=str(partition))

    def pending(self, partition: int, entries: int) -> None:
        """How many entries the store holds."""
        self.metrics.gauge("pending_entries", entries, role=self.role, partition=str(partition))

    def _outcome(self, output: Output) -> None:
        match output.data:
            case DeadLetter(topic=topic, reason=reason):
                self.metrics.count("dead_letters", role=self.role, topic=topic, reason=reason)
            case Prediction(shed=shed):
                for work in shed:
                    self.metrics.count("shed", role=self.role, work=work)
            case Fate(fate=kind):
                self.metrics.count("fates", role=self.role, fate=kind)
            case Drift(task=task, detector=detector, alarm=True):
                self.metrics.count("drifts", role=self.role, task=task, detector=detector)
            case Example(delay_s=delay, contradicts=others):
                if delay > LATE_SECONDS:
                    self.metrics.count("late_feedback", role=self.role)
                if others:
                    self.metrics.count("contradictions", role=self.role)
            case _:
                pass

"""How good a version is on recorded lessons, of which it may know nothing: each label against what it says now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from learners.calibration import brier, calibration_error, equal_mass
from learners.confusion import f1_by_class, row_sums
from learners.judged import Judged, likeliest
from learners.predict import predict
from learners.served import Served
from learners.singly import said_singly
from learners.tally import KINDS, ClassTally, Tally, kind_of
from learners.tracker import Tracker
from schemas.feedback import LabelValue
from schemas.prediction import ExampleInput, Output
from state.pending import Context
from streams.charts import curves
from streams.readers.form import Recorded
from streams.score import next_context, with_context

BATCH = 512
BESIDES = "none"  # the class that ``macro_f1`` leaves out: nothing of note was said
RECORDED = "recorded"  # the rater of recorded labels, of whom nothing is known

Labels = tuple[tuple[str, LabelValue], ...]


@dataclass(slots=True)
class Counted:
    """What was counted of one task; ``unscored`` labels are of a task or kind that the version does not answer.

    ``confidence`` and ``right`` are of each answer to a task of classes, in order.
    """

    tally: Tally
    unscored: int = 0
    confidence: list[float] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)

    def add(self, label: LabelValue, output: Output | None) -> None:
        """Count a label and the output that it judges."""
        if output is None or not self.tally.add(label, output):
            self.unscored += 1
        elif isinstance(self.tally, ClassTally) and (said := likeliest(output)) is not None:
            self.confidence.append((output.probabilities or {})[said])
            self.right.append(said == label)

    def metrics(self) -> dict[str, object]:
        """The metrics of the task, and of one of classes how far its probabilities can be believed."""
        found = class_metrics(self.tally) if isinstance(self.tally, ClassTally) else self._numbers()
        if self.confidence:
            found |= calibration(self.confidence, self.right)
        return {**found, "unscored": self.unscored}

    def _numbers(self) -> dict[str, object]:
        return {"n": self.tally.n, **self.tally.summary(BESIDES)}


def calibration(confidence: Sequence[float], right: Sequence[bool]) -> dict[str, object]:
    """How far a confidence can be believed: ECE over bins of equally many answers, the parts of the Brier score of
    "the most likely class is right", and the points of a reliability diagram, [stated, came true, answers]."""
    points = equal_mass(confidence, right)
    return {
        "ece_equal_mass": calibration_error(points),
        "brier_top": brier(confidence, right)._asdict(),
        "reliability": [list(point) for point in points],
    }


@dataclass(slots=True)
class Evaluation:
    """What was counted of all tasks, while it is counted."""

    tasks: dict[str, Counted] = field(default_factory=dict)

    def add(self, labels: Labels, outputs: Mapping[str, Output]) -> None:
        """Count the labels of one interaction and what was said of it."""
        for task, label in labels:
            counted = self.tasks.setdefault(task, Counted(KINDS[kind_of(label)]()))
            counted.add(label, outputs.get(task))

    def result(self) -> dict[str, dict[str, object]]:
        """By task, the metrics; of a task of classes those of ``class_metrics`` and ``calibration``."""
        return {task: counted.metrics() for task, counted in sorted(self.tasks.items())}


def evaluate(
    served: Served,
    recorded: Iterable[Recorded],
    on_progress: Callable[[int], None] = lambda interactions: None,
    tracker: Tracker | None = None,
) -> dict[str, dict[str, object]]:
    """The metrics of ``served`` on every label of ``recorded``, by task; ``tracker`` observes them, too.

    An interaction is seen with the turns before it, as the session role would see it. ``on_progress`` is told now and
    then how many interactions have been read. Raises ConfigurationError for a record that cannot be read.
    """
    evaluation = Evaluation()
    for batch in in_batches(labelled(recorded, served.settings.context_turns, on_progress), BATCH):
        outputs = predict(served, [seen for seen, _ in batch])
        for (_, labels), said in zip(batch, outputs, strict=True):
            evaluation.add(labels, said)
        if tracker is not None:
            observe(tracker, served, batch, outputs)
    return evaluation.result()


def observe(
    tracker: Tracker,
    served: Served,
    batch: Sequence[tuple[ExampleInput, Labels]],
    outputs: Sequence[Mapping[str, Output]],
) -> None:
    """Let ``tracker`` observe what was said of a batch, by all modalities together and, if there are several, alone."""
    seen = [given for given, _ in batch]
    several = served.settings.audio_dim or served.settings.video_dim
    alone = said_singly(served, seen) if several else [{} for _ in seen]
    for (given, labels), said, singly in zip(batch, outputs, alone, strict=True):
        item = f"{given.session} {given.timing.at_s} {given.payload.text}"
        tracker.observe(Judged(given.session, item, RECORDED, dict(labels), said, singly))


def labelled(
    recorded: Iterable[Recorded], turns: int, on_progress: Callable[[int], None] = lambda interactions: None
) -> Iterator[tuple[ExampleInput, Labels]]:
    """What the model sees of each labelled interaction, and its labels. A session's interactions stand together."""
    session, context = "", Context()
    for number, one in enumerate(recorded, 1):
        if one.session != session:
            session, context = one.session, Context()
        if one.labels:
            yield with_context(one.interaction, context), one.labels
        context = next_context(one.interaction, context, turns)
        if number % BATCH == 0:
            on_progress(number)


def in_batches(
    pairs: Iterable[tuple[ExampleInput, Labels]], size: int
) -> Iterator[Sequence[tuple[ExampleInput, Labels]]]:
    """``pairs`` in lists of ``size``, the last perhaps shorter."""
    remaining = iter(pairs)
    while some := list(islice(remaining, size)):
        yield some


def class_metrics(tally: ClassTally) -> dict[str, object]:
    """The metrics of a task of classes: ``macro_f1`` over the classes besides ``BESIDES``, ``macro_f1_all`` over all.

    Classes that neither came nor were predicted have no F1. Baselines are of the same labels.
    """
    found = tally.summary(BESIDES)
    support = row_sums(tally.matrix)
    per_class = {name: {"f1": f1, "n": support.get(name, 0)} for name, f1 in f1_by_class(tally.matrix).items()}
    names = ("mcc", "accuracy", "kappa", "ece", "brier", "log_loss", "majority_accuracy", "majority_macro_f1")
    return {
        "n": tally.n,
        "macro_f1": found.get("macro_f1_besides", 0.0),
        "macro_f1_all": found.get("macro_f1", 0.0),
        **{name: found.get(name, 0.0) for name in names},
        "per_class": per_class,
    }


def reliability_plots(found: Mapping[str, Mapping[str, object]]) -> dict[str, str]:
    """A reliability diagram for each task of classes in what ``evaluate`` found: how often what was said comes true."""
    plots = {}
    for task, metrics in found.items():
        points = metrics.get("reliability")
        if isinstance(points, list) and len(points) > 1:
            drawn = {
                "the model": [(stated, came) for stated, came, _ in points],
                "calibrated": [(0.0, 0.0), (1.0, 1.0)],
            }
            plots[f"reliability-{task}"] = curves(f"{task}: stated and true", "probability stated", "came true", drawn)
    return plots

"""How good a version is on recorded lessons, of which it may know nothing: each label against what it says now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from learners.confusion import f1_by_class, row_sums
from learners.predict import predict
from learners.served import Served
from learners.tally import KINDS, ClassTally, Tally, kind_of
from schemas.feedback import LabelValue
from schemas.prediction import ExampleInput, Output
from state.pending import Context
from streams.readers.form import Recorded
from streams.score import next_context, with_context

BATCH = 512
BESIDES = "none"  # the class that ``macro_f1`` leaves out: nothing of note was said

Labels = tuple[tuple[str, LabelValue], ...]


@dataclass(slots=True)
class Judged:
    """What was counted of one task; ``unscored`` labels are of a task or kind that the version does not answer."""

    tally: Tally
    unscored: int = 0

    def add(self, label: LabelValue, output: Output | None) -> None:
        """Count a label and the output that it judges."""
        if output is None or not self.tally.add(label, output):
            self.unscored += 1


@dataclass(slots=True)
class Evaluation:
    """What was counted of all tasks, while it is counted."""

    tasks: dict[str, Judged] = field(default_factory=dict)

    def add(self, labels: Labels, outputs: dict[str, Output]) -> None:
        """Count the labels of one interaction and what was said of it."""
        for task, label in labels:
            judged = self.tasks.setdefault(task, Judged(KINDS[kind_of(label)]()))
            judged.add(label, outputs.get(task))

    def result(self) -> dict[str, dict[str, object]]:
        """By task, the metrics; of a task of classes those of ``class_metrics``."""
        return {
            task: {**_metrics(judged.tally), "unscored": judged.unscored} for task, judged in sorted(self.tasks.items())
        }


def evaluate(
    served: Served,
    recorded: Iterable[Recorded],
    on_progress: Callable[[int], None] = lambda interactions: None,
) -> dict[str, dict[str, object]]:
    """The metrics of ``served`` on every label of ``recorded``, by task.

    An interaction is seen with the turns before it, as the session role would see it. ``on_progress`` is told now and
    then how many interactions have been read. Raises ConfigurationError for a record that cannot be read.
    """
    evaluation = Evaluation()
    for batch in in_batches(labelled(recorded, served.settings.context_turns, on_progress), BATCH):
        outputs = predict(served, [seen for seen, _ in batch])
        for (_, labels), said in zip(batch, outputs, strict=True):
            evaluation.add(labels, said)
    return evaluation.result()


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


def _metrics(tally: Tally) -> dict[str, object]:
    if isinstance(tally, ClassTally):
        return class_metrics(tally)
    return {"n": tally.n, **tally.summary(BESIDES)}

"""The recorded log folded twice, as it was and changed, each judged by the same labels before it learns.

Every new example is predicted by the served average of both ways, then folded by both: prequential, like the stream's
own figures, but without their delay, for a request learns from a label the moment it is judged here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from learners.bootstrap import Interval
from learners.fold import fold
from learners.judged import Judged
from learners.metrics import Prequential
from learners.model import Model, served_digest, served_view
from learners.paired import Paired
from learners.predict import predict
from learners.probe import SKILLS
from learners.settings import LearningSettings
from learners.snapshot import snapshot
from learners.stopping import StoppingSettings, bounded, should_stop
from learners.tracker import Tracker
from schemas.errors import BadEvent, ConfigurationError, ModelRefused
from schemas.prediction import Output
from schemas.training import TrainExample, TrainRequest
from streams.refold import NotFound
from streams.requests import Asked
from streams.without import Without

Outputs = Sequence[Mapping[str, Output]]
WAYS = ("recorded", "changed")
DEFAULT = StoppingSettings()


@dataclass
class Way:
    """One way to fold the log: its model, and what was counted of it.

    ``probe`` is the mean skill on the frozen probe by step, ``stopped`` the step after which it learned no more.
    """

    name: str
    changes: Mapping[str, object]
    without: Without = field(default_factory=lambda: Without(()))
    model: Model | None = None
    scores: Prequential = field(default_factory=Prequential)
    tracker: Tracker | None = None
    probe: list[tuple[int, float]] = field(default_factory=list)
    asked: Mapping[str, float] = field(default_factory=dict)
    alerts: list[tuple[int, str]] = field(default_factory=list)
    stopped: int | None = None
    seconds: float = 0.0
    snapshots: dict[str, bytes] = field(default_factory=dict)

    def answers(self, inputs: Sequence[TrainExample]) -> Outputs:
        """What the served average says of ``inputs`` now."""
        return predict(served_view(self.model), [one.input for one in inputs]) if self.model else [{} for _ in inputs]

    def judge(self, example: TrainExample, said: Mapping[str, Output]) -> None:
        """Count the labels of ``example`` for what was ``said`` of it."""
        for task, label in example.labels.items():
            self.scores.update(task, label, said.get(task), example.delay_s)
        if self.tracker:
            judged = Judged(example.input.session, example.interaction, example.rater, example.labels, said)
            self.tracker.observe(judged)

    def skill(self) -> float | None:
        """The mean over tasks of the task's skill in the last window of labels; None before the first."""
        found = [summary["window"] for summary in self.scores.summary().values() if summary["window"].get("n")]
        skills = [next(one[name] for name in SKILLS if name in one) for one in found]
        return sum(skills) / len(skills) if skills else None


@dataclass(frozen=True)
class Compared:
    """Two ways side by side: the log's own first. ``requests`` were folded, ``kinds`` counts them."""

    ways: tuple[Way, Way]
    paired: Paired
    requests: int

    def difference(self, task: str, seed: int = 0) -> Interval | None:
        """By how much the second way's MCC is above the first's, over sessions; None of other than class tasks."""
        return self.paired.difference(task, 1, seed) if task in self.paired.tables else None


def compare(
    requests: Callable[[], Iterable[Asked]],
    changes: Mapping[str, object],
    *,
    without: Without | None = None,
    stop_early: bool = False,
    stopping: StoppingSettings = DEFAULT,
    clock: Callable[[], float] = time.perf_counter,
) -> Compared:
    """Fold what ``requests`` gives under its own settings and with ``changes`` to them, or ``without`` somebody.

    Labels of those who are left out judge neither way. With ``stop_early`` the second way ends where
    ``learners.stopping`` says so, of its probe or else of its prequential skill, and goes on being judged. A reset goes
    back to a way's own snapshot. Raises ConfigurationError for changes that cannot be, NotFound where there is no
    genesis.
    """
    wanted = {one.manifest.version for one in requests() if one.manifest.kind == "reset"}
    left = without or Without(())
    ways, paired, met, count = _begun(changes, left), Paired((), 2), set[str](), 0
    for asked in requests():
        count += 1
        if asked.manifest.kind == "genesis":
            try:
                tasks = LearningSettings.from_dict(asked.manifest.settings or {}).tasks
            except ConfigurationError:  # of the log itself: the worker passed over it, too
                continue
            ways, paired, met = _begun(changes, left, Tracker(tasks), Tracker(tasks)), Paired(tasks, 2), set()
        if asked.manifest.kind == "step":
            _judge(ways, paired, [example for example in _fresh(asked.manifest, met) if example not in left])
        for way in ways:
            if way.stopped is None:
                begun = clock()
                _fold(way, asked)
                way.seconds += clock() - begun
        _keep(ways, wanted)
        if stop_early and _is_over(ways[1], stopping):
            ways[1].stopped = ways[1].model.steps if ways[1].model else 0
    if ways[0].model is None:
        raise NotFound("there is no genesis among the requests: nothing was folded; is the tenant right?")
    return Compared(ways, paired, count)


def _begun(
    changes: Mapping[str, object], without: Without, one: Tracker | None = None, other: Tracker | None = None
) -> tuple[Way, Way]:
    """Both ways before their first request."""
    return Way(WAYS[0], {}, tracker=one), Way(WAYS[1], dict(changes), without, tracker=other)


def changed(settings: Mapping[str, object], changes: Mapping[str, object]) -> dict[str, object]:
    """``settings`` with ``changes``; a table that is changed keeps its other entries."""
    merged = dict(settings)
    for name, value in changes.items():
        before = merged.get(name)
        both = isinstance(before, Mapping) and isinstance(value, Mapping)
        merged[name] = {**before, **value} if both else value  # type: ignore[dict-item]  # both are mappings
    return merged


def _fresh(manifest: TrainRequest, met: set[str]) -> list[TrainExample]:
    """The new examples that no request had before; they are met from now on."""
    found = [example for example in manifest.new if example.id not in met]
    met.update(example.id for example in found)
    return found


def _judge(ways: tuple[Way, Way], paired: Paired, examples: Sequence[TrainExample]) -> None:
    said = [way.answers(examples) for way in ways]
    for example, *answers in zip(examples, *said, strict=True):
        for way, outputs in zip(ways, answers, strict=True):
            way.judge(example, outputs)
        paired.add(example.input.session, example.labels, answers)


def _fold(way: Way, asked: Asked) -> None:
    """Fold one request in a way of its own; what the worker passes over is passed over."""
    left = way.without.kept(asked)
    if left is None:
        way.model = replace(way.model, next_offset=asked.offset + 1) if way.model else None
        return
    manifest, id_ = left.manifest, left.id
    if manifest.kind == "genesis" and way.changes:
        settings = LearningSettings.from_dict(changed(manifest.settings or {}, way.changes)).to_dict()
        id_ = f"{id_}+{json.dumps(way.changes, sort_keys=True)}"
        manifest = manifest.model_copy(update={"settings": settings})
    try:
        way.model, report = fold(
            way.model, manifest, left.weights, id_, asked.offset, partial(kept_snapshot, way.snapshots)
        )
    except (BadEvent, ModelRefused):
        return
    way.alerts += [(way.model.steps, alert) for alert in report.event.alerts]
    if report.event.probe:
        way.asked = report.event.probe
        way.probe = bounded([*way.probe, (way.model.steps, float(way.model.state["probe.history"][-1]))])


def _keep(ways: tuple[Way, Way], wanted: set[str | None]) -> None:
    """Keep a snapshot of each way where a reset goes back to: it names a version of the recorded one."""
    recorded = ways[0].model
    if recorded is not None and recorded.version in wanted:
        for way in ways:
            if way.model is not None:
                way.snapshots[recorded.version] = snapshot(way.model)


def kept_snapshot(kept: Mapping[str, bytes], version: str) -> bytes:
    """The snapshot ``kept`` of ``version``. Raises ModelRefused."""
    try:
        return kept[version]
    except KeyError as error:
        raise ModelRefused(f"there was no version {version} to go back to") from error


def _is_over(way: Way, stopping: StoppingSettings) -> bool:
    """Whether the way need learn no more: asked at each probe, or every ``probe_steps`` where there is none."""
    model = way.model
    if model is None or way.stopped is not None or not model.steps or model.steps % model.settings.probe_steps:
        return False
    if "probe.history" in model.state:
        return should_stop(model.state["probe.history"].tolist(), stopping)
    if (skill := way.skill()) is not None and (not way.probe or way.probe[-1][0] < model.steps):
        way.probe = bounded([*way.probe, (model.steps, skill)])
    return should_stop([score for _, score in way.probe], stopping)


def digest(way: Way) -> str | None:
    """The digest of what a way serves in the end."""
    return served_digest(way.model) if way.model else None

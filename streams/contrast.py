"""Two folds of one log side by side, to be read: rows, sentences, plots, and JSON for programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from learners.paired import in_words
from learners.probe import SKILLS
from streams.charts import curves
from streams.compare import WAYS, Compared, Way, digest


def task_rows(found: Compared) -> list[tuple[str, ...]]:
    """Of each task its skill over all labels in both ways, and the difference with its interval, if there is one."""
    cells: list[tuple[str, ...]] = []
    for task, (one, other), _ in rows(found):
        name = next((skill for skill in SKILLS if skill in one and skill in other), None)
        if name is None:
            continue
        at = found.difference(task) if name == "mcc" else None
        interval = f"{at.low:+.3f} to {at.high:+.3f}" if at else ""
        labels = f"{one['n']:,.0f}"
        cells.append(
            (task, labels, name, f"{one[name]:.3f}", f"{other[name]:.3f}", f"{other[name] - one[name]:+.3f}", interval)
        )
    return cells


def probe_rows(found: Compared) -> list[tuple[str, str, str]]:
    """What the frozen probe said last in both ways; empty without one."""
    recorded, changed = (way.asked for way in found.ways)
    names = [name for name in recorded if name.rpartition(".")[2] in SKILLS and name in changed]
    return [(name, f"{recorded[name]:.3f}", f"{changed[name]:.3f}") for name in names]


def lines_of(found: Compared) -> Iterator[str]:
    """What each way is and what it cost."""
    for way in found.ways:
        steps = way.model.steps if way.model else 0
        under = ", ".join(f"{name}={value}" for name, value in way.changes.items()) or "the log's own settings"
        ended = f", stopped early after step {way.stopped:,}" if way.stopped is not None else ""
        yield f"{way.name}: {under}; {steps:,} steps in {way.seconds:.1f} s{ended}; serves {digest(way)}"


def verdicts_of(found: Compared) -> Iterator[str]:
    """In words, what the changes did to each task of classes."""
    for task, _, _ in rows(found):
        if (at := found.difference(task)) is not None:
            shown = in_words(at)
            yield f"{task}: {'the changes are ' if shown in ('better', 'worse') else ''}{shown}"


def drawn(found: Compared) -> Mapping[str, str]:
    """Plots by name: of each task its skill over the labels, and the probe over the steps."""
    plots = {}
    for task in found.ways[0].scores.records:
        both = [way.scores.curve(task) for way in found.ways]
        name = next((skill for skill in SKILLS if all(skill in one for one in both)), None)
        if name and all(len(one["n"]) > 1 for one in both):
            points = {w: [*zip(one["n"], one[name], strict=True)] for w, one in zip(WAYS, both, strict=True)}
            plots[f"fold-{task}"] = curves(f"{task}, each label before it is learned", "labels", name, points)
    history = {way.name: [(float(step), score) for step, score in way.probe] for way in found.ways}
    if all(len(points) > 1 for points in history.values()):
        plots["fold-probe"] = curves("the frozen probe", "steps", "mean skill over tasks", history)
    return plots


def to_json(found: Compared, seed: int = 0) -> dict[str, object]:
    """Both ways as one JSON object: by task their prequential figures, the difference and what it shows."""
    tasks: dict[str, dict[str, object]] = {}
    for task, metrics, window in rows(found):
        at = found.difference(task, seed)
        tasks[task] = {
            **{name: {"all": metrics[n], "window": window[n]} for n, name in enumerate(WAYS)},
            "mcc_difference": at and {**at._asdict(), "shows": in_words(at)},
        }
    return {"requests": found.requests, "ways": {way.name: _told(way, seed) for way in found.ways}, "tasks": tasks}


def rows(found: Compared) -> Iterator[tuple[str, list[dict[str, float]], list[dict[str, float]]]]:
    """Each task with both ways' figures over all labels and over the last window."""
    summaries = [way.scores.summary() for way in found.ways]
    for task in summaries[0]:
        both = [summary.get(task, {}) for summary in summaries]
        yield task, [one.get("all", {}) for one in both], [one.get("window", {}) for one in both]


def _told(way: Way, seed: int) -> dict[str, object]:
    model = way.model
    return {
        "changes": dict(way.changes),
        "version": model.version if model else None,
        "digest": digest(way),
        "steps": model.steps if model else 0,
        "seconds": round(way.seconds, 3),
        "stopped": way.stopped,
        "probe": dict(way.asked),
        "probe_history": [[step, round(score, 5)] for step, score in way.probe],
        "alerts": [list(one) for one in way.alerts],
        "targets": [one.to_dict() for one in way.tracker.report(seed)] if way.tracker else [],
    }

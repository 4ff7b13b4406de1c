"""Two folds of one log side by side, for people: rows, sentences, plots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from learners.paired import in_words
from learners.probe import SKILLS
from streams.charts import curves
from streams.compare import WAYS, Compared, digest, rows


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

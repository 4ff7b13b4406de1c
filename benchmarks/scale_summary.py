"""What the runs of the growth benchmark come to: rows, slopes with intervals, the model of bytes beside its check."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import isnan, log10
from statistics import median

import numpy as np
from scipy.special import stdtrit  # type: ignore[import-untyped]  # scipy ships no types

from benchmarks.scale_model import off_by
from benchmarks.scale_plan import FRAME, Figures
from benchmarks.scale_run import Found, Full, Held
from benchmarks.scale_watch import Cost
from learners.bootstrap import Interval
from schemas import topics
from streams.charts import Interval as Bar
from streams.charts import bars, curves

WHO = ("role", "redis", "kafka")


def slope(points: Sequence[tuple[float, float]], level: float = 0.95) -> Interval:
    """By how much the second number grows when the first grows tenfold, by least squares, with Student's interval.

    NaN with fewer than three points or a single size.
    """
    x, y = np.log10([at for at, _ in points]), np.array([value for _, value in points])
    spread = float(np.square(x - x.mean()).sum()) if len(points) > 2 else 0.0
    if not spread:
        return Interval(float("nan"), float("nan"), float("nan"))
    found = float((x - x.mean()) @ (y - y.mean())) / spread
    rest = y - y.mean() - found * (x - x.mean())
    error = float(np.sqrt(rest @ rest / (len(points) - 2) / spread)) * float(stdtrit(len(points) - 2, (1 + level) / 2))
    return Interval(found, found - error, found + error)


def middle(costs: Sequence[Cost]) -> dict[str, float]:
    """The medians of some costs."""
    found = {f"{who}_us": median(getattr(cost, f"{who}_us") for cost in costs) for who in WHO}
    return {
        "events_per_second": round(median(cost.per_s for cost in costs), 1),
        **{name: round(value, 1) for name, value in found.items()},
        "whole_us": round(median(cost.whole_us for cost in costs), 1),
        "rss_mb": round(median(cost.rss_mb for cost in costs), 1),
    }


def throughput(found: Found) -> list[dict[str, object]]:
    """By partitions and processes the medians over rounds; ``gain``: events a second over those of one process."""
    by_shape: dict[tuple[int, int], list[Cost]] = defaultdict(list)
    for partitions, processes, cost in found.throughput:
        by_shape[partitions, processes].append(cost)
    pace = {shape: median(cost.per_s for cost in costs) for shape, costs in by_shape.items()}
    return [
        {"partitions": partitions, "processes": processes, **middle(costs),
         "gain": round(pace[partitions, processes] / pace[partitions, 1], 2) if (partitions, 1) in pace else None}
        for (partitions, processes), costs in by_shape.items()
    ]  # fmt: skip


def sizes(series: Sequence[Full]) -> list[dict[str, object]]:
    """A row a size and kind of event."""
    return [
        {"size": full.size, "event": kind, **middle(costs), "ready_s": round(full.ready_s, 1),
         "rss_before_mb": round(full.rss_mb, 1)}
        for full in series
        for kind, costs in full.costs.items()
    ]  # fmt: skip


def slopes(series: Sequence[Full]) -> dict[str, dict[str, object]]:
    """By kind of event what ten times the size adds to it, in microseconds of the role and of Redis; whether that is
    nothing as far as can be seen (``flat``); and the largest size's cost over the smallest's."""
    told: dict[str, dict[str, object]] = {}
    for kind in series[0].costs if series else ():
        row: dict[str, object] = {}
        for who in ("role", "redis"):
            # One point a size: parts of one run on one store share what is odd about it.
            points = [(float(full.size), middle(full.costs[kind])[f"{who}_us"]) for full in series]
            found = slope(points)
            known = not isnan(found.value)  # of one size there is no slope, and JSON has no word for that
            row[f"{who}_us_per_decade"] = [round(value, 2) for value in found] if known else None
            row[f"{who}_flat"] = not found.excludes_zero if known else None
        first, last = (median(cost.whole_us for cost in full.costs[kind]) for full in (series[0], series[-1]))
        told[kind] = {**row, "whole_us": [round(first, 1), round(last, 1)], "times": round(last / first, 3)}
    return told


def memory(found: Found) -> list[dict[str, object]]:
    """By kind, at its largest size: bytes an entry in Redis, measured and by the model, and the model's error."""
    held: dict[str, Held] = {}
    for series in found.sizes.values():
        for full in series:
            held |= full.held
    if found.outbox:
        held["outbox"] = found.outbox
    return [
        {"kind": kind, "entries": one.entries, "bytes": round(one.measured / one.entries, 1),
         "model_bytes": round(one.expected / one.entries, 1),
         "off_by_percent": round(off_by(one.expected, one.measured), 2)}
        for kind, one in held.items()
    ]  # fmt: skip


def log(found: Found) -> list[dict[str, object]]:
    """By topic: bytes a record before and after compression; and by how much the ratio of one run, with the records of
    another, is off that one's log."""
    rows: list[dict[str, object]] = []
    for name, disk in found.disk.items():
        again = found.again.get(name)
        predicted = off_by(again.raw * disk.ratio, again.log) if again else None
        rows.append({"topic": name, "records": disk.records, "raw_bytes": round(disk.raw / max(disk.records, 1), 1),
                     "log_bytes": round(disk.log / max(disk.records, 1), 1), "ratio": round(disk.ratio, 3),
                     "off_by_percent": None if predicted is None else round(predicted, 2)})  # fmt: skip
    return rows


def figures(found: Found) -> Figures | None:
    """What a plan needs; None if a part was not measured. Costs are those at the largest size."""
    sessions, learners, items = (found.sizes.get(name, []) for name in ("sessions", "learners", "items"))
    if not (sessions and learners and items and found.worker and found.foreign):
        return None
    cost = {**sessions[-1].costs, **learners[-1].costs}
    us = {kind: middle(costs) for kind, costs in cost.items()}
    held = {
        kind: one.measured / one.entries for full in (sessions[-1], learners[-1]) for kind, one in full.held.items()
    }
    disk = {name: one.log / max(one.records, 1) for name, one in found.disk.items()}
    grown = learners[-1].size - learners[0].size
    each = {f"{verb}{suffix}": us[kind][f"{who}_us"]
            for verb, kind in (("score", "interaction"), ("join", "feedback"), ("curate", "example"))
            for suffix, who in (("_us", "role"), ("_redis_us", "redis"), ("_kafka_us", "kafka"))}  # fmt: skip
    said = found.disk[topics.FEEDBACK.name]
    return Figures(
        **each,
        fold_us=found.worker.role_us / found.examples_per_step,
        foreign_us=found.foreign.role_us,
        context_bytes=held["context"],
        pending_bytes=held["pending"],
        feedback_bytes=held["feedback"],
        labels_bytes=held["labels"],
        example_bytes=held["example"],
        consent_bytes=held["consent"],
        interaction_log=found.alone_bytes,
        feedback_log=said.raw / max(said.records, 1) + FRAME,
        prediction_log=disk[topics.PREDICTION.name],
        example_log=disk[topics.EXAMPLE.name],
        request_log=disk[topics.TRAIN_REQUEST.name] / found.examples_per_step,
        resident_bytes=(learners[-1].rss_mb - learners[0].rss_mb) * 2**20 / (2 * grown) if grown else 0.0,
        ready_s_per_million=(learners[-1].ready_s - learners[0].ready_s) / (2 * grown / 1e6) if grown else 0.0,
    )


def summary(found: Found) -> dict[str, object]:
    """Everything as one JSON object."""
    told: dict[str, object] = {"throughput": throughput(found)}
    for name, series in found.sizes.items():
        told[name] = {"rows": sizes(series), "slopes": slopes(series)}
    one = figures(found)
    told |= {
        "redis_bytes": memory(found),
        "kafka_bytes": log(found),
        "interaction_alone_bytes": round(found.alone_bytes, 1),
        "foreign_us": round(found.foreign.role_us, 1) if found.foreign else None,
        "worker": _worker(found),
        "figures": one.rounded() if one else None,
    }
    return told


def _worker(found: Found) -> dict[str, object]:
    if found.worker is None:
        return {}
    each = found.examples_per_step
    return {"steps_per_second": round(found.worker.per_s, 1), "cpu_us_per_step": round(found.worker.role_us, 1),
            "new_examples_per_step": round(each, 1), "examples_per_second": round(found.worker.per_s * each, 1),
            "snapshot_mb": round(found.snapshot_mb, 1)}  # fmt: skip


def drawn(found: Found) -> dict[str, str]:
    """Throughput as bars; cost by size as curves, sizes as powers of ten."""
    rows = throughput(found)
    named = [Bar(f"{row['partitions']} partitions, {row['processes']} proc.", float(str(row["events_per_second"])))
             for row in rows]  # fmt: skip
    plots = {"scale-throughput": bars("Scored interactions", "events a second", named)} if named else {}
    lines: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for name, series in found.sizes.items():
        for full in series:
            for kind, costs in full.costs.items():
                lines[f"{kind}, by {name}"].append((log10(full.size), median(cost.whole_us for cost in costs)))
    if any(len(points) > 1 for points in lines.values()):
        plots["scale-cost"] = curves("CPU of an event, roles and servers", "size, as a power of ten", "µs", lines)
    return plots


def tables(told: Mapping[str, object]) -> list[tuple[str, Sequence[Mapping[str, object]]]]:
    """What is shown to people: title and rows, of each table."""
    found: list[tuple[str, Sequence[Mapping[str, object]]]] = []
    for name in ("throughput", "sessions", "learners", "items", "redis_bytes", "kafka_bytes"):
        part = told.get(name)
        rows = part.get("rows") if isinstance(part, dict) else part
        if isinstance(rows, list) and rows:
            found.append((name.replace("_", " "), rows))
    return found

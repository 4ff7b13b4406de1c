"""``currere demo``: everything, in one process tree, to a report."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from schemas.errors import CurrereError
from streams.cli.up import stop_on_signals
from streams.settings import Settings, load

if TYPE_CHECKING:
    from streams.demo import Progress, Ran
    from streams.result import RunResult
    from streams.schedule import Classroom
    from streams.stage import Stage

BARS = " ▁▂▃▄▅▆▇█"
SIMULATED = 6_000  # interactions
SIMULATED_PER_S = 150.0
MOST_BEHIND = 1_000  # records that the roles may be behind when recorded data is played as fast as they keep up
LEARNED = ("teacher_move", "student_move")  # what the recorded and the simulated classrooms have labels for


def demo(
    data: Annotated[Path | None, typer.Option(help="a recorded data set; default: two simulated schools")] = None,
    events: Annotated[
        int | None, typer.Option(min=1, help="interactions to play; default: all, or 6,000 simulated")
    ] = None,
    kafka: Annotated[str | None, typer.Option(help="a real Kafka; default: an in-process log")] = None,
    redis: Annotated[str | None, typer.Option(help="a real Redis; default: an embedded one")] = None,
    report: Annotated[Path, typer.Option(help="where the report goes")] = Path("report.html"),
    rate: Annotated[
        float | None, typer.Option(help="events a second; default: 150 simulated, recorded as the roles keep up")
    ] = None,
    seed: Annotated[int, typer.Option(help="of the simulation, of delays and of the order of lessons")] = 0,
    keep: Annotated[Path | None, typer.Option(help="keep logs of the roles and snapshots in this folder")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="end with one JSON object on the last line")] = False,
) -> None:
    """Play a classroom, learn from it while it is served, and end with a report.

    Needs no server: without --kafka the roles are threads over an in-process log, without --redis a Redis-compatible
    server is started as a child. With --kafka the roles are processes of their own.

    Examples: currere demo; currere demo --data lessons.jsonl.gz --kafka HOST:9092 --redis redis://HOST:6379/0 --json
    """
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    stop = stop_on_signals()
    folder = keep or Path(tempfile.mkdtemp(prefix="currere-demo-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        result = run(data, events, kafka, redis, report, rate, seed, folder, stop, Console(stderr=True))
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    from streams.result import to_json

    if as_json:
        typer.echo(json.dumps(to_json(result)))
    if not result.audit.ok:
        raise CurrereError(f"the audit found: {result.audit.verdict} See {report}")


def run(
    data: Path | None,
    events: int | None,
    kafka: str | None,
    redis: str | None,
    report: Path,
    rate: float | None,
    seed: int,
    folder: Path,
    stop: threading.Event,
    console: Console,
) -> RunResult:
    """One run, drawn on ``console`` while it goes on; returns what came of it, with the report written."""
    from streams.books import Books
    from streams.demo import Demo
    from streams.play import Pace
    from streams.result import measure
    from streams.stage import EmbeddedStage, KafkaStage, memory_by_class, run_settings

    settings = run_settings(load(kafka=kafka, redis=redis, task_names=LEARNED), folder)
    pace = Pace(events_per_s=SIMULATED_PER_S if rate is None and data is None else rate)
    most_behind = MOST_BEHIND if pace.events_per_s is None else None
    deaths: dict[str, int] = {}

    def died(role: str, status: int) -> None:
        deaths[role] = deaths.get(role, 0) + 1
        console.print(f"[yellow]{role} ended with status {status} and was started again[/yellow]")

    stage: Stage = KafkaStage(settings, folder, died) if kafka else EmbeddedStage(settings, folder, redis)
    try:
        console.print(f"currere demo: {stage.what_broker}, {stage.what_store}, tenant {stage.settings.tenant}")
        classroom = _classroom(data, events, seed, stage.settings)
        with Live(console=console, refresh_per_second=4, transient=True) as live:
            ran = Demo(stage, classroom, pace, stop, lambda now: live.update(draw(now)), deaths, most_behind).run()
        if stop.is_set() and not _ended(ran):
            console.print("stopped before the end; nothing was left running")
            raise KeyboardInterrupt
        with console.status("reading the topics: was anything lost, or counted twice?"):
            result = measure(
                Books(stage.broker, stage.settings.tenant, stage.settings.model, stage.since),
                ran.observer.swaps,
                seconds=ran.seconds,
                rss_mb=ran.rss_mb,
                broker=stage.what_broker,
                store=stage.what_store,
                data=str(data) if data else f"simulated, seed {seed}",
                memory=memory_by_class(stage.store, stage.settings.tenant),
                settings=settings.model_dump(mode="json", exclude={"kafka_options", "redis", "kafka"}),
            )
    finally:
        stage.close()
    result = write(result, report)
    console.print(summary(result, ran, report))
    return result


def _classroom(data: Path | None, events: int | None, seed: int, settings: Settings) -> Iterable[Classroom]:
    from streams import recorded, schedule, simulated

    if data is None:
        return simulated.simulate(seed, events or SIMULATED, tenant=settings.tenant)
    return schedule.schedule(recorded.read(data), seed, events=events, tenant=settings.tenant)


def _ended(ran: Ran) -> bool:
    return not ran.played.stopped


def write(result: RunResult, path: Path) -> RunResult:
    """Write the report beside the result, which then says where it is."""
    from dataclasses import replace

    from streams.report import write_report

    result = replace(result, report=str(path))
    write_report(path, result)
    return result


def draw(now: Progress) -> Group:
    """A run at a moment."""
    table = Table.grid(padding=(0, 2))
    table.add_row("time", f"{now.seconds:5.0f} s", "sent", f"{now.played.sent:,}")
    waiting = ", ".join(f"{role} {count:,}" for role, count in now.behind.items())
    starting = "" if now.played.sent else "for the roles to start, and for a first model"
    table.add_row("labels", f"{now.labels:,}", "waiting", waiting or starting)
    table.add_row("model", now.version, "swapped", f"{now.fresh:,} times")
    lines: list[Table | Text] = [table]
    for task, curve in now.curve.items():
        lines.append(Text(f"{task:>13} MCC {now.mcc.get(task, 0):.3f} {spark(curve)}", style="green"))
    return Group(*lines)


def spark(curve: list[float], width: int = 60) -> str:
    """A curve of numbers in [0, 1] as one line of bars."""
    step = max(len(curve) // width, 1)
    shown = curve[::step][-width:]
    return "".join(BARS[round(min(max(value, 0.0), 1.0) * (len(BARS) - 1))] for value in shown)


def summary(result: RunResult, ran: Ran, report: Path) -> Table:
    """What came of a run, for a person."""
    audit, fresh = result.audit, result.freshness
    table = Table(title="What came of it", show_header=False, title_justify="left")
    table.add_row("events, feedback", f"{audit.events:,}, {audit.feedback:,}")
    table.add_row("step records, deltas, snapshots", f"{audit.steps:,}, {audit.deltas:,}, {audit.checkpoints:,}")
    table.add_row("audit", audit.verdict)
    for task, of_task in result.quality.items():
        quality = f"MCC {of_task.model.mcc:.3f}, last quarter {of_task.model.last_quarter_mcc:.3f}"
        table.add_row(task, f"{quality} (majority {of_task.majority.last_quarter_mcc:.3f})")
    if fresh.p50 is not None and fresh.p99 is not None:
        table.add_row("feedback to model", f"p50 {fresh.p50:.2f} s, p99 {fresh.p99:.2f} s, of {fresh.n:,}")
    if ran.first_model_s is not None:
        table.add_row("first model after", f"{ran.first_model_s:.1f} s")
    table.add_row("time, memory", f"{result.seconds:.0f} s, {result.rss_mb:.0f} MB")
    table.add_row("report", str(report))
    return table

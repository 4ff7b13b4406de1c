"""``currere play``: a recorded data set as if it happened now."""

from __future__ import annotations

import signal
import threading
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.options import Json, Kafka, Tenant, broker_of, progress_bar, show_json

if TYPE_CHECKING:
    from streams.play import Played


def play(
    file: Annotated[Path, typer.Argument(help="recorded lessons, .jsonl or .jsonl.gz")],
    speed: Annotated[
        float | None,
        typer.Option(help="1: as time went then; 60: sixty times faster; default: as fast as Kafka takes it"),
    ] = None,
    events: Annotated[
        int | None, typer.Option(min=1, help="interactions to publish, and all feedback on them; default: all")
    ] = None,
    form: Annotated[
        str | None,
        typer.Option("--format", help="TalkMoves, uptake, MRBench, MathDial or CIMA; default: by its fields"),
    ] = None,
    seed: Annotated[int, typer.Option(help="decides how late each feedback is, and how lessons interleave")] = 0,
    kafka: Kafka = None,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Publish a recorded data set as interactions and late feedback.

    Ids come from the recording: whoever was interrupted plays again, and what Kafka has already counts once.

    Example: currere play lessons.jsonl.gz --speed 60 --events 1000
    """
    from streams import recorded
    from streams.play import Pace
    from streams.play import play as publish
    from streams.schedule import schedule
    from streams.settings import load

    settings = load(kafka=kafka, tenant=tenant)
    pace = Pace(speed)
    planned = schedule(recorded.read(file, form), seed, events=events, tenant=settings.tenant)
    with progress_bar("interactions") as bar:
        task = bar.add_task("playing", total=events, note="")

        def show(played: Played) -> None:
            note = f"{played.feedback:,} feedbacks, {played.sent / max(played.seconds, 1e-9):,.0f} events/s"
            bar.update(task, completed=played.interactions, note=note)

        done = publish(planned, broker_of(settings), pace, stop=_on_interrupt(), on_progress=show)
    if as_json:
        show_json({**asdict(done), "reached": done.reached and done.reached.isoformat()})
    else:
        typer.echo(
            f"{done.interactions:,} interactions and {done.feedback:,} feedbacks in {done.seconds:.1f} s, "
            f"all acknowledged by {settings.kafka}" + (", then interrupted; play again for the rest" * done.stopped)
        )
    if done.stopped:
        raise typer.Exit(130)


def _on_interrupt() -> threading.Event:
    """An event that Ctrl-C sets, so that what was sent is acknowledged; a second Ctrl-C ends at once."""
    stop = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        stop.set()

    signal.signal(signal.SIGINT, handle)
    return stop

"""What many commands share: options that go over the settings, and how a result is shown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

    from streams.engines.kafka_broker import KafkaBroker
    from streams.settings import Settings

Kafka = Annotated[str | None, typer.Option("--kafka", help="bootstrap servers, over the setting", show_default=False)]
Redis = Annotated[str | None, typer.Option("--redis", help="URL of Redis, over the setting", show_default=False)]
BlobStore = Annotated[str | None, typer.Option("--blobs", help="where snapshots lie, over the setting")]
Tenant = Annotated[str | None, typer.Option("--tenant", help="whose data, over the setting", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="print one JSON document")]


def broker_of(settings: Settings) -> KafkaBroker:
    """The broker that ``settings`` name; it connects when it is first asked."""
    from streams.engines.kafka_broker import KafkaBroker

    return KafkaBroker(settings.kafka, settings.kafka_options, settings.kafka_replication)


def utc(moment: datetime) -> str:
    """``moment`` to the second, in UTC."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def show_json(result: object) -> None:
    """``result`` on standard output; indented where a person reads it."""
    import sys

    typer.echo(json.dumps(result, indent=2 if sys.stdout.isatty() else None, ensure_ascii=False))


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str = "") -> None:
    """A table on standard output. In a pipe it is as wide as it needs to be."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, title=title or None, title_justify="left", header_style="bold")
    for row in rows:
        table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    console.print(table)


STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red", "missing": "red"}
WIDTH = 200  # characters of a table that is not shown in a terminal


def progress_bar(unit: str) -> Progress:
    """A progress bar on standard error that is silent where nobody watches."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn(f"{{task.completed:,.0f}} {unit}"),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )

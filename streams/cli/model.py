"""``currere model``: the versions of a model, and how good one is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.options import BlobStore, Json, Kafka, Tenant, broker_of, progress_bar, show_json, show_table

if TYPE_CHECKING:
    from streams.checkpoints import Kept
    from streams.engines.broker import Broker
    from streams.settings import Settings

app = typer.Typer(no_args_is_help=True, help="The versions of a model, and how good one is.")

METRICS = ("n", "mcc", "macro_f1", "macro_f1_all", "accuracy", "majority_accuracy", "ece", "log_loss", "unscored")

Version = Annotated[str, typer.Argument(help="LINEAGE:OFFSET, or latest")]


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, help="the newest so many")] = 50,
    kafka: Kafka = None,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """List the checkpoints, newest first. Versions between two of them are reached by deltas.

    Example: currere model list --limit 10
    """
    from streams.checkpoints import history

    settings, broker = _connected(kafka, tenant)
    found = list(islice(history(broker, settings.tenant, settings.model), limit))
    if as_json:
        show_json([_brief(kept) for kept in found])
    elif found:
        rows = [
            (c.version, time_of(kept), f"{c.size:,}", _numbers(c.metrics), c.uri)
            for kept in found
            for c in (kept.checkpoint,)
        ]
        show_table(("version", "time", "bytes", "metrics", "lies at"), rows)
    else:
        typer.echo(f"{settings.tenant}/{settings.model} has no checkpoint yet; its worker writes the first one")


@app.command()
def show(
    version: Version,
    kafka: Kafka = None,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Show one checkpoint whole: digests, fingerprint, settings, where it lies.

    Example: currere model show latest
    """
    from streams.checkpoints import kept_as

    settings, broker = _connected(kafka, tenant)
    kept = kept_as(broker, settings.tenant, settings.model, version)
    whole = {"time": time_of(kept), **kept.checkpoint.model_dump(mode="json")}
    if as_json:
        show_json(whole)
        return
    rows = []
    for name, value in whole.items():
        inner = value.items() if isinstance(value, dict) else [("", value)]
        rows += [(f"{name}.{key}" if key else name, said(part)) for key, part in inner]
    show_table(("field", "value"), rows)


@app.command()
def evaluate(
    version: Version,
    file: Annotated[Path, typer.Argument(help="recorded lessons, .jsonl or .jsonl.gz")],
    kafka: Kafka = None,
    blobs: BlobStore = None,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Hold a version against the labels of recorded lessons, which it need not have met.

    `macro_f1` is the mean over the classes besides `none`, `macro_f1_all` over all.

    Example: currere model evaluate latest lessons.jsonl.gz --json
    """
    from learners.fingerprint import fix_threads
    from streams import recorded
    from streams.blobs import Blobs
    from streams.evaluate import evaluate as judge
    from streams.settings import load
    from streams.versions import served_at

    settings = load(kafka=kafka, blobs=blobs, tenant=tenant)
    fix_threads()
    lessons = recorded.read(file)
    served = served_at(broker_of(settings), Blobs(settings.blobs), settings.tenant, settings.model, version)
    with progress_bar("interactions") as bar:
        task = bar.add_task(f"evaluating {served.version}", total=None, note="")
        found = judge(served, lessons, lambda read: bar.update(task, completed=read))
    typer.echo(f"{served.version} on {file}", err=as_json)
    if as_json:
        show_json(found)
        return
    rows = [(task, *(_number(metrics.get(name)) for name in METRICS)) for task, metrics in found.items()]
    show_table(("task", *METRICS), rows)
    for name, metrics in found.items():
        per_class = metrics.get("per_class")
        if isinstance(per_class, dict):
            show_table((name, "f1", "n"), [(c, f"{s['f1']:.3f}", f"{s['n']:,}") for c, s in per_class.items()])


def _connected(kafka: str | None, tenant: str | None) -> tuple[Settings, Broker]:
    from streams.settings import load

    settings = load(kafka=kafka, tenant=tenant)
    return settings, broker_of(settings)


def _brief(kept: Kept) -> dict[str, object]:
    found = kept.checkpoint
    names = ("version", "lineage", "next_offset", "size", "metrics", "uri")
    return {"time": time_of(kept), **{name: getattr(found, name) for name in names}}


def time_of(kept: Kept) -> str:
    """When a checkpoint was made, to the second, in UTC."""
    return kept.time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _numbers(metrics: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:,.4g}" for name, value in metrics.items())


def said(value: object) -> str:
    """A field's value as one line."""
    return value if isinstance(value, str) else json.dumps(value)


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}" if isinstance(value, float) else ""

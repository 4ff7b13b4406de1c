"""``currere model``: the versions of a model, and how good one is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import ConfigurationError
from streams.cli.options import BlobStore, Json, Kafka, Tenant, broker_of, progress_bar, show_json, show_table, utc
from streams.cli.prune import prune

if TYPE_CHECKING:
    from learners.tracker import Standing
    from streams.checkpoints import Kept
    from streams.engines.broker import Broker
    from streams.explain import Explained, Source
    from streams.requests import Asked
    from streams.settings import Settings

app = typer.Typer(no_args_is_help=True, help="The versions of a model, and how good one is.")
app.command()(prune)

METRICS = (
    "n",
    "mcc",
    "macro_f1",
    "macro_f1_all",
    "accuracy",
    "majority_accuracy",
    "ece",
    "brier",
    "log_loss",
    "unscored",
)
EVERY_LABEL = 1_000_000  # a file has fewer

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
            (c.version, utc(kept.time), f"{c.size:,}", _numbers(c.metrics), c.uri)
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
    whole = {"time": utc(kept.time), **kept.checkpoint.model_dump(mode="json")}
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
    targets: Annotated[bool, typer.Option("--targets", help="show how the eight targets stand, too")] = False,
    plots: Annotated[Path | None, typer.Option(help="write reliability diagrams into this folder, as SVG")] = None,
    kafka: Kafka = None,
    blobs: BlobStore = None,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Hold a version against the labels of recorded lessons, which it need not have met.

    `macro_f1` is the mean over the classes besides `none`, `macro_f1_all` over all. `ece` and `brier` say how far its
    probabilities can be believed.

    Example: currere model evaluate latest lessons.jsonl.gz --json
    """
    from learners.fingerprint import fix_threads
    from learners.tracker import Tracker, TrackerSettings
    from streams import recorded
    from streams.blobs import Blobs
    from streams.charts import figures
    from streams.evaluate import evaluate as judge
    from streams.evaluate import reliability_plots
    from streams.settings import load
    from streams.versions import served_at

    settings = load(kafka=kafka, blobs=blobs, tenant=tenant)
    fix_threads()
    lessons = recorded.read(file)
    served = served_at(broker_of(settings), Blobs(settings.blobs), settings.tenant, settings.model, version)
    tracker = Tracker(served.settings.tasks, TrackerSettings(window=EVERY_LABEL)) if targets else None
    with progress_bar("interactions") as bar:
        task = bar.add_task(f"evaluating {served.version}", total=None, note="")
        found = judge(served, lessons, lambda read: bar.update(task, completed=read), tracker)
    for path in figures(plots, reliability_plots(found)):
        typer.echo(f"wrote {path}", err=True)
    standings = tracker.report(seed=0) if tracker else ()
    typer.echo(f"{served.version} on {file}", err=as_json)
    if as_json:
        show_json({**found, **({"targets": [one.to_dict() for one in standings]} if targets else {})})
        return
    rows = [(task, *(_number(metrics.get(name)) for name in METRICS)) for task, metrics in found.items()]
    show_table(("task", *METRICS), rows)
    for name, metrics in found.items():
        per_class = metrics.get("per_class")
        if isinstance(per_class, dict):
            show_table((name, "f1", "n"), [(c, f"{s['f1']:.3f}", f"{s['n']:,}") for c, s in per_class.items()])
    if standings:
        show_table(("target", "goal", "value", "95 % interval", "judged", "met"), map(_standing, standings))


@app.command()
def explain(
    version: Version = "latest",
    since: Annotated[str | None, typer.Option(help="only what was folded since this version: LINEAGE:OFFSET")] = None,
    top: Annotated[int, typer.Option(min=1, help="show the first so many of each list")] = 20,
    source: Annotated[Path | None, typer.Option("--from", help="requests of `fold --save`, in place of Kafka")] = None,
    kafka: Kafka = None,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """List the events behind a version, and the share that each had in what the model was told.

    The share is of summed sample weights, not of influence. What was taken back since is marked: it stays in the model
    until the log is folded without it. With --from, nobody knows what was taken back.

    Example: currere model explain latest --top 10
    """
    from streams.checkpoints import parsed
    from streams.explain import explain as explained
    from streams.explain import to_json, wanted
    from streams.requests import in_file, in_log
    from streams.withdrawn import withdrawn

    begin = parsed(since)[1] if since else 0
    if begin is None:
        raise ConfigurationError(f"--since {since}: nothing was folded since; name an earlier version, LINEAGE:OFFSET")
    settings, broker = _connected(kafka, tenant)
    with progress_bar("records") as bar:
        task = bar.add_task("reading", total=None, note="")

        def requests() -> Iterable[Asked]:
            if source is not None:
                return in_file(source)
            return in_log(broker, settings.tenant, settings.model, on_progress=progress)

        def progress(done: int, all: int) -> None:
            bar.update(task, completed=done, total=all)

        if source is not None:
            lineage, until = parsed(version)
            found = explained(requests, until, begin, lineage)
        else:
            until, lineage = wanted(broker, settings.tenant, settings.model, version)
            gone = withdrawn(broker, settings.tenant, settings.model)
            found = explained(requests, until, begin, lineage, gone)
    if as_json:
        show_json(to_json(found, top))
    else:
        _show_explained(found, top)


def _show_explained(found: Explained, top: int) -> None:
    from streams.explain import PARTIES

    typer.echo(f"{found.version}: {len(found.sources):,} events in {found.steps:,} steps; {found.asked:,} only asked")
    for party in PARTIES:
        totals = list(found.totals(party).items())[:top]
        show_table((party, "events", "share"), [(name or "-", f"{n:,}", f"{s:.2%}") for name, (n, s) in totals])
    columns = ("share", "event", "learner", "rater", "labels", "new", "again", "replayed", "taken back")
    show_table(columns, [_source(one) for one in found.sources[:top]])
    if found.gone:
        typer.echo(f"{found.gone:.2%} was taken back since; `currere fold --without event:ID` shows a model without it")


def _source(one: Source) -> tuple[str, ...]:
    example, numbers = one.example, (f"{one.new:.4f}", f"{one.again:.4f}", f"{one.replayed:,}")
    labels = ", ".join(f"{task} {said(value)}" for task, value in example.labels.items())
    who = (example.input.learner or "-", example.rater)
    return (f"{one.share:.3%}", example.interaction, *who, labels, *numbers, one.gone)


def _standing(one: Standing) -> tuple[str, ...]:
    interval = "" if one.low is None or one.high is None else f"{one.low:.3f} to {one.high:.3f}"
    met = "not measured" if one.met is None else "no" if not one.met else "yes" if one.shown else "yes, not shown"
    return one.name, f"{one.target:g}", _number(one.value), interval, f"{one.n:,} in {one.units:,} sessions", met


def _connected(kafka: str | None, tenant: str | None) -> tuple[Settings, Broker]:
    from streams.settings import load

    settings = load(kafka=kafka, tenant=tenant)
    return settings, broker_of(settings)


def _brief(kept: Kept) -> dict[str, object]:
    found = kept.checkpoint
    names = ("version", "lineage", "next_offset", "size", "metrics", "uri")
    return {"time": utc(kept.time), **{name: getattr(found, name) for name in names}}


def _numbers(metrics: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:,.4g}" for name, value in metrics.items())


def said(value: object) -> str:
    """A field's value as one line."""
    return value if isinstance(value, str) else json.dumps(value)


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}" if isinstance(value, float) else ""

"""``currere fold``: fold the recorded log again."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from schemas.errors import ModelRefused
from streams.settings import load


def fold(
    check: Annotated[str, typer.Option(help="version to hold the fold against: LINEAGE:OFFSET, or latest")] = "latest",
    kafka: Annotated[str | None, typer.Option(help="bootstrap servers")] = None,
    blobs: Annotated[str | None, typer.Option(help="where snapshots lie")] = None,
    tenant: Annotated[str | None, typer.Option(help="whose model")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Fold the train requests again from the genesis and compare with what was published; exit status 0 if equal.

    Example: currere fold --check latest --kafka kafka:9092
    """
    from streams.blobs import Blobs
    from streams.refold import check as check_fold
    from streams.up import kafka_of

    settings = load(kafka=kafka, blobs=blobs, tenant=tenant)
    with Progress(console=Console(stderr=True), disable=as_json, transient=True) as progress:
        bar = progress.add_task("folding", total=None)
        found = check_fold(
            kafka_of(settings),
            Blobs(settings.blobs),
            settings.tenant,
            settings.model,
            check,
            lambda done, all: progress.update(bar, completed=done, total=all),
        )
    result = {
        "version": found.version,
        "holds": found.holds,
        "requests": found.requests,
        "digest": found.served,
        "published_digest": found.published,
        "trained_digest": found.trained,
        "fingerprint": found.fingerprint,
    }
    if as_json:
        typer.echo(json.dumps(result))
    else:
        Console().print(f"{found.version}: {found.requests} requests fold to {found.served}")
    if not found.holds:
        published = found.published_fingerprint
        other = f" under another fingerprint ({published})" if published not in (None, found.fingerprint) else ""
        raise ModelRefused(f"{found.version} was published as {found.published}{other}; this fold gives {found.served}")

"""``currere fold``: fold the recorded log again."""

from __future__ import annotations

from typing import Annotated

import typer

from schemas.errors import ModelRefused
from streams.cli.options import BlobStore, Json, Kafka, Tenant, broker_of, progress_bar, show_json
from streams.settings import load


def fold(
    check: Annotated[str, typer.Option(help="version to hold the fold against: LINEAGE:OFFSET, or latest")] = "latest",
    kafka: Kafka = None,
    blobs: BlobStore = None,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Fold the train requests again from the genesis and compare with what was published; exit status 0 if equal.

    Example: currere fold --check latest --kafka kafka:9092
    """
    from streams.blobs import Blobs
    from streams.refold import check as check_fold

    settings = load(kafka=kafka, blobs=blobs, tenant=tenant)
    with progress_bar("requests") as bar:
        task = bar.add_task("folding", total=None, note="")
        found = check_fold(
            broker_of(settings),
            Blobs(settings.blobs),
            settings.tenant,
            settings.model,
            check,
            lambda done, all: bar.update(task, completed=done, total=all),
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
        show_json(result)
    else:
        typer.echo(f"{found.version}: {found.requests:,} requests fold to {found.served}")
    if not found.holds:
        published = found.published_fingerprint
        other = f" under another fingerprint ({published})" if published not in (None, found.fingerprint) else ""
        raise ModelRefused(f"{found.version} was published as {found.published}{other}; this fold gives {found.served}")

"""``currere model prune``: delete old snapshots from the blob store."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import CurrereError
from streams.cli.options import BlobStore, Json, Kafka, Tenant, broker_of, progress_bar, show_json, show_table, utc

if TYPE_CHECKING:
    from streams.prune import Pruning

DAY_S = 86_400.0


def prune(
    keep: Annotated[int, typer.Option(min=2, help="the newest so many that are whole stay", show_default=False)],
    older_than: Annotated[
        float, typer.Option(min=0.0, max=36_500.0, metavar="DAYS", help="younger ones stay, too")
    ] = 0.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be deleted")] = False,
    kafka: Kafka = None,
    blobs: BlobStore = None,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Delete snapshots from the blob store, all but the newest; the log that makes them again stays whole.

    What a reset in the log goes back to stays, too: folding needs it. Write none meanwhile, and none afterwards to a
    version that is gone: the fold would end there. A deleted version can no longer be evaluated or
    loaded. `currere fold --check VERSION` still proves it, by folding the log from its beginning: that takes about as
    long as learning did. The audit counts it as no longer there, which is no fault.

    Example: currere model prune --keep 20 --older-than 30 --dry-run
    """
    from streams.blobs import Blobs
    from streams.checkpoints import history
    from streams.prune import delete, plan, resets, to_json
    from streams.settings import load

    settings = load(kafka=kafka, blobs=blobs, tenant=tenant)
    broker, store, whose = broker_of(settings), Blobs(settings.blobs), (settings.tenant, settings.model)
    with progress_bar("records") as bar:
        task = bar.add_task("looking for resets", total=None, note="")
        needed = resets(broker, *whose, lambda done, all: bar.update(task, completed=done, total=all))
    until_ms = int((time.time() - older_than * DAY_S) * 1000)
    found = plan(history(broker, *whose), store, "/".join(whose), needed, keep, until_ms)
    if not found.kept:
        nothing = f"no whole snapshot of {'/'.join(whose)} lies in {settings.blobs}: nothing was deleted"
        raise CurrereError(f"{nothing}; name the worker's store with --blobs, its tenant with --tenant")
    if not dry_run:
        delete(found, store)
    if as_json:
        show_json({"dry_run": dry_run, **to_json(found)})
    else:
        _show(found, "would be deleted" if dry_run else "deleted")


def _show(found: Pruning, what: str) -> None:
    parts = (("kept", found.kept), ("a reset needs it", found.needed), ("young", found.young), (what, found.spare))
    rows = [(of, one.checkpoint, one.time) for of, part in parts for one in part]
    show_table(("version", "time", "bytes", ""), [(c.version, utc(at), f"{c.size:,}", of) for of, c, at in rows])
    typer.echo(f"{len(found.spare):,} {what}, {found.spare_bytes:,} bytes; {len(rows) - len(found.spare):,} stay")

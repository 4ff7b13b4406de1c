"""``currere audit``: prove from topics, store and blobs that nothing was lost and no model is but what its log says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import ConfigurationError, CurrereError
from streams.cli.options import BlobStore, Json, Kafka, Redis, Tenant, broker_of, progress_bar, show_json, show_table
from streams.settings import Settings, load

if TYPE_CHECKING:
    from streams.audit import Audit
    from streams.stock import Holding


def audit(
    kafka: Kafka = None,
    redis: Redis = None,
    blobs: BlobStore = None,
    tenant: Tenant = None,
    at_rest: Annotated[bool, typer.Option(help="the roles have done their work: no outcome means lost")] = False,
    store: Annotated[bool, typer.Option("--store/--no-store", help="read Redis, too")] = True,
    fold: Annotated[bool, typer.Option("--fold/--no-fold", help="open snapshots, apply deltas, fold all again")] = True,
    as_json: Json = False,
) -> None:
    """Read every topic, Redis and the snapshots, ask of each record what became of it; exit status 0 if all is well.

    Shares no code and no counter with the roles, but the schemas and the fold. While they work, what has no outcome
    yet is pending, not lost. Folding takes about as long as learning did; --no-fold leaves it out. Exit status 2 if
    there is nothing at all of the tenant.

    Example: currere audit --kafka kafka:9092 --redis redis://redis:6379/0 --at-rest
    """
    settings = load(kafka=kafka, redis=redis, blobs=blobs, tenant=tenant)
    with ExitStack() as stack:
        holdings = stack.enter_context(_inventory(settings)) if store else None
        found = _audited(settings, at_rest, holdings, fold)
    if as_json:
        show_json(found.to_dict())
    else:
        typer.echo(found.verdict)
        show_table(("count", "of"), [(f"{n:,}", what) for what, n in _counts(found) if n])
        if found.findings:
            show_table(("kind", "where", "what"), [tuple(map(str, finding)) for finding in found.findings])
    if found.is_empty:
        where = "neither the topics nor the store hold" if store else "the topics do not hold"
        besides = f" beside {found.unnamed:,} inputs that name no tenant" if found.unnamed else ""
        what = f"anything of tenant {settings.tenant}{besides}: nothing was proven"
        raise ConfigurationError(f"{where} {what}; name the tenant of the roles with --tenant or the setting tenant")
    if not found.ok:
        raise CurrereError(found.verdict)


def _inventory(settings: Settings) -> AbstractContextManager[Iterable[Holding]]:
    from state.inventory import inventory

    return inventory(settings.redis, settings.tenant, settings.redis_cluster)


def _audited(settings: Settings, at_rest: bool, holdings: Iterable[Holding] | None, fold: bool) -> Audit:
    from learners.fingerprint import fix_threads
    from streams.audit import audit as audit_all
    from streams.blobs import Blobs

    if fold:
        fix_threads()
    with progress_bar("requests") as bar:
        task = bar.add_task("auditing", total=None, note="")
        return audit_all(
            broker_of(settings),
            settings.tenant,
            settings.model,
            at_rest=at_rest,
            holdings=holdings,
            fetch=Blobs(settings.blobs).look if fold else None,
            on_progress=lambda done, all: bar.update(task, completed=done, total=all),
            horizon_s=settings.horizon_s,
        )


def _counts(found: Audit) -> Iterator[tuple[str, int]]:
    """What there was, in words, and how often."""
    for name in ("events", "feedback", "predictions", "examples", "requests", "steps", "deltas", "checkpoints"):
        yield "step records" if name == "steps" else name, getattr(found, name)
    yield from ((f"dead letters: {reason}", n) for reason, n in found.dead_letters.items())
    yield from ((f"fates: {kind}", n) for kind, n in found.fates.items())
    yield "lost: no outcome", found.lost
    yield "counted twice", found.duplicated
    yield "predicted by a model that knew the label", found.peeked
    yield "faults in what is published or stored", found.faults
    yield "still at work", found.pending
    yield "feedback that waits for its interaction", found.waiting
    yield "beyond the log's memory", found.forgotten
    yield "sent again, counted once", found.resent
    yield "inputs that name no tenant, so everybody's", found.unnamed
    yield "shards in the store", found.shards
    yield "values in the store", found.values
    yield "outputs in the store, not in the log yet", found.unsent
    yield "snapshots opened", found.snapshots
    yield "snapshots no longer in the blob store", found.snapshots_gone
    yield "versions that are what their requests fold to", found.proven
    yield "versions not proven: another fingerprint, or no genesis", found.unproven

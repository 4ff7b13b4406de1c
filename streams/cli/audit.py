"""``currere audit``: prove from the topics alone that nothing was lost and nothing counted twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import CurrereError
from streams.cli.options import Json, Kafka, Tenant, broker_of, show_json, show_table
from streams.settings import load

if TYPE_CHECKING:
    from streams.audit import Audit


def audit(
    kafka: Kafka = None,
    tenant: Tenant = None,
    at_rest: Annotated[bool, typer.Option(help="the roles have done their work: no outcome means lost")] = False,
    as_json: Json = False,
) -> None:
    """Read every topic and ask of each record what became of it; exit status 0 if nothing was lost or counted twice.

    Shares no code and no counter with the roles. While they work, what has no outcome yet is pending, not lost.

    Example: currere audit --kafka kafka:9092 --at-rest
    """
    from streams.audit import audit as audit_topics

    settings = load(kafka=kafka, tenant=tenant)
    found = audit_topics(broker_of(settings), settings.tenant, settings.model, at_rest=at_rest)
    if as_json:
        show_json(found.to_dict())
    else:
        typer.echo(found.verdict)
        show_table(("count", "of"), [(f"{n:,}", what) for what, n in _counts(found) if n])
        if found.findings:
            show_table(("kind", "where", "what"), [tuple(map(str, finding)) for finding in found.findings])
    if not found.ok:
        raise CurrereError(found.verdict)


def _counts(found: Audit) -> Iterator[tuple[str, int]]:
    """What there was, in words, and how often."""
    for name in ("events", "feedback", "predictions", "examples", "requests", "steps", "deltas", "checkpoints"):
        yield name, getattr(found, name)
    yield from ((f"dead letters: {reason}", n) for reason, n in found.dead_letters.items())
    yield from ((f"fates: {kind}", n) for kind, n in found.fates.items())
    yield "lost: no outcome", found.lost
    yield "counted twice", found.duplicated
    yield "predicted by a model that knew the label", found.peeked
    yield "faults in what consumers follow", found.faults
    yield "still at work", found.pending
    yield "feedback that waits for its interaction", found.waiting
    yield "beyond the log's memory", found.forgotten
    yield "sent again, counted once", found.resent

"""``currere audit``: prove from the topics alone that nothing was lost and nothing counted twice."""

from __future__ import annotations

from typing import Annotated

import typer

from schemas.errors import CurrereError
from streams.cli.options import Json, Kafka, Tenant, broker_of, show_json, show_table
from streams.settings import load


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
        counts = {name: value for name, value in found.to_dict().items() if isinstance(value, int)}
        show_table(("count", "of"), [(f"{value:,}", name.replace("_", " ")) for name, value in counts.items()])
        show_table(("kind", "where", "what"), [tuple(map(str, finding))[:3] for finding in found.findings])
    if not found.ok:
        raise CurrereError(found.verdict)

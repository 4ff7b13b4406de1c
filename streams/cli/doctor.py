"""``currere doctor``: what is wrong, and how to mend it."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict

import typer

from streams.cli.options import BlobStore, Json, Kafka, Redis, Tenant, broker_of, show_json, show_table


def doctor(
    kafka: Kafka = None,
    redis: Redis = None,
    blobs: BlobStore = None,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Look at versions, Kafka, topics, Redis, state and blobs; exit status 1 if something will not work.

    A `warn` works, and may bite.

    Example: currere doctor --kafka kafka:9092 --redis redis://redis:6379/0
    """
    from rich.console import Console

    from streams.doctor import examine
    from streams.settings import load

    settings = load(kafka=kafka, redis=redis, blobs=blobs, tenant=tenant)
    with Console(stderr=True).status("looking"):
        found = list(examine(settings, broker_of(settings), time.time))
    if as_json:
        show_json([asdict(check) for check in found])
    else:
        show_table(("check", "state", "found", "what to do"), [(c.name, c.state, c.found, c.mend) for c in found])
        states = Counter(check.state for check in found)
        typer.echo(", ".join(f"{states[state]} {state}" for state in ("ok", "warn", "fail")))
    if any(check.state == "fail" for check in found):
        raise typer.Exit(1)

"""``currere up``: run roles until told to stop."""

from __future__ import annotations

import logging
import os
import signal
import threading
from types import FrameType
from typing import Annotated

import typer

from schemas.errors import ConfigurationError
from streams.settings import load

DRAIN_S = 10.0


def up(
    roles: Annotated[list[str] | None, typer.Argument(help="session, curate, worker; default: all of them")] = None,
    kafka: Annotated[str | None, typer.Option(help="bootstrap servers")] = None,
    redis: Annotated[str | None, typer.Option(help="URL of Redis")] = None,
    blobs: Annotated[str | None, typer.Option(help="where snapshots lie: file://DIR or s3://BUCKET/PREFIX")] = None,
    metrics_port: Annotated[int | None, typer.Option(help="serve /metrics and /healthz here (one role only)")] = None,
    verbose: Annotated[bool, typer.Option(help="log every assignment")] = False,
) -> None:
    """Run ROLES against the configured Kafka and Redis until SIGTERM; then drain and stop within 10 s.

    One role runs in this process; several run as children that are started again when they die.

    Example: currere up session --kafka kafka:9092 --redis redis://redis:6379/0 --metrics-port 9100
    """
    from streams.roles import ROLES

    chosen = roles or list(ROLES)
    if unknown := [role for role in chosen if role not in ROLES]:
        raise ConfigurationError(f"there is no role {unknown[0]!r}; the roles are {', '.join(ROLES)}")
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = load(kafka=kafka, redis=redis, blobs=blobs, metrics_port=metrics_port)
    stop = stop_on_signals()
    if len(chosen) == 1:
        from streams.up import RoleProcess

        RoleProcess(chosen[0], settings, stop, give_up=end_soon).run()
        return
    if settings.metrics_port is not None:
        raise ConfigurationError("metrics_port serves one role; run each role by itself, or leave it out")
    from streams.supervisor import Supervisor

    given = {"CURRERE_KAFKA": settings.kafka, "CURRERE_REDIS": settings.redis, "CURRERE_BLOBS": settings.blobs}
    Supervisor(chosen, given).run(stop)


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set; whoever is not done ``DRAIN_S`` later is ended with status 1."""
    stop = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if not stop.is_set():
            end_soon()
        stop.set()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
    return stop


def end_soon() -> None:
    """End this process with status 1 in ``DRAIN_S``, whatever it does then."""
    timer = threading.Timer(DRAIN_S, os._exit, (1,))
    timer.daemon = True
    timer.start()

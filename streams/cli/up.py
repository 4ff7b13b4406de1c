"""``currere up``: run roles until told to stop."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import ConfigurationError
from streams import failpoints
from streams.settings import load

if TYPE_CHECKING:
    from streams.supervisor import Supervisor

DRAIN_S = 10.0


def up(
    roles: Annotated[list[str] | None, typer.Argument(help="session, curate, worker; default: all of them")] = None,
    kafka: Annotated[str | None, typer.Option(help="bootstrap servers")] = None,
    redis: Annotated[str | None, typer.Option(help="URL of Redis")] = None,
    blobs: Annotated[str | None, typer.Option(help="where snapshots lie: file://DIR or s3://BUCKET/PREFIX")] = None,
    engine: Annotated[str | None, typer.Option(help="what polls Kafka: kafka, or faust (extra `faust`)")] = None,
    metrics_port: Annotated[int | None, typer.Option(help="serve /metrics and /healthz here (one role only)")] = None,
    verbose: Annotated[bool, typer.Option(help="log every assignment")] = False,
) -> None:
    """Run ROLES against the configured Kafka and Redis until SIGTERM; then drain and stop within 10 s.

    One role runs in this process; several run as children that are started again when they die.

    Example: currere up session --kafka kafka:9092 --redis redis://redis:6379/0 --metrics-port 9100
    """
    from state.redis import without_secrets
    from streams.roles import ROLES

    chosen = roles or list(ROLES)
    if unknown := [role for role in chosen if role not in ROLES]:
        raise ConfigurationError(f"there is no role {unknown[0]!r}; the roles are {', '.join(ROLES)}")
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = load(kafka=kafka, redis=redis, blobs=blobs, engine=engine, metrics_port=metrics_port)
    stop = stop_on_signals()
    where = (
        f"kafka {settings.kafka}, engine {settings.engine}, redis {without_secrets(settings.redis)}, "
        f"tenant {settings.tenant}"
    )
    typer.echo(f"currere: {', '.join(chosen)} on {where}; SIGTERM or Ctrl-C drains and ends", err=True)
    if len(chosen) == 1:
        told = os.environ.get(failpoints.ENVIRONMENT)
        failpoints.arm(told)
        if told:
            typer.echo(f"currere: {failpoints.ENVIRONMENT}={told}: this process will kill itself there", err=True)
        from streams.up import RoleProcess

        RoleProcess(chosen[0], settings, stop, give_up=end_soon).run()
        return
    if settings.metrics_port is not None:
        raise ConfigurationError("metrics_port serves one role; run each role by itself, or leave it out")
    from streams.supervisor import Supervisor

    passed_on = {"kafka": settings.kafka, "redis": settings.redis, "blobs": settings.blobs, "engine": settings.engine}
    given = {f"CURRERE_{name.upper()}": value for name, value in passed_on.items()}
    supervisor = Supervisor(chosen, given, arguments=["--verbose"] * verbose, ports=True, on_death=_tell_of_death)
    supervisor.run(stop, _tell_when_ready(supervisor))
    typer.echo("currere: drained", err=True)


def _tell_of_death(role: str, status: int) -> None:
    typer.echo(f"currere: {role} ended with status {status} and is started again", err=True)


def _tell_when_ready(supervisor: Supervisor) -> Callable[[], None]:
    """What to call now and then: it says once of each role that it may be given work."""
    told: set[str] = set()

    def tell() -> None:
        for role, address in supervisor.ready_roles().items():
            if role not in told:
                told.add(role)
                typer.echo(f"currere: {role} is ready; {address}/metrics and /healthz", err=True)

    return tell


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

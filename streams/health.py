"""Healthy means progress: what a role knows of itself, and the verdict on it.

A role that polls but stands still while there is lag is not healthy, and neither is one whose broker has fallen silent,
however calm that looks.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from streams.metrics import Metrics


@dataclass(slots=True)
class Vitals:
    """What a role last did, in seconds of one clock; None: never, or not known."""

    started: float
    polled: float
    progressed: float
    lag_records: int | None = None
    broker_heard: float | None = None
    not_taken: str | None = None  # why a partition could not be taken
    waiting_for: str | None = None
    recovering_since: float | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds after which silence or standing still is no longer health."""

    stall_s: float = 30.0
    poll_s: float = 15.0
    broker_s: float = 30.0
    recovery_s: float = 270.0  # below max.poll.interval.ms: nothing is polled while a partition is taken


@dataclass(frozen=True, slots=True)
class Verdict:
    """Alive: the process does its work. Ready: it may be given work. ``why`` says what is wrong, if anything."""

    alive: bool
    ready: bool
    why: tuple[str, ...] = ()


def verdict(vitals: Vitals, now: float, limits: Limits) -> Verdict:
    """Whether a role is alive and ready at ``now``."""
    why = []
    if now - vitals.polled > (limits.poll_s if vitals.recovering_since is None else limits.recovery_s):
        why.append(f"has not polled for {now - vitals.polled:.0f} s")
    if vitals.broker_heard is not None and now - vitals.broker_heard > limits.broker_s:
        why.append(f"the broker has been silent for {now - vitals.broker_heard:.0f} s")
    if vitals.recovering_since is None and (vitals.lag_records or 0) > 0 and now - vitals.progressed > limits.stall_s:
        why.append(f"no progress for {now - vitals.progressed:.0f} s with {vitals.lag_records} records to take")
    alive = not why
    if vitals.not_taken:
        why.append(vitals.not_taken)
    if vitals.waiting_for:
        why.append(f"waits for {vitals.waiting_for}")
    return Verdict(alive, not why, tuple(why))


@dataclass
class HealthServer:
    """Serves ``/metrics`` and ``/healthz`` on loopback, or on ``host``; 503 with the reasons when not healthy."""

    metrics: Metrics
    roles: dict[str, Callable[[], Verdict]]
    host: str = "127.0.0.1"
    port: int = 0
    _server: ThreadingHTTPServer = field(init=False)

    def __post_init__(self) -> None:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, kind, body = outer.answer(self.path)
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Scrapes are not news."""

        self._server = ThreadingHTTPServer((self.host, self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="health", daemon=True).start()

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Status, content type and body for a path."""
        if path.startswith("/metrics"):
            for role, judge in self.roles.items():
                self.metrics.gauge("healthy", float(judge().alive), role=role)
            return 200, CONTENT_TYPE_LATEST, generate_latest(self.metrics.registry)
        if path.startswith("/healthz"):
            found = {role: judge() for role, judge in self.roles.items()}
            body = {role: {"alive": v.alive, "ready": v.ready, "why": list(v.why)} for role, v in found.items()}
            return 200 if all(v.ready for v in found.values()) else 503, "application/json", json.dumps(body).encode()
        return 404, "text/plain", b"/metrics or /healthz\n"

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()

"""Rows about Kafka: killed, restarted, and a bad network before it."""

from __future__ import annotations

import time
from functools import partial

from streams.chaos.infra import OUTAGE_S, infra, infra_of, pause
from streams.chaos.matrix import Row
from streams.chaos.proxy import Weather
from streams.chaos.stand import Stand
from streams.roles import ROLES

SLOW_S = 0.1  # each way, each piece
FLAPS = 12


def ended(here: Stand, *, in_order: bool) -> None:
    """The broker ends while everybody is at work, and is started again at once."""
    here.start(*ROLES)
    here.play()
    here.reach("session", here.random.randint(20, 80))
    broker, begun = here.servers.broker, time.monotonic()
    if in_order:
        broker.stop()
    else:
        broker.kill()
    broker.start()
    here.note("broker_restart_s", time.monotonic() - begun)
    here.recovered("outage", *ROLES)


def cut_off(weather: Weather, here: Stand) -> None:
    """The roles cannot speak with the broker for longer than their session lasts."""
    servers = infra_of(here)
    here.start(*ROLES, kafka=servers.detour)
    here.play()
    here.reach("session", here.random.randint(20, 80))
    servers.to_broker.set(weather)
    try:
        pause(OUTAGE_S)
    finally:
        servers.to_broker.set(Weather.CLEAR)
    here.recovered("outage", *ROLES)


def slow(here: Stand) -> None:
    """The network holds everything back; the roles go on, slower."""
    servers = infra_of(here)
    here.start(*ROLES, kafka=servers.detour)
    here.play()
    here.reach("session", here.random.randint(20, 80))
    servers.to_broker.set(Weather.SLOW, SLOW_S)
    try:
        for role in ROLES:
            here.reach(role, 5)
    finally:
        servers.to_broker.set(Weather.CLEAR)
    here.recovered("outage", *ROLES)


def flapping(here: Stand) -> None:
    """Connections are made and broken, again and again."""
    servers = infra_of(here)
    here.start(*ROLES, kafka=servers.detour)
    here.play()
    here.reach("session", here.random.randint(20, 80))
    for _ in range(FLAPS):
        servers.to_broker.set(Weather.RESET)
        servers.to_broker.set(Weather.CLEAR)
        pause(here.random.uniform(0.05, 0.5))
    here.recovered("outage", *ROLES)


CUT = "for longer than the roles' session timeout"
ROWS = (
    Row("broker-killed", "SIGKILL of the broker at work, started again at once",
        "what it acknowledged is there, and all roles go on", partial(ended, in_order=False), on=infra),
    Row("broker-restarted", "the broker is stopped in order at work, and started again",
        "all roles go on", partial(ended, in_order=True), on=infra),
    Row("broker-unreachable", f"connections to the broker are refused {CUT}",
        "whoever was replaced meanwhile does no harm, and all roles go on", partial(cut_off, Weather.REFUSE), on=infra),
    Row("broker-swallowed", f"what is said to the broker is swallowed {CUT}",
        "the same, though nobody was told of a broken connection", partial(cut_off, Weather.DROP), on=infra),
    Row("broker-half-open", f"the broker hears the roles and its answers are swallowed {CUT}",
        "what was produced and not acknowledged counts once", partial(cut_off, Weather.HALF_OPEN), on=infra),
    Row("broker-slow", f"each piece to and from the broker is held back by {SLOW_S} s",
        "the roles go on meanwhile", slow, on=infra),
    Row("broker-flapping", f"all connections to the broker are reset {FLAPS} times in a few seconds",
        "all roles go on", flapping, on=infra),
)  # fmt: skip

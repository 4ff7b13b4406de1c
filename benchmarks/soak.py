"""Half of the sustainable rate for half an hour: does anything grow that should not?

    currere bench soak [--minutes 30] [--horizon-s 120] [--rate EVENTS_PER_S] [--json]

All roles run as processes over real Kafka and Redis, started for the run unless addresses are given. First the
sustainable rate is measured as by `currere bench overload`, unless ``--rate`` gives it; then half as many events a
second are sent as time goes: lessons that begin and end, new learners in each, new experts every hundred lessons, half
of all judgements later than the join horizon, which is two minutes. Every few seconds it looks at memory, open files
and threads of each role's process, at the memory of Redis and what it holds, at what each role has not taken yet, and
at the disk.

The slope of each series after a warm-up (a third of the time, and at least five horizons) is given with its 95 %
interval, which honours that looks are alike (`benchmarks/soak_slope.py`), and in percent of the series a day. The bar:
the intervals of resident memory, open files, Redis' memory and lag contain 0. Of ten such intervals of series that are
level one lies beside 0 in two runs of five; ``together`` says whether all ten hold 0 at once, at 95 % (Bonferroni).
What is told beside the bar may grow: Kafka keeps its log until retention, and every snapshot is kept.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from benchmarks.output import arguments, count, finish, program, progress, table
from benchmarks.overload import READY_S, a_tenant, running, sustainable_rate
from benchmarks.overload_watch import Place
from benchmarks.redis_program import redis_program
from benchmarks.soak_lessons import lessons, per_lesson_s
from benchmarks.soak_slope import FEWEST
from benchmarks.soak_summary import COLUMNS, Result, drawn, summary, warm_up_minutes
from benchmarks.soak_watch import Look, seen
from deploy.kafka import broker as servers
from deploy.kafka.broker import QUICK
from schemas.errors import BrokerError, ConfigurationError, CurrereError, StoreUnavailable
from streams.audit import audit
from streams.embedded import EmbeddedRedis
from streams.play import Pace, Played, play
from streams.schedule import Classroom
from streams.settings import Settings, load

DAY_S = 86_400.0
LOOKED_AGAIN_S = 15.0  # by then every role has looked for what is due


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, soak, look, audit."""
    parser = arguments(__doc__, "currere bench soak --minutes 30 --json")
    parser.add_argument("--minutes", type=float, default=30.0, help="how long it is soaked (default 30)")
    parser.add_argument("--horizon-s", type=float, default=120.0, help="the join horizon in seconds (default 120)")
    parser.add_argument("--rate", type=float, metavar="EVENTS_PER_S", help="what is sustainable (default: measured)")
    parser.add_argument("--share", type=float, default=0.5, help="of the sustainable rate is sent (default .5)")
    parser.add_argument("--every-s", type=float, default=5.0, help="seconds between two looks (default 5)")
    parser.add_argument("--warm-up-minutes", type=float, help="default: a third of the time, at least five horizons")
    parser.add_argument("--backlog", type=count, default=6_000, help="events that the rate is measured on")
    parser.add_argument("--partitions", type=count, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kafka", metavar="ADDRESS", help="a running Kafka (default: one is started)")
    parser.add_argument("--redis", metavar="URL", help="a running Redis (default: one is started)")
    given = parser.parse_args(argv)
    check(given)
    try:
        found = measured(given)
    except (servers.BrokerFailed, CurrereError) as error:
        print(f"currere: {error}", file=sys.stderr)
        return 1
    told = summary(found, given)
    if not given.json:
        table(
            ("figure", "value"), [(name, value) for name, value in told.items() if not isinstance(value, list | dict)]
        )
        for name, title in (("rows", "The bar"), ("beside", "Beside it")):
            table(COLUMNS, [row.values() for row in told[name]], title)  # type: ignore[attr-defined]  # a list of rows
    finish(told, given, drawn(found.looks))
    return 0 if told["holds"] else 1


def check(given: argparse.Namespace) -> None:
    """Raise ConfigurationError unless a slope can come of it."""
    left_s = 60 * (given.minutes - warm_up_minutes(given))
    if left_s < (FEWEST + 1) * given.every_s:
        raise ConfigurationError(
            f"{max(left_s, 0):.0f} s are left after a warm-up of {warm_up_minutes(given):.1f} minutes, too few for "
            f"{FEWEST} looks; more --minutes, or a shorter --horizon-s or --warm-up-minutes"
        )


def measured(given: argparse.Namespace) -> Result:
    """The whole run. Raises BrokerFailed, CurrereError."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="currere-soak-")))
        disks = {"blobs.disk_mb": folder / "blobs"}
        kafka = given.kafka
        if kafka is None:
            kafka = stack.enter_context(servers.Broker(folder / "kafka", settings=QUICK)).bootstrap
            disks["kafka.disk_mb"] = folder / "kafka" / "log"
        redis = given.redis or stack.enter_context(EmbeddedRedis(folder / "redis", redis_program())).url
        shared = {
            "kafka": kafka,
            "redis": redis,
            "partitions": given.partitions,
            "horizon_days": given.horizon_s / DAY_S,
        }
        sustainable = given.rate
        if sustainable is None:
            first = load(**shared, tenant=a_tenant("soak"), blobs=f"file://{folder}/first", shed_after_s=0.0)
            with running(first, folder) as place:
                sustainable = sustainable_rate(place, given.seed, given.backlog)
        with running(_settings(shared, folder), folder) as place:
            return _soaked(place, given, sustainable, disks)


def _settings(shared: Mapping[str, object], folder: Path) -> Settings:
    return load(**shared, tenant=a_tenant("soak"), blobs=f"file://{folder}/blobs")


def _soaked(place: Place, given: argparse.Namespace, sustainable: float, disks: Mapping[str, Path]) -> Result:
    settings = place.settings
    at_once = max(round(sustainable * given.share / per_lesson_s(given.seed)), 1)
    said = lessons(given.seed, at_once, settings.tenant, datetime.now(UTC))
    events, stop = chain([next(said)], said), threading.Event()  # the lessons under way are made before it begins
    with ThreadPoolExecutor(1, "lessons") as pool, Redis.from_url(settings.redis) as redis:
        sending = pool.submit(_send, events, place, stop)
        try:
            looks = list(_looks(place, redis, disks, given, sending))
        finally:
            stop.set()
        played = sending.result()
    restarts = sum(child.deaths for child in place.supervisor.children.values())
    caught_up = _rests(place)
    return Result(
        sustainable_per_s=sustainable,
        played=played,
        looks=looks,
        restarts=restarts,
        caught_up=caught_up,
        audit=audit(place.broker, settings.tenant, settings.model, at_rest=caught_up, horizon_s=settings.horizon_s),
    )


def _send(events: Iterator[Classroom], place: Place, stop: threading.Event) -> Played:
    return play(events, place.broker, Pace(speed=1.0), stop=stop)


def _looks(
    place: Place, redis: Redis, disks: Mapping[str, Path], given: argparse.Namespace, sending: Future[Played]
) -> Iterator[Look]:
    """A look every few seconds for so many minutes. Raises RoleDied, or what the sender raises."""
    begun, pause = time.monotonic(), threading.Event()
    whole = int(60 * given.minutes / given.every_s)
    with progress("looks", whole, "soaked") as advance:
        for number in range(1, whole + 1):
            pause.wait(max(begun + number * given.every_s - time.monotonic(), 0.0))
            place.supervisor.tend()
            if sending.done():
                sending.result()
                raise BrokerError("the lessons ended before their time")
            try:
                yield Look(round(time.monotonic() - begun, 2), seen(place, redis, disks))
            except (BrokerError, StoreUnavailable, RedisError):  # an answer may be late: look again
                continue
            finally:
                advance()


def _rests(place: Place) -> bool:
    """Wait until every role has taken everything and nothing waits any more; whether that came in time.

    Feedback whose interaction is forgotten waits for a horizon, and then has its fate.
    """
    pause = threading.Event()
    pause.wait(place.settings.horizon_s + LOOKED_AGAIN_S)
    deadline = time.monotonic() + READY_S
    while any(place.behind().values()):
        if time.monotonic() > deadline:
            return False
        pause.wait(1.0)
    return True


if __name__ == "__main__":
    program(main)

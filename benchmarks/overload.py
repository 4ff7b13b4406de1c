"""Ten times the sustainable rate for a minute: is memory bounded, what is left out, and how soon has it caught up?

    currere bench overload [--seconds 60] [--times 10] [--kafka ADDRESS] [--redis URL] [--json]

All roles run as processes over real Kafka and Redis, started for the run unless addresses are given. First two backlogs
are worked off with nothing left out: the *sustainable* rate is how many more events the larger holds, over how much
longer it takes; interactions and feedback together, with all roles and the servers on this machine. Then ``times`` as
many a second are sent for ``seconds``; what could be sent is printed. Every second it looks at the memory of each role,
at what nobody has taken yet, and at what the session role leaves out, until all have caught up: by its nature about
``times · seconds`` later. In the end the topics are audited.

Memory is bounded when no role's peak in the second half of the time that it is behind is more than a tenth above its
peak in the first: what waits is in Kafka, and how much waits must not show.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.output import arguments, count, finish, program, progress, table
from benchmarks.overload_load import Flood, endless, lessons
from benchmarks.overload_watch import Place, Seen, Watch
from benchmarks.redis_program import redis_program
from deploy.kafka import broker as servers
from deploy.kafka.broker import QUICK
from schemas import codec, topics
from schemas.errors import CurrereError
from schemas.prediction import Prediction
from streams.assembly import connect_store, partitions_of
from streams.audit import Audit, audit
from streams.charts import curves
from streams.embedded import EmbeddedRedis
from streams.roles import ROLES
from streams.settings import Settings, load
from streams.shedding import LADDER
from streams.stage import begin_at_end, environment_of
from streams.supervisor import Supervisor
from streams.up import kafka_of

READY_S, GROWTH, MADE = 120.0, 1.1, 2_000  # seconds; the most by which a peak may grow; interactions made once


@dataclass(frozen=True)
class Result:
    """What one run came to."""

    sustainable_per_s: float
    sent: Mapping[str, int]
    sent_per_s: float
    caught_up: bool
    catch_up_s: float
    seen: Sequence[Seen]
    order_held: bool
    audit: Audit


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, overload, watch, audit."""
    parser = arguments(__doc__, "currere bench overload --seconds 60 --json")
    parser.add_argument("--seconds", type=count, default=60, help="how long too much is sent (default 60)")
    parser.add_argument("--times", type=count, default=10, help="how much too much (default 10)")
    parser.add_argument("--backlog", type=count, default=6_000, help="events that the rate is measured on")
    parser.add_argument("--partitions", type=count, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kafka", metavar="ADDRESS", help="a running Kafka (default: one is started)")
    parser.add_argument("--redis", metavar="URL", help="a running Redis (default: one is started)")
    given = parser.parse_args(argv)
    try:
        found = measured(given)
    except (servers.BrokerFailed, CurrereError) as error:
        print(f"currere: {error}", file=sys.stderr)
        return 1
    told = summary(found, given.times)
    if not given.json:
        table(
            ("figure", "value"), [(name, value) for name, value in told.items() if not isinstance(value, dict | list)]
        )
        rows = [(role, *memory.values()) for role, memory in peaks(found.seen).items()]
        table(("role", "before MB", "peak MB, first half", "peak MB, second half", "after MB"), rows)
    finish(told, given, drawn(found))
    return 0 if told["holds"] else 1


def measured(given: argparse.Namespace) -> Result:
    """The whole run. Raises BrokerFailed, CurrereError."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="currere-overload-")))
        kafka = given.kafka or stack.enter_context(servers.Broker(folder / "kafka", settings=QUICK)).bootstrap
        redis = given.redis or stack.enter_context(EmbeddedRedis(folder / "redis", redis_program())).url
        shared = {"kafka": kafka, "redis": redis, "partitions": given.partitions}
        first = load(**shared, tenant=a_tenant("overload"), blobs=f"file://{folder}/a", shed_after_s=0.0)
        with running(first, folder) as place:
            sustainable = sustainable_rate(place, given.seed, given.backlog)
        with running(load(**shared, tenant=a_tenant("overload"), blobs=f"file://{folder}/b"), folder) as place:
            return _overloaded(place, given, sustainable)


@contextmanager
def running(settings: Settings, folder: Path) -> Iterator[Place]:
    """Every role as a process, ready for work, under a tenant that begins at the topics' ends."""
    broker, store = kafka_of(settings), connect_store(settings)
    broker.create(topics.ALL, partitions_of(settings))
    begin_at_end(broker, store, settings.tenant)
    environment = environment_of(settings.model_dump(mode="json", exclude_none=True))
    supervisor = Supervisor(tuple(ROLES), environment, folder / f"logs-{settings.tenant}", ports=True)
    try:
        supervisor.start()
        deadline, pause = time.monotonic() + READY_S, threading.Event()
        while not supervisor.ready():
            supervisor.tend()
            if time.monotonic() > deadline:
                raise CurrereError(f"the roles were not ready within {READY_S:.0f} s; see {supervisor.logs}")
            pause.wait(0.1)
        yield Place(settings, broker, store, supervisor)
    finally:
        supervisor.stop()
        store.close()


def sustainable_rate(place: Place, seed: int, backlog: int) -> float:
    """Events a second that all roles together work off, of backlogs that are sent at once; a first warms all up."""
    made = lessons(seed, MADE, place.settings.tenant, place.broker)
    messages, small = endless(made, place.settings.partitions), max(backlog // 4, 1)
    seconds = []
    for size in (small, small, small + backlog):
        watch = Watch(place)
        flood = Flood(place.broker, messages, per_s=1e6, seconds=size / 1e6)
        begun = time.monotonic()
        flood.start()
        flood.done()
        watch.wait_for_rest(READY_S)
        seconds.append(time.monotonic() - begun)
        watch.stop()
    _, short, long = seconds
    return backlog / (long - short) if long > short else (small + backlog) / long


def _overloaded(place: Place, given: argparse.Namespace, sustainable: float) -> Result:
    settings = place.settings
    starts = {p: place.broker.ends(topics.PREDICTION.name, p)[1] for p in range(settings.partitions)}
    messages = endless(lessons(given.seed, MADE, settings.tenant, place.broker), settings.partitions)
    watch = Watch(place)
    flood = Flood(place.broker, messages, sustainable * given.times, given.seconds)
    most = 3 * given.times * given.seconds + READY_S
    with progress("seconds", int(most), "overloaded"):
        flood.start()
        flood.done()
        ended = time.monotonic()
        caught_up = watch.wait_for_rest(most)
        took = time.monotonic() - ended
    watch.stop()
    return Result(
        sustainable_per_s=sustainable,
        sent=flood.sent,
        sent_per_s=flood.events / flood.took_s,
        caught_up=caught_up,
        catch_up_s=took,
        seen=watch.seen,
        order_held=all(_in_order(place, number, start) for number, start in starts.items()),
        audit=audit(place.broker, settings.tenant, settings.model, at_rest=caught_up),
    )


def _in_order(place: Place, partition: int, start: int) -> bool:
    """Whether what each prediction of a partition lacks is the beginning of the ladder."""
    name = topics.PREDICTION.name
    _, end = place.broker.ends(name, partition)
    for record in place.broker.read(name, partition, start, end):
        data = codec.decode(topics.PREDICTION, record.headers, record.value).data
        if not isinstance(data, Prediction) or data.shed != LADDER[: len(data.shed)]:
            return False
    return True


def peaks(seen: Sequence[Seen]) -> dict[str, dict[str, float]]:
    """By role its memory before, its peak in the first and in the second half of the time behind, and after."""
    behind = [one for one in seen if one.lag] or list(seen)
    half = len(behind) // 2
    found: dict[str, dict[str, float]] = {}
    for role in seen[0].rss_mb if seen else ():
        first, second = (max((one.rss_mb.get(role, 0.0) for one in part), default=0.0)
                         for part in (behind[:half], behind[half:]))  # fmt: skip
        found[role] = {"before": seen[0].rss_mb[role], "first": first, "second": second,
                       "after": seen[-1].rss_mb.get(role, 0.0)}  # fmt: skip
    return found


def summary(found: Result, times: int) -> dict[str, object]:
    """The run as one JSON object; ``holds`` is what is claimed."""
    memory = peaks(found.seen)
    bounded = all(one["second"] <= GROWTH * one["first"] for one in memory.values())
    lost = found.audit.lost + found.audit.duplicated + found.audit.faults
    told: dict[str, object] = {
        "sustainable_per_s": round(found.sustainable_per_s, 1),
        "sent_per_s": round(found.sent_per_s, 1),
        "times": round(found.sent_per_s / found.sustainable_per_s, 2),
        "events": sum(found.sent.values()),
        "feedback": found.sent[topics.FEEDBACK.name],
        "most_behind": max((one.lag for one in found.seen), default=0),
        "caught_up": found.caught_up,
        "catch_up_s": round(found.catch_up_s, 1),
        "memory_bounded": bounded,
        "highest_level": max((one.level for one in found.seen), default=0),
        "level_after": found.seen[-1].level if found.seen else 0,
        "order_held": found.order_held,
        "lost_or_twice": lost,
        "pending": found.audit.pending,
        "verdict": found.audit.verdict,
    }
    told["holds"] = bounded and found.caught_up and found.order_held and not lost and not told["level_after"]
    told["rss_mb"], told["shed"] = memory, dict(found.seen[-1].shed) if found.seen else {}
    told["ladder"] = list(LADDER)
    told["asked_times"] = times
    told["series"] = [{"at_s": one.at_s, "level": one.level, "behind": dict(one.behind), "rss_mb": dict(one.rss_mb)}
                      for one in found.seen]  # fmt: skip
    return told


def drawn(found: Result) -> dict[str, str]:
    """Memory by role, and lag, over time."""
    roles = list(found.seen[0].rss_mb) if found.seen else []
    memory = {role: [(one.at_s, one.rss_mb.get(role, 0.0)) for one in found.seen] for role in roles}
    lag = {role: [(one.at_s, float(one.behind[role])) for one in found.seen] for role in roles}
    return {
        "overload-memory": curves("Resident memory under too much load", "seconds", "MB", memory),
        "overload-lag": curves("Events that nobody has taken yet", "seconds", "events", lag),
    }


def a_tenant(kind: str) -> str:
    """A new one, so that what earlier runs have left is not its own."""
    return f"{kind}-{secrets.token_hex(4)}"


if __name__ == "__main__":
    program(main)

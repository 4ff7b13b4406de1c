"""What the session role costs beside a bare loop that makes the same predictions and promises nothing.

    currere bench score [--kafka ADDRESS] [--redis URL] [--data FILE] [--json]

Each round puts the same interactions before the two arms, one after the other, each in a process of its own: session,
bare, session, bare, ... A first round warms both up. Rates are events a second from the first records polled to the
last prediction acknowledged; CPU is that of the arm's process, so the servers' is not in it. The ratio is the median of
the rounds' ratios, session over bare. Both processes have one torch thread and the roles' garbage collection. Kafka and
Redis are real ones, started for the run unless addresses are given.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import pickle
import secrets
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.arms import Spent, Stretch, bare, session
from benchmarks.redis_program import redis_program
from deploy.kafka import broker as servers
from deploy.kafka.broker import QUICK, BrokerFailed
from learners.fingerprint import fingerprint, fix_threads
from learners.fold import fold
from learners.model import served
from learners.request import NEW, REPLAYED
from learners.served import Served
from learners.settings import LearningSettings
from schemas import topics
from schemas.errors import BrokerError, CurrereError
from schemas.event import Event
from schemas.feedback import Feedback, Label
from schemas.interaction import Interaction
from schemas.prediction import ExampleInput
from schemas.topics import Topic
from schemas.training import TrainExample, TrainRequest
from state.pending import Context
from streams.assembly import connect_store, partitions_of
from streams.client import message_of
from streams.embedded import EmbeddedRedis
from streams.engines.broker import Broker
from streams.recorded import read
from streams.schedule import Classroom, schedule
from streams.score import next_context, with_context
from streams.settings import Settings, load
from streams.simulated import simulate
from streams.stage import begin_at_end
from streams.up import kafka_of, settle

Arm = Callable[[Served, Stretch], Spent]
ARMS: dict[str, Arm] = {"session": session, "bare": bare}
TAUGHT, STEP = 1_000, 64  # interactions whose labels the model has learned, and examples a step
SEND_S = 60.0


@dataclass(frozen=True, slots=True)
class Round:
    """What both arms spent on the same interactions."""

    interactions: int
    session: Spent
    bare: Spent


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the rounds, print what they cost."""
    given = _arguments(arguments)
    try:
        rounds = measured(given)
    except (BrokerFailed, CurrereError) as error:
        print(error, file=sys.stderr)
        return 1
    found = result(rounds)
    data = given.data.name if given.data else "simulated"
    found["setup"] = {"interactions": given.interactions, "batch": given.batch, "data": data, **fingerprint()}
    print(json.dumps(found) if given.json else _table(found))
    return 0


def measured(given: argparse.Namespace) -> list[Round]:
    """The rounds after the warm-up. Raises BrokerFailed, BrokerError, StoreUnavailable, ConfigurationError."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="currere-bench-")))
        kafka = given.kafka or stack.enter_context(servers.Broker(folder / "kafka", settings=QUICK)).bootstrap
        redis = given.redis or stack.enter_context(EmbeddedRedis(folder / "redis", redis_program())).url
        classroom = _classroom(given.data, given.seed, TAUGHT + given.interactions * (given.rounds + 1))
        model = folder / "model.pickle"
        model.write_bytes(pickle.dumps(taught(islice(classroom, TAUGHT), given.seed)))
        said = (event for event in classroom if isinstance(event.data, Interaction))
        processes = {name: stack.enter_context(_process()) for name in ARMS}
        rounds = []
        for number in range(given.rounds + 1):
            tenant = f"bench-{secrets.token_hex(4)}"
            settings = load(kafka=kafka, redis=redis, tenant=tenant, partitions=given.partitions, batch=given.batch)
            stretch = _sent(settings, list(islice(said, given.interactions)))
            spent = {name: _published(stretch, processes[name], arm, model) for name, arm in ARMS.items()}
            rounds.append(Round(stretch.count, spent["session"], spent["bare"]))
            print(f"round {number}: {_line(rounds[-1])}{'' if number else ' (warm-up)'}", file=sys.stderr, flush=True)
    return rounds[1:]


def result(rounds: Sequence[Round]) -> dict[str, dict[str, object]]:
    """Rates and CPU of both arms, medians over ``rounds``, and the ratios within each round."""
    rates = [(r.interactions / r.session.wall_s, r.interactions / r.bare.wall_s) for r in rounds]
    cpu_us = [(1e6 * r.session.cpu_s / r.interactions, 1e6 * r.bare.cpu_s / r.interactions) for r in rounds]
    found: dict[str, dict[str, object]] = {
        name: {
            "events_per_s": round(median(rate[arm] for rate in rates), 1),
            "cpu_us_per_event": round(median(cost[arm] for cost in cpu_us), 1),
            "runs": [round(rate[arm], 1) for rate in rates],
        }
        for arm, name in enumerate(ARMS)
    }
    of_rates = [session_rate / bare_rate for session_rate, bare_rate in rates]
    of_cpu = [bare_us / session_us for session_us, bare_us in cpu_us]
    found["ratio"] = {**_spread(of_rates), "cpu": _spread(of_cpu)}
    return found


def taught(events: Iterable[Classroom], seed: int) -> Served:
    """A model with the default settings that has learned the labels among ``events``, once and in order."""
    fix_threads()
    settings = LearningSettings()
    genesis = TrainRequest(kind="genesis", model="bench", seed=seed, reason="bench", settings=settings.to_dict())
    model, _ = fold(None, genesis, {}, "genesis", 0)
    examples = _examples(events, settings.context_turns)
    for number, first in enumerate(range(0, len(examples), STEP), start=1):
        new = tuple(examples[first : first + STEP])
        request = TrainRequest(kind="step", model="bench", seed=seed, reason="bench", new=new)
        weights = {NEW: np.ones(len(new), np.float32), REPLAYED: np.empty(0, np.float32)}
        model, _ = fold(model, request, weights, f"request-{number}", number)
    return served(model)


def _examples(events: Iterable[Classroom], turns: int) -> list[TrainExample]:
    contexts: dict[str, Context] = {}
    inputs: dict[str, ExampleInput] = {}
    examples = []
    for event in events:
        data = event.data
        if isinstance(data, Interaction):
            before = contexts.get(data.session, Context())
            inputs[event.id] = with_context(data, before)
            contexts[data.session] = next_context(data, before, turns)
        elif isinstance(data, Feedback) and isinstance(data.judgement, Label) and data.interaction in inputs:
            labels = {data.judgement.task: data.judgement.value}
            examples.append(TrainExample(
                id=event.id, interaction=data.interaction, feedback=event.id, rater=data.rater,
                input=inputs[data.interaction], labels=labels,
            ))  # fmt: skip
    return examples


def _classroom(data: Path | None, seed: int, interactions: int) -> Iterator[Classroom]:
    return simulate(seed, interactions) if data is None else schedule(read(data), seed, events=interactions)


def _sent(settings: Settings, said: Sequence[Classroom]) -> Stretch:
    """Put what was said into the topic, for a new tenant whose roles begin there. Raises BrokerError."""
    broker = kafka_of(settings)
    broker.create(topics.ALL, partitions_of(settings))
    counts = broker.partitions()
    store = connect_store(settings)
    begin_at_end(broker, store, settings.tenant)
    store.close()
    starts = _ends(broker, topics.INTERACTION)
    producer, failed = broker.producer(), []
    for event in said:
        mine = Event(replace(event.envelope, tenant=settings.tenant), event.data)
        producer.send(message_of(mine, counts), lambda offset, error: failed.append(error) if error else None)
        producer.poll()
    producer.flush(SEND_S)
    stretch = Stretch(settings, starts, _ends(broker, topics.INTERACTION))
    if failed or stretch.count != len(said):
        raise BrokerError(f"{settings.kafka} took {stretch.count} of {len(said)} interactions: {failed[:1]}")
    return stretch


def _ends(broker: Broker, topic: Topic) -> dict[int, int]:
    """The next offset of each partition."""
    return {number: broker.ends(topic.name, number)[1] for number in range(broker.partitions()[topic.name])}


def _published(stretch: Stretch, process: ProcessPoolExecutor, arm: Arm, model: Path) -> Spent:
    """What ``arm`` spent in its process. Raises BrokerError unless it published one prediction an interaction."""
    broker = kafka_of(stretch.settings)
    before = sum(_ends(broker, topics.PREDICTION).values())
    spent = process.submit(_run, arm, model, stretch).result()
    published = sum(_ends(broker, topics.PREDICTION).values()) - before
    if published != stretch.count:
        raise BrokerError(f"{published} predictions of {stretch.count} interactions were published")
    return spent


def _process() -> ProcessPoolExecutor:
    """A process of its own, which keeps what it has imported and cached from round to round."""
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))


def _run(arm: Arm, model: Path, stretch: Stretch) -> Spent:
    fix_threads()
    found = _model(model)
    settle()
    return arm(found, stretch)


@cache
def _model(path: Path) -> Served:
    """The model that this program has put at ``path``: as an argument it would fill the pipe to a process that died."""
    found: Served = pickle.loads(path.read_bytes())
    return found


def _spread(values: Sequence[float]) -> dict[str, object]:
    return {"median": round(median(values), 3), "min": round(min(values), 3), "max": round(max(values), 3)}


def _line(found: Round) -> str:
    each = (
        f"{name} {found.interactions / spent.wall_s:,.0f}/s, {1e6 * spent.cpu_s / found.interactions:,.0f} µs CPU"
        for name, spent in (("session", found.session), ("bare", found.bare))
    )
    return "; ".join(each)


def _table(found: dict[str, dict[str, object]]) -> str:
    ratio = found["ratio"]
    lines = [f"{'':8} {'events/s':>10} {'CPU µs/event':>14}"]
    lines += [f"{a:8} {found[a]['events_per_s']:>10,} {found[a]['cpu_us_per_event']:>14,}" for a in ARMS]
    lines.append(f"ratio of rates {ratio['median']} ({ratio['min']} to {ratio['max']}); of CPU {ratio['cpu']}")
    return "\n".join(lines)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="currere bench score", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kafka", help="bootstrap servers (default: start one)")
    parser.add_argument("--redis", help="URL of a Redis (default: start one)")
    parser.add_argument("--data", type=Path, help="recorded lessons, as TalkMoves' (default: simulated ones)")
    parser.add_argument("--interactions", type=int, default=5_000, help="of a round (default: 5000)")
    parser.add_argument("--rounds", type=int, default=5, help="after the warm-up (default: 5)")
    parser.add_argument("--partitions", type=int, default=4, help="of the topics, where the bench makes them")
    parser.add_argument("--batch", type=int, default=500, help="records decided at once, in both arms")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())

"""Who of those in line comes into which request, and when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import accumulate

from learners.caps import turn
from schemas import topics
from schemas.envelope import Origin, content_digest
from schemas.training import TrainExample
from streams.clock import passed
from streams.compose import Chosen, probe_request, sample_weights, step_request
from streams.processor import waiting_key
from streams.remember import Waiting
from streams.table import Table

MOST_REQUEST_BYTES = topics.MAX_VALUE_BYTES - 50_000  # of a request's examples; its frame takes the rest
EXAMPLE_OVERHEAD_BYTES = 32  # comma, replay count, weight
LOOK_AHEAD = 8  # requests' worth of the line, among whom places are shared out


def compose_due(table: Table) -> None:
    """Requests while a line is full, and one for the rest when its first has waited long enough."""
    while is_due(table, table.memory.aside):
        set_aside(table, fitting(table, table.memory.aside)[0])
    while is_due(table, table.memory.line):
        memory, size = table.curation.memory, table.curation.new
        front = table.memory.line[: LOOK_AHEAD * size]
        places = turn([(w.learner, w.rater) for w in front], size, (memory.learner_share, memory.rater_share))
        new, room = fitting(table, [front[place] for place in places])
        compose(table, new, room)


def is_due(table: Table, line: Sequence[Waiting]) -> bool:
    """Whether ``line`` is full or its first has waited long enough."""
    rules = table.curation
    return bool(line) and (len(line) >= rules.new or passed(line[0].at, table.now) >= rules.wait_s)


def fitting(table: Table, line: Sequence[Waiting]) -> tuple[Sequence[Waiting], int]:
    """As many of ``line`` as one request holds, at least one, and the bytes that are left."""
    sizes = [size_in_request(table.stored_example(waiting.id)) for waiting in line]
    count = max(fits(sizes, MOST_REQUEST_BYTES), 1)
    return line[:count], MOST_REQUEST_BYTES - sum(sizes[:count])


def compose(table: Table, new: Sequence[Waiting], room: int) -> None:
    """One step's request: the examples of ``new``, and as many replayed ones as ``room`` bytes hold."""
    rules, seed = table.curation, request_seed(new[-1])
    replay = table.memory.sample(rules.replayed, seed)
    again = [table.stored_example(id_) for id_ in replay.ids]
    fit = fits([size_in_request(stored) for stored in again], room)
    ids, counts = replay.ids[:fit], table.memory.replay_counts(replay.ids[:fit])
    examples = read(table, new)
    replayed = [table.payloads.read(stored).again(count) for stored, count in zip(again[:fit], counts, strict=True)]
    weights, replay_weights = sample_weights(
        rules.memory,
        [chosen.example for chosen in examples],
        [chosen.example for chosen in replayed],
        replay.weights[:fit],
        table.trust.weight,
        rules.learning.replay_weight,
        delay_weights(table, [chosen.example for chosen in examples], new),
    )
    time, causes = settled(table, new)
    request = step_request(rules.model, examples, replayed, replay_weights, seed, time, causes, weights)
    table.outputs.append(request)
    table.memory.replayed(ids)
    table.memory.admit(new)


def delay_weights(table: Table, examples: Sequence[TrainExample], new: Sequence[Waiting]) -> list[float]:
    """What makes up for labels of each example's class that are still out: of an item as old as its interaction."""
    ages = [waiting.time_s - example.delay_s for example, waiting in zip(examples, new, strict=True)]
    return [table.judge.delay_weight(one.labels, at_s) for one, at_s in zip(examples, ages, strict=True)]


def set_aside(table: Table, new: Sequence[Waiting]) -> None:
    """One request that sets the examples of ``new`` aside; they are kept nowhere else."""
    examples = read(table, new)
    time, causes = settled(table, new)
    table.outputs.append(probe_request(table.curation.model, examples, request_seed(new[-1]), time, causes))
    for waiting in new:
        table.memory.forget(waiting.id)


def read(table: Table, new: Sequence[Waiting]) -> list[Chosen]:
    """The examples of ``new``."""
    return [table.payloads.read(table.stored_example(waiting.id)) for waiting in new]


def settled(table: Table, new: Sequence[Waiting]) -> tuple[datetime, tuple[Origin, ...]]:
    """The time and the causes of a request of ``new``, who wait no longer."""
    causes = tuple(Origin.parse(waiting.origin) for waiting in new)
    for origin in causes:
        table.delete(waiting_key(origin))
    table.memory.leave({waiting.id for waiting in new})
    return datetime.fromtimestamp(max(waiting.time_s for waiting in new), UTC), causes


def size_in_request(stored: bytes) -> int:
    """Bytes that an example takes in a request, whose manifest is JSON within JSON, so that quotes are escaped."""
    return len(stored) + stored.count(b'"') + stored.count(b"\\") + EXAMPLE_OVERHEAD_BYTES


def fits(sizes: Sequence[int], room: int) -> int:
    """How many of the first ``sizes`` fit into ``room`` together."""
    return sum(total <= room for total in accumulate(sizes))


def request_seed(newest: Waiting) -> int:
    """The seed of the request that ends with ``newest``."""
    return int(content_digest(newest.id.encode())[:12], 16)

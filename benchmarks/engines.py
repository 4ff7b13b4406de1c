"""What an engine costs: the same work by currere, a raw loop, Quix Streams, Faust, bytewax and FastStream.

    currere bench engines [--rounds 5] [--rate 1000] [--environments DIR] [--only NAME ...] [--json]

The work is decoding an interaction, one write in a fenced commit to Redis, and one output; then the same with the
model's predictions. All use the same codec, the same Lua and the same model; each is configured for throughput as its
own documentation has it (see benchmarks/contestants), and takes batches where it offers them. `quix-each` and
`faust-each` take an event at a time, and write each by a commit of its own, as these frameworks' tutorials begin; they
are given a tenth of the backlog.
Kafka and Redis are started for the run. In each round one contestant after the other, each a process of its own, meets
empty topics and an empty store, works off --events, and is then given --rate a second for --seconds.

Throughput and CPU are of the backlog after its first tenth, CPU by the kernel's count for the contestant's process
alone; memory is resident at the end; latency is from the log's receipt of an interaction to its receipt of the answer,
at the fixed rate, without the first second. Ratios are medians of the ratios within a round. `raw-outbox` is the raw
loop with currere's outbox in its commit. Currere also reads before it commits, and promises what the others do not:
nothing lost, nothing twice. Linux only.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.engines_environments import CONTESTANTS, cached
from benchmarks.engines_rounds import KINDS, run
from benchmarks.engines_summary import COLUMNS, drawn, summary
from benchmarks.output import arguments, count, finish, program, table
from deploy.kafka.broker import BrokerFailed
from learners.fingerprint import fingerprint
from schemas.errors import CurrereError


def main(argv: Sequence[str] | None = None) -> int:
    """Find who can run, run the rounds, print what they cost. A contestant that failed is status 1."""
    given = _arguments(argv)
    try:
        found = run(given)
    except (BrokerFailed, CurrereError) as error:
        print(f"currere: {error}", file=sys.stderr)
        return 1
    told = summary(found.rounds, found.spent)
    asked = {name: getattr(given, name) for name in ("events", "rate", "seconds", "batch", "partitions", "rounds")}
    told |= {"left_out": found.left_out, "failed": found.failed, "setup": {**asked, **fingerprint()}}
    if not given.json:
        _show(told)
    finish(told, given, drawn(told))
    return 1 if found.failed else 0


def _show(told: dict[str, object]) -> None:
    for kind in KINDS:
        rows = told[kind]
        if isinstance(rows, dict) and rows:
            table(("", *COLUMNS), [(name, *(row[column] for column in COLUMNS)) for name, row in rows.items()], kind)
    for title in ("bars", "where_the_time_goes", "left_out", "failed"):
        rows = told[title]
        if isinstance(rows, dict) and rows:
            table(("", "value"), list(rows.items()), title.replace("_", " "))


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    names = [one.name for one in CONTESTANTS]
    parser = arguments(__doc__, "currere bench engines --rounds 5 --json")
    parser.add_argument("--rounds", type=count, default=5, help="of all contestants in turn (default 5)")
    parser.add_argument("--events", type=count, default=40_000, help="of a backlog (default 40000)")
    parser.add_argument("--rate", type=count, default=1_000, help="events a second for the latency (default 1000)")
    parser.add_argument("--seconds", type=count, default=5, help="at that rate (default 5)")
    parser.add_argument("--batch", type=count, default=500, help="records decided at once (default 500)")
    parser.add_argument("--partitions", type=count, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="default: both")
    parser.add_argument(
        "--environments",
        type=Path,
        metavar="DIR",
        default=cached(),
        help="where each framework has its own; those that are missing are made (180 MB in all; %(default)s)",
    )
    parser.add_argument("--no-install", action="store_true", help="leave out the frameworks that are not there")
    parser.add_argument("--patience", type=count, default=300, help="seconds a contestant is waited for (default 300)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    program(main)

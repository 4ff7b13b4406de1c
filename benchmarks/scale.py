"""What growth costs, by processes, partitions, sessions, learners and remembered items; and what a plan needs.

    currere bench scale [--sizes 1000 10000 100000 1000000] [--processes 1 2 4] [--partitions 1 4 8 32] [--json]
    currere bench scale --rounds 0 --series items    # what examples cost by items of the replay memory, and no more
    currere bench scale --plan LEARNERS [--assume NAME=NUMBER ...] [--figures FILE]

Kafka and Redis (with an append-only file, synced at each commit) are started for the run, and the roles run as
processes as `currere up` runs them. Throughput is of scored interactions, one process at each of --partitions, and each
of --processes at --group partitions. Then the store is filled with as many sessions (each with its context and a
prediction that waits for a label), then learners (each with a word on consent, and an example met), then items of the
replay memory as --sizes say, with what the roles themselves have written of a few lessons, under other names; and the
same events cost what they cost. CPU is the kernel's count for each process, of roles, Redis and Kafka apart. Slopes are
microseconds an event for ten times the size, with a 95 % interval.

Bytes in Redis are of INFO's used_memory, beside a formula from the sizes of what is stored (benchmarks/scale_model.py);
bytes in Kafka are of the log's files. --plan starts nothing: it computes from measured figures (by default those kept
beside this program) and assumptions what so many learners need. Linux only.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.output import arguments, count, finish, program, table
from benchmarks.scale_plan import MEASURED, Assumptions, Figures, as_json, assumed_rows, plan, shown
from deploy.kafka.broker import BrokerFailed
from schemas.errors import CurrereError

SERIES = ("sessions", "learners", "items")


def main(argv: Sequence[str] | None = None) -> int:
    """Print a plan, or measure; what was measured before a role failed is printed all the same, with status 1."""
    given = _arguments(argv)
    if given.plan:
        return _plan(given)
    from benchmarks.scale_run import Found, run  # these import torch
    from benchmarks.scale_summary import drawn, summary, tables
    from learners.fingerprint import fingerprint

    found, failed = Found(), ""
    try:
        run(given, found)
    except (BrokerFailed, CurrereError) as error:
        failed = str(error)
    except KeyboardInterrupt:
        failed = "interrupted; what was measured until then follows"
    if failed:
        print(f"currere: {failed}", file=sys.stderr)
    told = summary(found) | {"failed": failed}
    asked = {name: getattr(given, name) for name in ("sizes", "series", "processes", "partitions", "group", "events",
                                                     "batch", "rounds", "seed")}  # fmt: skip
    told["setup"] = {**asked, "cores": os.cpu_count(), "load": [round(one, 2) for one in os.getloadavg()],
                     **fingerprint()}  # fmt: skip
    if not given.json:
        for title, rows in tables(told):
            table(tuple(rows[0]), [tuple(row.values()) for row in rows], title)
        for name in ("sessions", "learners", "items"):
            part = told.get(name)
            if isinstance(part, dict) and part["slopes"]:
                of_kind = [(kind, *map(str, row.values())) for kind, row in part["slopes"].items()]
                table(("event", *next(iter(part["slopes"].values()))), of_kind, f"slopes by {name}")
    finish(told, given, drawn(found))
    return 1 if failed else 0


def _plan(given: argparse.Namespace) -> int:
    assumed, figures = Assumptions.of(given.assume), Figures.read(given.figures)
    rows = plan(given.plan, assumed, figures)
    if not given.json:
        table(("assumed", "value", "why"), [(name, shown(value), why) for name, value, why in assumed_rows(assumed)])
        table(("needed", "value", "", "how"), [(row.name, shown(row.value), row.unit, row.how) for row in rows],
              f"{given.plan:,} learners")  # fmt: skip
    finish({"learners": given.plan, "assumed": {name: value for name, value, _ in assumed_rows(assumed)},
            "figures": figures.rounded(), "plan": as_json(rows)}, given)  # fmt: skip
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = arguments(__doc__, "currere bench scale --sizes 1000 10000 100000 --json")
    parser.add_argument("--sizes", type=count, nargs="*", default=[10**3, 10**4, 10**5, 10**6], metavar="N",
                        help="of sessions, learners, items (default: 10^3 to 10^6)")  # fmt: skip
    parser.add_argument("--series", nargs="+", choices=SERIES, default=SERIES, metavar="NAME",
                        help=f"what there is more and more of (default: {' '.join(SERIES)})")  # fmt: skip
    parser.add_argument("--processes", type=count, nargs="+", default=[1, 2, 4], metavar="N")
    parser.add_argument("--partitions", type=count, nargs="+", default=[1, 4, 8, 32], metavar="N")
    parser.add_argument("--group", type=count, default=8, help="partitions while processes are compared (default 8)")
    parser.add_argument("--events", type=count, default=16_000, help="of a throughput's backlog (default 16000)")
    parser.add_argument("--batch", type=count, default=4_000, help="events a figure is taken of (default 4000)")
    parser.add_argument("--rounds", type=int, default=1, help="of the throughput; 0: none (default 1)")
    parser.add_argument("--patience", type=count, default=300, help="seconds a role is waited for (default 300)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plan", type=count, metavar="LEARNERS", help="print what so many learners need, and end")
    parser.add_argument("--assume", nargs="+", default=[], metavar="NAME=NUMBER", help="instead of an assumption")
    parser.add_argument("--figures", type=Path, default=MEASURED, metavar="FILE", help="what a run printed with --json")
    return parser.parse_args(argv)


if __name__ == "__main__":
    program(main)

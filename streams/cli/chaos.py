"""``currere chaos``: inject faults into real servers and roles, and prove that nothing was lost or counted twice."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import ConfigurationError, CurrereError
from streams.cli.options import Kafka, Redis, progress_bar, show_table

if TYPE_CHECKING:
    from streams.chaos.matrix import Row
    from streams.chaos.rounds import Results, Round
    from streams.chaos.servers import Servers


def chaos(
    names: Annotated[list[str] | None, typer.Argument(help="rows; default: all")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="rounds of each row")] = 1,
    seed: Annotated[int, typer.Option(help="decides which role, which point of its work and which moment")] = 0,
    results: Annotated[Path, typer.Option(help="where results are kept, by commit")] = Path("chaos-results"),
    kafka: Kafka = None,
    redis: Redis = None,
    plots: Annotated[Path | None, typer.Option(help="write a plot of the recovery as SVG into this folder")] = None,
    show: Annotated[bool, typer.Option("--list", help="only say what each row injects and claims")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="end with one JSON object on the last line")] = False,
) -> None:
    """Play the fault matrix: start a Kafka and a Redis, put the roles to work, inject the fault, let settle, audit.

    Rounds that the results of this commit hold already are not played again, so that a run goes on where it ended.
    Exit status 0 if every row holds. With --kafka and --redis the rows that only touch the roles use those servers.

    Example: currere chaos kill-session zombie --rounds 3 --seed 7 --json
    """
    from streams.chaos.matrix import chosen
    from streams.chaos.rounds import Results, state_of_tree

    rows = chosen(names or [])
    if show:
        show_table(("row", "what is injected", "what must hold"), [(r.name, r.injects, r.claims) for r in rows])
        return
    kept = Results(results, *state_of_tree())
    for line in failed_before(rows, kept.rounds):
        typer.echo(line, err=True)
    _play(rows, rounds, seed, kept, _given(kafka, redis))
    _tell(rows, kept, plots, as_json)


def _given(kafka: str | None, redis: str | None) -> Servers | None:
    from streams.chaos.servers import Servers

    if (kafka is None) != (redis is None):
        raise ConfigurationError("--kafka and --redis go together; leave both out, and both are started")
    return Servers(kafka, redis) if kafka and redis else None


def _play(rows: list[Row], rounds: int, seed: int, kept: Results, given: Servers | None) -> None:
    from streams.chaos.rounds import play_all

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that servers, roles and small disks are ended, too
    with progress_bar("rounds") as bar:
        left = sum(not kept.has(row.name, seed, number) for row in rows for number in range(rounds))
        if known := len(rows) * rounds - left:
            typer.echo(f"{known} of {len(rows) * rounds} rounds are in {kept.path} and not played again", err=True)
        task = bar.add_task("chaos", total=left, note="")

        def begins(row: Row, number: int) -> None:
            bar.update(task, note=f"{row.name}, round {number + 1}")

        for done in play_all(rows, rounds, seed, kept, given, begins):
            bar.advance(task)
            typer.echo(f"{done.row} {done.number + 1}/{rounds} ({done.seconds:.0f} s): {_said(done)}", err=True)


def failed_before(rows: Iterable[Row], kept: Iterable[Round]) -> list[str]:
    """A line for each round of ``rows`` that was kept and did not hold: why, and where its logs are."""
    names = {row.name for row in rows}
    failed = [done for done in kept if done.row in names and not done.holds]
    return [f"{done.row}, round {done.number + 1} of seed {done.seed}, played before: {_said(done)}" for done in failed]


def _said(done: Round) -> str:
    logs = f"; logs in {done.logs}" if done.logs else ""
    return "holds" if done.holds else f"DOES NOT HOLD: {' '.join(done.why.split())}{logs}"


def _tell(rows: list[Row], kept: Results, plots: Path | None, as_json: bool) -> None:
    from streams.chaos.summary import COLUMNS, plot, result, table
    from streams.charts import figures

    found = result(rows, kept)
    whose = f"{kept.commit}{', a tree with changes' if kept.dirty else ''}"
    show_table(COLUMNS, table(found["rows"]), f"Fault matrix of {whose}")
    for row in found["rows"]:
        for name, numbers in row["notes"].items():
            typer.echo(f"{row['name']}: {name} {', '.join(f'{number:g}' for number in numbers[:20])}")
    for kind, of in found["totals"]["recovery_seconds"].items():
        if isinstance(of, dict) and of["n"]:
            typer.echo(f"{kind} of {of['n']} roles: p50 {of['p50']:.2f} s, p95 {of['p95']:.2f} s")
    for path in figures(plots, plot(found["rows"])):
        typer.echo(f"wrote {path}", err=True)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
    if broken := [row["name"] for row in found["rows"] if not row["holds"]]:
        see = f"see {kept.path} and the logs beside it; another --results plays anew"
        raise CurrereError(f"{', '.join(broken)} did not hold; {see}")

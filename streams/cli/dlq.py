"""``currere dlq``: records that could not be used, and what is done about them."""

from __future__ import annotations

import base64
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import ConfigurationError
from streams.cli.options import Json, Kafka, Tenant, broker_of, show_json, show_table

if TYPE_CHECKING:
    from schemas.envelope import Origin
    from streams.engines.broker import Broker
    from streams.letters import Decided, Decider, Letter
    from streams.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Records that could not be used: look, send again, give up.")

PLACE = "TOPIC/PARTITION/OFFSET of the dead letter, or of the record that it is about"
SHOWN = 4_000  # characters of a value

Origins = Annotated[list[str] | None, typer.Argument(metavar="[ORIGIN]...", help=PLACE)]
Reason = Annotated[str | None, typer.Option(help="only letters of this reason")]
OfTopic = Annotated[str | None, typer.Option("--topic", help="only letters of this topic")]
AllOpen = Annotated[bool, typer.Option("--all", help="all open letters, or those of --reason and --topic")]
Who = Annotated[str | None, typer.Option(help="who decides; default: $USER")]
Why = Annotated[str, typer.Option(help="noted with the decision")]


@app.command("list")
def list_(
    reason: Reason = None,
    topic: OfTopic = None,
    resolved: Annotated[bool, typer.Option(help="show those that were decided, too")] = False,
    limit: Annotated[int, typer.Option(min=1, help="show at most so many; all are counted")] = 100,
    kafka: Kafka = None,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """List the open dead letters: those that nobody has sent again or given up.

    Example: currere dlq list --reason unusable --topic edu.feedback.v1
    """
    from schemas.envelope import Origin
    from streams.letters import Wanted, letters, resolutions

    settings, broker = _connected(kafka, tenant)
    decisions = resolutions(broker, settings.tenant)
    counts: Counter[str] = Counter()

    def meant() -> Iterator[Letter]:
        for letter in letters(broker, Wanted(settings.tenant, reason, topic)):
            if resolved or letter.input not in decisions:
                counts[letter.data.reason] += 1
                yield letter

    found = meant()
    rows = [_row(letter) for letter in islice(found, limit)]
    if resolved:
        for row in rows:
            decision = decisions.get(Origin.parse(str(row["input"])))
            row["decided"] = decision.decision if decision else None
    for _ in found:
        pass
    if as_json:
        show_json({"letters": rows, "count": counts.total(), "by_reason": dict(counts)})
        return
    if rows:
        show_table(list(rows[0]), [[str(cell if cell is not None else "") for cell in row.values()] for row in rows])
    left = f", {limit:,} of them shown" if counts.total() > limit else ""
    by_reason = ", ".join(f"{n:,} {name}" for name, n in counts.most_common())
    typer.echo(
        f"{counts.total():,} {'' if resolved else 'open '}dead letters{left}" + (f": {by_reason}" if counts else "")
    )


@app.command()
def show(
    origin: Annotated[str, typer.Argument(metavar="ORIGIN", help=PLACE)],
    kafka: Kafka = None,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Show one dead letter whole: why, the record's headers and value, and what was decided.

    Example: currere dlq show edu.interaction.v1/3/77120
    """
    from streams.letters import find, resolutions

    settings, broker = _connected(kafka, tenant)
    letter = find(broker, settings.tenant, _place(origin))
    decision = resolutions(broker, settings.tenant).get(letter.input)
    if as_json:
        told = {"letter": str(letter.origin), **letter.data.model_dump(mode="json")}
        show_json({**told, "resolution": decision.model_dump(mode="json") if decision else None})
        return
    data = letter.data
    value = "null" if data.value is None else _text(data.value)
    typer.echo(f"letter     {letter.origin}, written {_time(letter.written_ms)}")
    typer.echo(f"record     {letter.input}, arrived {_time(data.timestamp_ms)}")
    typer.echo(f"reason     {data.reason}: {data.detail}")
    if decision is not None:
        again = f" as {decision.resent}" if decision.resent else ""
        typer.echo(f"resolution {decision.decision}{again} by {decision.who}" + (decision.why and f": {decision.why}"))
    else:
        typer.echo("resolution none; `currere dlq retry` or `currere dlq drop`")
    typer.echo(f"key        {'null' if data.key is None else _text(data.key)}")
    for name, content in data.headers:
        typer.echo(f"header     {name}: {'null' if content is None else _text(content)}")
    cut = ", cut" if data.truncated or len(value) > SHOWN else ""
    typer.echo(f"value      {data.value_bytes:,} bytes{cut}\n{value[:SHOWN]}")


@app.command()
def retry(
    origins: Origins = None,
    all_open: AllOpen = False,
    reason: Reason = None,
    topic: OfTopic = None,
    again: Annotated[bool, typer.Option(help="also those that were decided before")] = False,
    who: Who = None,
    why: Why = "",
    kafka: Kafka = None,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Send the records of dead letters again, byte for byte; exit status 1 if one cannot be.

    A copy is a new input and is judged anew: first mend what was wrong. An event whose id was seen meanwhile is a
    duplicate; one that conflicted before conflicts again.

    Example: currere dlq retry --all --reason unusable --why "the task is configured now"
    """
    from streams.letters import retry as send_again

    settings, broker = _connected(kafka, tenant)
    chosen = _chosen(broker, settings, origins, all_open, reason, topic, again)
    _tell(send_again(broker, chosen, _decider(settings, who, why)), as_json)


@app.command()
def drop(
    origins: Origins = None,
    all_open: AllOpen = False,
    reason: Reason = None,
    topic: OfTopic = None,
    who: Who = None,
    why: Why = "",
    kafka: Kafka = None,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Give dead letters up: they are open no longer. Nothing is deleted; retention does that.

    Example: currere dlq drop edu.feedback.v1/0/12 --why "a test of the rater's tool"
    """
    from streams.letters import drop as give_up

    settings, broker = _connected(kafka, tenant)
    chosen = _chosen(broker, settings, origins, all_open, reason, topic, again=False)
    _tell(give_up(broker, chosen, _decider(settings, who, why)), as_json)


def _connected(kafka: str | None, tenant: str | None) -> tuple[Settings, Broker]:
    from streams.settings import load

    settings = load(kafka=kafka, tenant=tenant)
    return settings, broker_of(settings)


def _chosen(
    broker: Broker,
    settings: Settings,
    origins: list[str] | None,
    all_open: bool,
    reason: str | None,
    topic: str | None,
    again: bool,
) -> Iterable[Letter]:
    """The letters that are meant, each once. Raises ConfigurationError: none or both ways to say so."""
    from streams.letters import Wanted, find, letters, resolutions

    if bool(origins) == all_open:
        raise ConfigurationError("name letters by ORIGIN, or take --all (with --reason, --topic); `currere dlq list`")
    if origins and (reason or topic):
        raise ConfigurationError("--reason and --topic choose among --all; leave them out with an ORIGIN")
    decisions = {} if again else resolutions(broker, settings.tenant)
    if all_open:
        wanted = Wanted(settings.tenant, reason, topic)
        return (letter for letter in letters(broker, wanted) if letter.input not in decisions)
    found = {letter.input: letter for letter in (find(broker, settings.tenant, _place(o)) for o in origins or ())}
    for input_ in found:
        if before := decisions.get(input_):
            raise ConfigurationError(
                f"{input_} was {before.decision} by {before.who}; `dlq retry --again` sends it anyway"
            )
    return list(found.values())


def _decider(settings: Settings, who: str | None, why: str) -> Decider:
    from streams.letters import Decider

    return Decider(settings.tenant, who or os.environ.get("USER") or "operator", why, datetime.now(UTC))


def _tell(outcomes: Iterable[Decided], as_json: bool) -> None:
    done, failed = [], 0
    for outcome in outcomes:
        place = str(outcome.letter.input)
        failed += outcome.decision == "failed"
        if as_json:
            resent = str(outcome.resent) if outcome.resent else None
            done.append({"input": place, "decision": outcome.decision, "resent": resent, "failure": outcome.failure})
        else:
            done.append({})
            typer.echo(
                f"{place} {outcome.decision}"
                + (f" as {outcome.resent}" if outcome.resent else outcome.failure and f": {outcome.failure}")
            )
    if as_json:
        show_json(done)
    else:
        typer.echo(f"{len(done) - failed:,} decided" + (f", {failed:,} still open" if failed else ""))
    if failed:
        raise typer.Exit(1)


def _row(letter: Letter) -> dict[str, object]:
    return {
        "input": str(letter.input),
        "letter": str(letter.origin),
        "arrived": _time(letter.data.timestamp_ms),
        "bytes": letter.data.value_bytes,
        "reason": letter.data.reason,
        "detail": letter.data.detail,
    }


def _place(text: str) -> Origin:
    from schemas.envelope import Origin

    try:
        return Origin.parse(text)
    except ValueError as error:
        raise ConfigurationError(f"{error}; `currere dlq list` shows such places") from error


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _text(encoded: str) -> str:
    """What ``encoded`` says, harmless to a terminal; as it is if it says nothing in UTF-8."""
    try:
        content = base64.b64decode(encoded).decode()
    except UnicodeDecodeError:
        return f"{encoded[:SHOWN]} (base64)"
    return "".join(sign if sign.isprintable() or sign == "\n" else repr(sign)[1:-1] for sign in content)

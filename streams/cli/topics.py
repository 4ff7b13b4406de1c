"""``currere topics``: make every topic; hold what the broker has against what it should have."""

from __future__ import annotations

from dataclasses import asdict

import typer

from streams.cli.options import Json, Kafka, broker_of, show_json, show_table

app = typer.Typer(no_args_is_help=True, help="Make every topic; hold the broker's against what they should be.")

Partitions = typer.Option(None, min=1, help="of per-session topics, over the setting; fixed once made")


@app.command()
def create(partitions: int | None = Partitions, kafka: Kafka = None, as_json: Json = False) -> None:
    """Create the topics that are absent, with their settings. What is there is left as it is.

    Example: currere topics create --partitions 8 --kafka kafka:9092
    """
    from schemas.topics import ALL
    from streams.assembly import partitions_of
    from streams.settings import load

    settings = load(partitions=partitions, kafka=kafka)
    made = broker_of(settings).create(ALL, partitions_of(settings))
    if as_json:
        show_json({"created": made, "present": sorted({topic.name for topic in ALL} - set(made))})
        return
    typer.echo(f"{len(made)} created, {len(ALL) - len(made)} were there" + "".join(f"\n  {name}" for name in made))


@app.command()
def check(partitions: int | None = Partitions, kafka: Kafka = None, as_json: Json = False) -> None:
    """Compare each topic's partitions and settings with what they should be; exit status 1 if they differ.

    Example: currere topics check --json
    """
    from schemas.topics import ALL
    from streams.assembly import partitions_of
    from streams.differences import differences
    from streams.engines.kafka_survey import survey_topics
    from streams.settings import load

    settings = load(partitions=partitions, kafka=kafka)
    found = differences(ALL, partitions_of(settings), survey_topics(broker_of(settings), ALL), settings.kafka)
    if as_json:
        show_json([asdict(difference) for difference in found])
    elif found:
        rows = [(d.topic, d.what, d.wanted, d.found, d.mend) for d in found]
        show_table(("topic", "what", "should be", "is", "how to mend it"), rows)
    else:
        typer.echo(f"{len(ALL)} topics at {settings.kafka} are as they should be")
    if found:
        raise typer.Exit(1)

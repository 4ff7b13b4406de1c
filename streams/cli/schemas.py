"""``currere schemas``: the contract as documents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from schemas.errors import ConfigurationError
from streams.cli.options import Json, show_json

app = typer.Typer(no_args_is_help=True, help="The contract as documents: JSON Schema and AsyncAPI.")


@app.callback()
def schemas() -> None:
    """The contract as documents: JSON Schema and AsyncAPI."""


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="where to write; made if it is absent")],
    as_json: Json = False,
) -> None:
    """Write a JSON Schema for every version of every event, and one AsyncAPI document.

    Example: currere schemas export ./contract
    """
    from schemas import publish

    try:
        written = publish.export(folder)
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be written: {error}; name another folder") from error
    if as_json:
        show_json([str(path) for path in written])
    else:
        typer.echo(f"{len(written)} documents under {folder}; begin with {folder / 'asyncapi.json'}")

"""The command line: ``currere``. Modules here are light to import; what is heavy is imported inside a command."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import NoReturn

try:
    import typer
except ModuleNotFoundError as missing:
    raise SystemExit("currere: the command line needs the extra `roles`: pip install 'currere[roles]'") from missing

from schemas.errors import ConfigurationError, CurrereError
from streams.advice import advised
from streams.cli import bench

NAME = "currere"
COMMANDS = (
    "demo",
    "up",
    "play",
    "doctor",
    "audit",
    "chaos",
    "fold",
    "settings",
)  # each is the function of its name in its module
GROUPS = ("topics", "schemas", "model", "dlq")  # each is the ``app`` of its module

MISUSE, FAILURE = 2, 1  # exit statuses


def build() -> typer.Typer:
    """The whole command line."""
    app = typer.Typer(
        name=NAME,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Classroom events in, a model that learns while it serves out. Settings: `currere settings`.",
    )
    for name in COMMANDS:
        if find_spec(f"{__name__}.{name}"):
            app.command(name)(getattr(import_module(f"{__name__}.{name}"), name))
    for name in GROUPS:
        if find_spec(f"{__name__}.{name}"):
            app.add_typer(import_module(f"{__name__}.{name}").app, name=name)
    app.command("bench", context_settings=bench.OPTIONS)(bench.bench)
    return app


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and end the process: 0 all is well, 1 it is not, 2 misuse or settings, 130 interrupted."""
    logging.getLogger("streams").addHandler(logging.NullHandler())  # what a command does not show, it does not print
    try:
        sys.exit(build()(args=arguments, prog_name=NAME))
    except CurrereError as error:
        print(f"{NAME}: {' '.join(advised(error).split())}", file=sys.stderr)
        sys.exit(MISUSE if isinstance(error, ConfigurationError) else FAILURE)
    except KeyboardInterrupt:
        sys.exit(130)

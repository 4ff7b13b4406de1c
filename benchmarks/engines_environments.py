"""The contestants of the engine benchmark, and the Python that runs each.

A framework has an environment of its own: Quix Streams holds pydantic and confluent-kafka at older versions than ours.
What a framework's environment does not have itself it takes from ours, so that the codec and the model are the same.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import requires
from importlib.util import find_spec
from pathlib import Path

from schemas.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[1]
OURS = "currere-bench.pth"
INSTALL_S = 600.0


@dataclass(frozen=True, slots=True)
class Contestant:
    """A program of ``benchmarks/contestants``. ``needs`` is the module without which it does not run, None for none;
    ``requirements`` are what brings it. ``beside`` is the contestant whose environment it shares, if any; ``share``
    is how much of a backlog it is given: what takes an event at a time needs not so many to show its pace."""

    name: str
    program: str
    needs: str | None = None
    requirements: tuple[str, ...] = ()
    beside: str | None = None
    share: float = 1.0

    @property
    def folder(self) -> str:
        """The name of its environment."""
        return self.beside or self.name


QUIX = ("quixstreams>=3.28,<4",)
FAUST = ("faust-streaming>=0.15.3,<0.16", "aiokafka[lz4,snappy,zstd]>=0.14,<0.15", "uvloop>=0.19")
CONTESTANTS = (
    Contestant("currere", "currere"),
    Contestant("raw", "raw"),
    Contestant("raw-outbox", "raw_outbox"),
    Contestant("quix", "quix", "quixstreams", QUIX),
    Contestant("quix-each", "quix_each", "quixstreams", QUIX, "quix", 0.1),
    Contestant("faust", "faust", "faust", FAUST),
    Contestant("faust-each", "faust_each", "faust", FAUST, "faust", 0.1),
    Contestant("bytewax", "bytewax", "bytewax", ("bytewax>=0.21,<0.22",)),
    Contestant("faststream", "faststream", "faststream", ("faststream[confluent]>=0.7,<0.8",)),
)  # fmt: skip

UNDER_CLOCKS = Contestant("stages", "stages")  # currere, to see where its time goes


def python_of(contestant: Contestant, folder: Path) -> Path | None:
    """The Python that can run ``contestant``: that of its environment in ``folder``, or ours; None if neither can."""
    if contestant.needs is None:
        return Path(sys.executable)
    if _ready(contestant, folder):
        return _python(folder, contestant)
    return Path(sys.executable) if find_spec(contestant.needs) else None


def how_to_install(contestant: Contestant) -> str:
    """What to say of a contestant that is not there."""
    what = " ".join(f"'{wanted}'" for wanted in contestant.requirements)
    return f"{contestant.needs} is not installed; without --no-install it is, if a package index can be reached: {what}"


def cached() -> Path:
    """Where environments are made by default, so that the next run finds them: the user's cache folder (XDG)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "currere" / "engines"


def make(contestants: Sequence[Contestant], folder: Path) -> dict[str, str]:
    """Make the environments that ``folder`` lacks; by contestant, what the installer said of one that failed."""
    failed: dict[str, str] = {}
    for contestant in contestants:
        if contestant.needs is not None and not _ready(contestant, folder):
            print(f"installing {', '.join(contestant.requirements)} into {folder / contestant.folder}", file=sys.stderr)
            try:
                _make(contestant, folder / contestant.folder)
            except ConfigurationError as error:
                failed[contestant.name] = str(error)
    return failed


def _ready(contestant: Contestant, folder: Path) -> bool:
    """Whether the environment was made to its end: the path to ours is written last."""
    return bool([*(folder / contestant.folder).rglob(OURS)])


def _make(contestant: Contestant, where: Path) -> None:
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    wanted = [*contestant.requirements, *(need for need in requires("currere") or () if "extra ==" not in need)]
    python = str(_python(where.parent, contestant))
    if uv:
        _run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(where)])
        _run([uv, "pip", "install", "--quiet", "--python", python, *wanted])
    else:
        _run([sys.executable, "-m", "venv", "--clear", str(where)])
        _run([python, "-m", "pip", "install", "--quiet", *wanted])
    own = _run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).strip()
    (Path(own) / OURS).write_text(f"{ROOT}\n{sysconfig.get_path('purelib')}\n")


def _run(command: Sequence[str]) -> str:
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_S).stdout
    except subprocess.CalledProcessError as error:
        raise ConfigurationError(f"{' '.join(command[:4])} … failed: {error.stderr.strip()[-2_000:]}") from error
    except subprocess.TimeoutExpired as error:
        raise ConfigurationError(f"{' '.join(command[:4])} … took longer than {INSTALL_S:.0f} s") from error


def _python(folder: Path, contestant: Contestant) -> Path:
    return folder.absolute() / contestant.folder / "bin" / "python"

"""A process that was told so dies at a named moment, and only there and then."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from schemas.errors import ConfigurationError
from streams import failpoints
from streams.settings import load

PASSES = """
import sys
from streams import failpoints
failpoints.arm(sys.argv[1])
for number in range(1, 6):
    for name in ("before-commit", "after-commit"):
        failpoints.pass_by(name)
    print(number, flush=True)
"""
MEETS = """
import sys
from streams import failpoints
failpoints.arm(sys.argv[1])
for id in ("a", "b", "c"):
    failpoints.meet([id])
    print(id, flush=True)
"""


@pytest.fixture
def disarmed() -> Iterator[None]:
    yield
    failpoints.arm(None)


def told(program: str, spec: str) -> tuple[int, list[str]]:
    """The exit status of a process that was told ``spec``, and what it said."""
    done = subprocess.run([sys.executable, "-c", program, spec], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.split("\n")[:-1]


def test_a_process_dies_by_sigkill_at_the_nth_time_it_comes_by() -> None:
    assert told(PASSES, "after-commit:3") == (-signal.SIGKILL, ["1", "2"])


def test_a_process_lives_if_it_does_not_come_by_so_often() -> None:
    assert told(PASSES, "after-commit:6")[0] == 0


def test_a_poison_is_met_by_its_id_alone() -> None:
    assert told(MEETS, "poison:b") == (-signal.SIGKILL, ["a"])


def test_what_is_to_be_done_first_is_done_before_the_end_and_at_no_other_time(
    disarmed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    monkeypatch.setattr("os.kill", lambda pid, signum: happened.append(f"signal {signum:d}"))
    failpoints.arm("after-commit:2")
    for _ in range(3):
        failpoints.pass_by(failpoints.AFTER_COMMIT, lambda timeout_s: happened.append("first"))
    assert happened == ["first", f"signal {signal.SIGKILL:d}"]


@pytest.mark.parametrize("spec", ["after-commit", "after-commit:0", "after-commit:x", "nowhere:1", "poison:", ":"])
def test_a_moment_that_is_none_is_refused(spec: str, disarmed: None) -> None:
    with pytest.raises(ConfigurationError, match="CURRERE_FAILPOINT"):
        failpoints.arm(spec)


def test_the_variable_is_no_unknown_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(failpoints.ENVIRONMENT, "after-commit:1")
    load()

"""A nursery forks roles that have all imported: processes like any other, that end when it does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from streams.nursery import Born, Nursery
from streams.supervisor import RoleDied, Supervisor

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="roles are forked on Linux only")

PATIENCE_S = 30.0
NOWHERE = {"CURRERE_KAFKA": "127.0.0.1:1", "PATH": os.environ["PATH"]}  # a role waits ten seconds for such a broker


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with closing(Nursery()) as found:
        yield found


def waiting(nursery: Nursery, log: Path) -> Born:
    """A role that waits for its broker."""
    return nursery.bear(["up", "session"], NOWHERE, log)


def await_end(pid: int) -> None:
    """Return once there is no such process."""
    with suppress(ProcessLookupError):
        while True:
            os.kill(pid, 0)


def test_a_child_runs_its_command_under_its_own_environment_and_says_so_in_its_log(
    nursery: Nursery, tmp_path: Path
) -> None:
    born = nursery.bear(["settings", "--json"], {**NOWHERE, "CURRERE_TENANT": "oakfield"}, tmp_path / "log")
    assert born.wait(PATIENCE_S) == 0
    said = (tmp_path / "log").read_text()
    assert "oakfield" in said
    assert "127.0.0.1:1" in said


def test_a_child_that_fails_ends_with_the_status_of_its_command(nursery: Nursery, tmp_path: Path) -> None:
    born = nursery.bear(["up", "nobody"], NOWHERE, tmp_path / "log")
    assert born.wait(PATIENCE_S) == 2
    assert "there is no role 'nobody'" in (tmp_path / "log").read_text()


def test_a_child_that_is_killed_says_by_which_signal(nursery: Nursery, tmp_path: Path) -> None:
    born = waiting(nursery, tmp_path / "log")
    assert born.poll() is None
    born.kill()
    assert born.wait(PATIENCE_S) == -signal.SIGKILL


def test_a_child_that_does_not_end_in_time_is_waited_for_no_longer(nursery: Nursery, tmp_path: Path) -> None:
    born = waiting(nursery, tmp_path / "log")
    with pytest.raises(subprocess.TimeoutExpired):
        born.wait(0.01)
    born.kill()


def test_a_signal_to_the_whole_group_is_left_to_the_supervisor(nursery: Nursery, tmp_path: Path) -> None:
    for signum in (signal.SIGTERM, signal.SIGINT):
        os.kill(nursery.pid, signum)
    assert nursery.bear(["settings"], NOWHERE, tmp_path / "log").wait(PATIENCE_S) == 0


def test_a_child_that_is_born_too_late_is_ended_and_taken_for_no_other(nursery: Nursery, tmp_path: Path) -> None:
    os.kill(nursery.pid, signal.SIGSTOP)
    with pytest.raises(OSError, match="nothing was born"):
        nursery.bear(["up", "session"], NOWHERE, tmp_path / "late", patience_s=0.0)
    os.kill(nursery.pid, signal.SIGCONT)
    assert nursery.bear(["settings"], NOWHERE, tmp_path / "log").wait(PATIENCE_S) == 0


def test_children_end_with_their_nursery_and_it_bears_no_more(nursery: Nursery, tmp_path: Path) -> None:
    born = waiting(nursery, tmp_path / "log")
    os.kill(nursery.pid, signal.SIGKILL)
    assert born.wait(PATIENCE_S) == -signal.SIGKILL
    await_end(born.pid)
    with pytest.raises(OSError, match="the nursery has died"):
        waiting(nursery, tmp_path / "log")


def test_who_cannot_import_what_roles_need_is_told_where_to_look(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('there is no torch')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(RoleDied, match="currere up session"):
        Supervisor(["session"], {}).run(threading.Event())

"""The matrix keeps its rounds by commit, plays none twice, and says of each row whether all its rounds held."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.kafka.broker import BrokerFailed
from schemas import topics
from schemas.errors import ConfigurationError
from streams.chaos import summary
from streams.chaos.matrix import Row, chosen, matrix
from streams.chaos.recovery import GRACE_MS, OUTCOME, Recovery, Watch, by_kind, quantiles
from streams.chaos.rounds import Results, Round, play_one, state_of_tree
from streams.chaos.servers import Servers
from streams.chaos.stand import Stand
from streams.chaos.tree import raised
from streams.cli.chaos import failed_before
from streams.engines.memory import ManualClock, MemoryLog
from streams.message import Message

HELD = Round("kill-session", 3, 0, True, "", 9.5, (Recovery("restart", "session", 0.6),), {"deaths": [3]}, {"lost": 0})
ROWS = tuple(matrix().values())


def nothing(here: Stand) -> None:
    """A row that does nothing."""


def row(name: str) -> Row:
    return Row(name, "nothing", "everything", nothing)


def test_a_round_is_read_as_it_was_kept(tmp_path: Path) -> None:
    Results(tmp_path, "c0ffee", dirty=False).add(HELD)
    (found,) = Results(tmp_path, "c0ffee", dirty=False).rounds
    assert found == HELD


def test_a_round_of_this_commit_is_not_played_again_and_any_other_is(tmp_path: Path) -> None:
    Results(tmp_path, "c0ffee", dirty=False).add(HELD)
    kept = Results(tmp_path, "c0ffee", dirty=False)
    assert kept.has("kill-session", 3, 0)
    assert not kept.has("kill-session", 3, 1)
    assert not kept.has("kill-session", 4, 0)
    assert not Results(tmp_path, "decade", dirty=False).has("kill-session", 3, 0)


def test_a_kept_round_that_did_not_hold_says_why_and_where_its_logs_are() -> None:
    failed = replace(HELD, number=1, holds=False, why="Lost:\n  one", logs="results/failed/kill-session-3-1")
    other = replace(failed, row="zombie")
    (line,) = failed_before([row("kill-session")], [HELD, failed, other])
    assert line.startswith("kill-session, round 2 of seed 3, played before: ")
    assert "Lost: one" in line
    assert failed.logs in line


def test_rounds_of_a_tree_with_changes_are_apart_and_never_gone_on_with(tmp_path: Path) -> None:
    Results(tmp_path, "c0ffee", dirty=True).add(HELD)
    assert Results(tmp_path, "c0ffee", dirty=True).rounds == []
    assert Results(tmp_path, "c0ffee", dirty=False).rounds == []
    assert [path.name for path in tmp_path.iterdir()] == ["c0ffee-dirty.jsonl"]


def test_a_tree_is_dirty_from_its_first_change_to_its_commit(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True, capture_output=True)

    git("init")
    git("-c", "user.name=n", "-c", "user.email=e", "commit", "--allow-empty", "-m", "first")
    assert state_of_tree(tmp_path)[1] is False
    (tmp_path / "new").touch()
    assert state_of_tree(tmp_path)[1] is True


def test_without_a_commit_nothing_is_gone_on_with(tmp_path: Path) -> None:
    assert state_of_tree(tmp_path)[1] is True


def test_a_server_that_does_not_start_is_a_round_that_does_not_hold(tmp_path: Path) -> None:
    def broken() -> Servers:
        raise BrokerFailed("no memory")

    done = play_one(row("kill-session"), 0, 3, broken, tmp_path)
    assert (done.holds, done.why) == (False, "BrokerFailed: no memory")


def test_what_is_not_installed_ends_the_matrix_and_is_no_round(tmp_path: Path) -> None:
    def broken() -> Servers:
        raise ConfigurationError("no jars")

    with pytest.raises(ConfigurationError, match="no jars"):
        play_one(row("kill-session"), 0, 3, broken, tmp_path)


def test_a_row_holds_only_if_each_of_its_rounds_did() -> None:
    rounds = [HELD, replace(HELD, number=1, holds=False, why="two outcomes")]
    (found,) = summary.rows_of([row("kill-session")], rounds)
    assert (found["rounds"], found["failed"], found["holds"]) == (2, 1, False)
    assert "two outcomes" in found["why"][0]


def test_a_row_that_was_not_played_is_no_row_that_held() -> None:
    assert summary.rows_of([row("zombie")], [HELD]) == []


def test_an_unknown_row_is_refused_by_its_name() -> None:
    with pytest.raises(ConfigurationError, match="kill-nobody"):
        chosen(["kill-nobody"])


@pytest.mark.parametrize("found", ROWS, ids=lambda found: found.name)
def test_every_row_says_what_it_injects_and_what_must_hold(found: Row) -> None:
    assert found.injects
    assert found.claims


def test_every_row_is_listed_for_operators_and_no_other() -> None:
    page = (Path(__file__).parents[2] / "docs/operators.md").read_text()
    table = page.partition("| row | what is injected |")[2].partition("\n\n")[0]
    named = [line.split("`")[1] for line in table.splitlines() if line.startswith("| `")]
    assert sorted(named) == sorted(found.name for found in ROWS)


@given(st.lists(st.floats(0, 100), min_size=1))
def test_the_median_and_the_95th_percentile_lie_within_what_was_measured(seconds: list[float]) -> None:
    found = quantiles(seconds)
    assert found["n"] == len(seconds)
    assert min(seconds) - 1e-3 <= found["p50"] <= found["p95"] <= max(seconds) + 1e-3


def test_recoveries_are_told_apart_by_kind() -> None:
    found = by_kind([Recovery("restart", "worker", 1.0), Recovery("takeover", "worker", 3.0)])
    assert (found["p50"], found["restart"], found["takeover"]) == (2.0, quantiles([1.0]), quantiles([3.0]))


def test_recovery_ends_with_the_first_outcome_of_this_tenant_after_the_fault() -> None:
    clock, role = ManualClock(), "worker"
    log = MemoryLog(clock)
    log.create(topics.ALL, lambda topic: 1)
    fault, topic = clock.now, OUTCOME[role].name

    def publish(after_ms: float, tenant: str) -> None:
        clock.now = fault + after_ms / 1000
        log.append(Message(topic, 0, b"", b"{}", (("ce_tenant", tenant.encode()),)))

    publish(GRACE_MS / 2, "ours")  # was on its way
    watch = Watch(log, role, "ours", fault)
    publish(2_000, "theirs")
    assert watch.seconds() is None
    publish(3_000, "ours")
    publish(4_000, "ours")
    assert watch.seconds() == pytest.approx(3.0, abs=1e-3)


def test_the_next_version_of_a_schema_has_a_minor_version_and_an_optional_field_more() -> None:
    source = 'from __future__ import annotations\nclass A(Data):\n    VERSION: ClassVar[str] = "1.4"\n    name: str\n'
    found = raised(source)
    assert 'VERSION: ClassVar[str] = "1.5"\n    added_next: str | None' in found
    assert "1.4" not in found

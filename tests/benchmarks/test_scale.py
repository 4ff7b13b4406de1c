"""The growth benchmark: its formulas, its plan, and that it fills a store with what the roles themselves read."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from math import ceil, isnan, log10
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import scale
from benchmarks.scale_model import allocated, entry_bytes, off_by, outbox_bytes, string, table_bytes
from benchmarks.scale_plan import (
    HOURS_PER_MONTH,
    MEASURED,
    Assumptions,
    Figures,
    assumed_rows,
    events,
    log_bytes,
    plan,
    power_of_two,
    redis_bytes,
    shown,
)
from benchmarks.scale_run import Found, Full
from benchmarks.scale_summary import slope, slopes, summary, throughput
from benchmarks.scale_watch import Cost
from schemas import topics
from schemas.errors import ConfigurationError

PAGE = Path(__file__).parents[2] / "docs" / "national.md"
LEARNERS = 10_000_000
FIGURES = Figures(**dict.fromkeys(Figures.__slots__, 1.0))


@given(st.integers(1, 10**6))
def test_an_allocation_holds_what_was_asked_for_and_wastes_at_most_a_quarter(size: int) -> None:
    assert size <= allocated(size) <= max(1.25 * size, size + 15)


@given(st.integers(1, 10**6))
def test_an_allocation_s_size_is_given_as_it_is(size: int) -> None:
    assert allocated(allocated(size)) == allocated(size)


@pytest.mark.parametrize(("length", "header"), [(31, 1), (32, 3), (255, 3), (256, 5), (2**16 - 1, 5), (2**16, 9)])
def test_a_string_has_a_header_by_its_length_and_a_zero(length: int, header: int) -> None:
    assert string(length) == header + length + 1


def test_an_entry_that_expires_takes_its_key_once_more() -> None:
    key, value = 40, 900
    more = entry_bytes(key, value, timed=True) - entry_bytes(key, value, timed=False)
    assert more > allocated(string(key)) + allocated(24)


@given(st.integers(4, 10**7))
def test_a_table_has_a_place_for_each_entry_and_less_than_two_beside_one_that_it_has_outgrown(entries: int) -> None:
    places = table_bytes(entries) / 8
    assert entries <= places < (2 + 1) * entries


@given(st.lists(st.integers(1, 20_000), min_size=1))
def test_the_outbox_takes_more_than_its_records_and_at_most_half_a_page_more_for_each(sizes: list[int]) -> None:
    assert sum(sizes) < outbox_bytes(sizes) <= sum(1.25 * (size + 18) + 64 + 16 for size in sizes)


def test_off_by_is_in_percent_of_what_was_measured() -> None:
    assert off_by(110.0, 100.0) == pytest.approx(10.0)


@given(st.floats(-50, 50), st.floats(0, 1000))
def test_the_slope_of_a_line_is_what_it_adds_for_ten_times_the_size(each: float, start: float) -> None:
    found = slope([(size, start + each * log10(size)) for size in (10.0, 100.0, 1000.0, 10**4)])
    assert found == pytest.approx((each, each, each), abs=1e-6)


def test_what_swings_evenly_around_a_level_has_a_slope_whose_interval_holds_zero() -> None:
    found = slope([(size, 100.0 + up) for size in (10.0, 100.0, 1000.0) for up in (-3.0, 3.0)])
    assert found.low < 0 < found.high
    assert found.value == pytest.approx((found.low + found.high) / 2)


def test_a_single_size_has_no_slope() -> None:
    assert isnan(slope([(10.0, 1.0), (10.0, 2.0), (10.0, 3.0)]).value)


def test_events_follow_from_classes_lessons_and_utterances() -> None:
    assumed = Assumptions(class_size=20, lessons=2, utterances=300, labelled=0.01, school_hours=5, peak=3)
    day = events(1_000, assumed)
    lessons = 1_000 / 20 * 2
    assert day["interactions"] == lessons * 300
    assert day["labels_s"] == pytest.approx(lessons * 300 * 0.01 / (5 * 3600) * 3)


def test_half_the_horizon_is_half_of_what_waits() -> None:
    long, short = Assumptions(horizon_days=40), Assumptions(horizon_days=20)
    kind = "predictions that wait for labels"
    assert redis_bytes(1e6, long, FIGURES)[kind] == 2 * redis_bytes(1e6, short, FIGURES)[kind]


def test_a_topic_holds_what_comes_in_the_days_that_it_is_kept() -> None:
    assumed = Assumptions()
    found = log_bytes(1e6, assumed, replace(FIGURES, feedback_log=200.0))
    daily = events(1e6, assumed)["labels"] * 200.0
    assert found[topics.FEEDBACK.name] == pytest.approx(daily * topics.FEEDBACK.days * assumed.school_days)


def test_a_plan_has_room_for_its_peak() -> None:
    assumed, figures = Assumptions(), replace(FIGURES, score_us=700.0, pending_bytes=2_000.0)
    rows = {row.name: row.value for row in plan(1e6, assumed, figures)}
    at_work = rows["session cores at work"] + rows["cores that pass over others' events"]
    assert rows["session processes"] * assumed.busy >= at_work
    assert rows["Redis Cluster shards"] * assumed.redis_gb * assumed.busy >= rows["Redis memory"]
    assert rows["partitions"] >= max(2 * rows["session processes"], 4 * rows["Redis Cluster shards"])
    assert rows["curate ready in"] <= assumed.takeover_s
    assert rows["money"] == sum(rows[f"money for {what}"] for what in ("cores", "memory", "disks"))


def test_the_money_counts_a_core_for_each_process_of_each_shard() -> None:
    assumed, figures = Assumptions(), replace(FIGURES, score_us=700.0, ready_s_per_million=120.0, foreign_us=6.0)
    rows = {row.name: row.value for row in plan(1e6, assumed, figures)}
    shards, servers = (
        rows["worker shards"],
        [rows[f"{name} cores at work"] / assumed.busy for name in ("Redis", "Kafka")],
    )
    assert shards > 1
    assert rows["session processes"] % shards == 0
    assert rows["cores paid for"] == rows["session processes"] + 2 * shards + sum(map(ceil, servers))
    assert rows["money for cores"] == rows["cores paid for"] * HOURS_PER_MONTH * assumed.per_vcpu_hour


def test_of_an_assumption_that_was_given_nobody_says_where_it_is_from() -> None:
    ours, given = ({row[0]: row[2] for row in assumed_rows(Assumptions.of(told))} for told in ([], ["labelled=.5"]))
    assert given["labelled"].endswith(": as given")
    assert {name for name, why in ours.items() if given[name] != why} == {"labelled"}


def test_every_line_of_a_plan_has_a_name_of_its_own() -> None:
    names = [row.name for row in plan(1e6, Assumptions(), FIGURES)]
    assert len({*names}) == len(names)


@given(st.floats(0.1, 1e6))
def test_partitions_are_the_next_power_of_two(least: float) -> None:
    found = power_of_two(least)
    assert found & (found - 1) == 0
    assert found >= least
    assert found == 1 or found / 2 < least


def test_an_assumption_can_be_another() -> None:
    assert Assumptions.of(["labelled=.5", "peak=4"]) == replace(Assumptions(), labelled=0.5, peak=4.0)


@pytest.mark.parametrize("text", ["labeled=1", "peak=much", "peak"])
def test_an_assumption_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="--assume"):
        Assumptions.of([text])


def test_figures_are_read_from_what_a_run_has_printed(tmp_path: Path) -> None:
    printed = tmp_path / "printed"
    printed.write_text(f"a table\n{json.dumps({'figures': FIGURES.rounded()})}\n")
    assert Figures.read(printed) == FIGURES


def test_a_file_without_figures_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("{}")
    with pytest.raises(ConfigurationError, match="no figures"):
        Figures.read(other)


def test_the_page_says_what_the_plan_of_the_kept_figures_says() -> None:
    cells = {tuple(cell.strip() for cell in line.strip("|").split(" | ")[:2]) for line in PAGE.read_text().splitlines()
             if line.startswith("| ")}  # fmt: skip
    wanted = {(row.name, f"{shown(row.value)} {row.unit}".strip())
              for row in plan(LEARNERS, Assumptions(), Figures.read(MEASURED))}  # fmt: skip
    assert wanted - cells == set()


def test_the_page_lists_every_assumption_with_its_value() -> None:
    page = PAGE.read_text()
    for name in Assumptions.__slots__:
        assert f"| `{name}` | {shown(getattr(Assumptions(), name))} |" in page


def test_a_plan_is_printed_without_any_server(capsys: pytest.CaptureFixture[str]) -> None:
    assert scale.main(["--plan", "1000", "--assume", "lessons=0", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["learners"], told["plan"]["interactions a day"]["value"]) == (1000, 0.0)


def cost(role_us: float) -> Cost:
    return Cost(events=100, per_s=50.0, role_us=role_us, redis_us=20.0, kafka_us=30.0, rss_mb=200.0)


def test_what_grows_is_not_flat_and_what_swings_is() -> None:
    grows = [
        Full(size, {"example": [cost(10 * log10(size) + up) for up in (-1, 0, 1)]}, {}, 1.0, 100.0)
        for size in (10, 100, 1000)
    ]
    told = slopes(grows)["example"]
    assert (told["role_flat"], told["redis_flat"]) == (False, True)
    assert told["times"] == round((30 + 20 + 30) / (10 + 20 + 30), 3)


def test_of_one_size_no_slope_is_told() -> None:
    told = slopes([Full(10, {"example": [cost(1.0)] * 3}, {}, 1.0, 100.0)])["example"]
    assert (told["role_us_per_decade"], told["role_flat"]) == (None, None)


def test_the_gain_of_more_processes_is_over_one_process_at_as_many_partitions() -> None:
    found = Found(throughput=[(8, 1, cost(1.0)), (8, 2, replace(cost(1.0), per_s=75.0)), (4, 2, cost(1.0))])
    assert [row["gain"] for row in throughput(found)] == [1.0, 75.0 / 50.0, None]


def test_no_figures_are_kept_of_a_run_that_measured_a_part() -> None:
    assert summary(Found())["figures"] is None


@pytest.mark.parametrize("given", ["busy=0", "class_size=0", "labelled=-1", "labelled=inf", "peak=nan"])
def test_an_assumption_that_cannot_be_is_refused_before_anything_is_divided_by_it(given: str):
    with pytest.raises(ConfigurationError, match=re.escape(given)):
        Assumptions.of([given])


def test_nobody_need_label_and_nothing_need_cost():
    assert Assumptions.of(["labelled=0", "per_vcpu_hour=0"]).per_vcpu_hour == 0

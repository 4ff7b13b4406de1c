"""What the engine benchmark makes of what it has seen, and that all contestants are given the same work."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.contestants.work import READS, WRITES, Job, answering, read
from benchmarks.engines_environments import CONTESTANTS, OURS, Contestant, how_to_install, python_of
from benchmarks.engines_rounds import able
from benchmarks.engines_run import Course, Spent, lessons, of_tenant
from benchmarks.engines_summary import AIM_PER_S, MOST_P99, THROUGHPUT, drawn, ratio, shares, summary
from benchmarks.engines_watch import Measured, Pace, Sample, latencies, outputs, pace, percentile
from schemas import codec, topics
from schemas.envelope import Origin
from schemas.prediction import Prediction
from streams.engines.memory import ManualClock, MemoryLog
from streams.message import Message, Record
from streams.processor import message

TENANT, PARTITIONS = "oakfield", 3
JOB = Job("kafka", "redis", TENANT, PARTITIONS, 10)


def measured(per_s: float = 100.0, cpu_us: float = 50.0, p99_ms: float = 20.0, twice: int = 0) -> Measured:
    of_both = Pace(per_s, cpu_us, 900)
    return Measured(of_both, of_both, rss_mb=80.0, p50_ms=10.0, p99_ms=p99_ms, twice=twice)


def record(sent: Message, offset: int) -> Record:
    return Record(Origin(sent.topic, sent.partition, offset), sent.key, sent.value, sent.headers, 0)


def answered(sent: Message, offset: int) -> Message:
    """What a contestant sends for the interaction ``sent``."""
    (output,) = answering(JOB)([read(record(sent, offset))])
    return message(output, TENANT, JOB.source, sent.partition, {WRITES.name: PARTITIONS})


def test_a_job_is_read_as_it_was_written() -> None:
    assert Job.parse(JOB.text()) == JOB


def test_an_answer_says_whose_it_is_and_lies_where_the_interaction_lay() -> None:
    sent = of_tenant(lessons(0, 1, PARTITIONS)[0], TENANT)
    found = answered(sent, 7)
    event = codec.decode(WRITES, found.headers, found.value)
    assert isinstance(event.data, Prediction)
    assert event.data.interaction == sent.id
    assert event.envelope.causes == (Origin(READS.name, sent.partition, 7),)
    assert (found.partition, event.envelope.tenant) == (sent.partition, TENANT)


def test_a_slow_contestant_is_given_the_end_of_the_backlog_and_all_that_comes_after() -> None:
    said = lessons(0, 30, PARTITIONS)
    short = Course(said, 20, 5, PARTITIONS, 10, 1.0).shortened(0.25)
    assert (short.events, short.said) == (5, said[15:])


def test_the_pace_is_that_after_the_first_tenth() -> None:
    samples = [Sample(0.0, 0, 1.0), Sample(2.0, 90, 1.5), Sample(3.0, 200, 2.0), Sample(7.0, 1000, 4.0)]
    assert pace(samples, 1000) == Pace((1000 - 200) / (7.0 - 3.0), 1e6 * (4.0 - 2.0) / (1000 - 200), 1000 - 200)


def test_a_backlog_that_comes_between_two_samples_is_timed_from_the_last_before() -> None:
    samples = [Sample(0.0, 0, 1.0), Sample(2.0, 0, 1.5), Sample(3.0, 1000, 2.0)]
    assert pace(samples, 1000) == Pace(1000 / (3.0 - 2.0), 1e6 * (2.0 - 1.5) / 1000, 1000)


@given(st.lists(st.integers(0, 1000), min_size=1), st.sampled_from([0.5, 0.99]))
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(values: list[int], share: float) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values)
    assert sum(value < found for value in values) < share * len(values)


def test_latency_is_from_the_log_s_receipt_to_its_receipt_of_the_first_answer() -> None:
    clock = ManualClock()
    log = MemoryLog(clock)
    log.create(topics.ALL, lambda topic: PARTITIONS if topic.per_session else 1)
    producer, made = log.producer(), [of_tenant(one, TENANT) for one in lessons(0, 2, PARTITIONS)]
    for sent in made:
        producer.send(sent, lambda offset, error: None)
    took_s = 3.0
    for again in range(2):
        clock.now += took_s
        for offset, sent in enumerate(made[: 2 - again]):
            producer.send(answered(sent, offset), lambda offset, error: None)
    found, twice = latencies(log, PARTITIONS, dict.fromkeys(range(PARTITIONS), 0))
    assert outputs(log, PARTITIONS) == len(made) + 1
    assert (found, twice) == ([1000 * took_s] * len(made), 1)


def test_ratios_are_taken_within_a_round() -> None:
    assert ratio([10.0, 90.0, 30.0], [20.0, 100.0, 10.0]) == 90.0 / 100.0
    assert ratio([1.0], []) is None


def test_a_row_says_how_a_contestant_compares_with_the_raw_loop() -> None:
    told = summary(
        {"plain": {"quix": [measured(50.0, 200.0, twice=2)], "raw": [measured(100.0, 50.0)]}, "scored": {}}, None
    )
    rows = told["plain"]
    assert isinstance(rows, dict)
    assert (rows["quix"]["ratio_to_raw"], rows["quix"]["cpu_ratio_to_raw"]) == (50.0 / 100.0, 200.0 / 50.0)
    assert (rows["quix"]["twice"], rows["raw"]["ratio_to_raw"]) == (2, 1.0)


@pytest.mark.parametrize(("over", "holds"), [(0.0, True), (-0.01, False)])
def test_a_bar_holds_from_its_value_on(over: float, holds: bool) -> None:
    for kind, other, least in THROUGHPUT:
        rounds: dict[str, dict[str, list[Measured]]] = {"plain": {}, "scored": {}} | {
            kind: {"currere": [measured(100.0 * (least + over))], other: [measured(100.0)]}
        }
        told = summary(rounds, None)["bars"]
        assert isinstance(told, dict)
        assert told[f"{kind}: events a second over {other}"]["holds"] is holds


@pytest.mark.parametrize(("over", "holds"), [(0.0, True), (0.1, False)])
def test_latency_may_be_so_many_times_the_raw_loop_s(over: float, holds: bool) -> None:
    rounds = {
        "plain": {"currere": [measured(p99_ms=10 * (MOST_P99 + over))], "raw": [measured(p99_ms=10)]},
        "scored": {},
    }
    told = summary(rounds, None)["bars"]
    assert isinstance(told, dict)
    assert told["plain: p99 over raw"]["holds"] is holds


def test_what_was_not_measured_has_no_bar() -> None:
    assert summary({"plain": {"currere": [measured()]}, "scored": {}}, None)["bars"] == {}


def test_the_parts_are_of_one_event_and_the_largest_comes_first() -> None:
    spent = Spent({"decode": 0.01, "answer": 0.03, "process": 0.04}, Pace(900.0, 40.0, 1000))
    told = shares(spent, [measured(AIM_PER_S / 4)])
    assert list(told["cpu_us_per_event"].items()) == [("answer", 30.0), ("decode", 10.0)]  # type: ignore[attr-defined]  # it is a dict
    assert (told["share_of_aim"], told["aim_us_per_event"]) == (1 / 4, 1e6 / AIM_PER_S)


def test_a_plot_is_drawn_for_each_kind_that_was_measured() -> None:
    told = summary({"plain": {"raw": [measured()]}, "scored": {}}, None)
    assert set(drawn(told)) == {"engines-plain-throughput", "engines-plain-cpu"}


def test_a_contestant_s_own_environment_goes_before_ours_once_it_is_whole(tmp_path: Path) -> None:
    one = Contestant("one", "raw", "json", ("json",))
    own = tmp_path / "one" / "bin" / "python"
    own.parent.mkdir(parents=True)
    own.touch()
    assert python_of(one, tmp_path) == Path(sys.executable)
    (tmp_path / "one" / OURS).touch()
    assert python_of(one, tmp_path) == own


def test_what_could_not_be_installed_runs_all_the_same_if_we_have_it(tmp_path: Path) -> None:
    ours, absent = Contestant("ours", "raw", "json", ("json",)), Contestant("absent", "raw", "no_such_module", ("no",))
    pythons, left_out = able([ours, absent], tmp_path, {"ours": "no index", "absent": "no index"})
    assert pythons == {"ours": Path(sys.executable)}
    assert left_out == {"absent": "no index"}


def test_what_is_not_installed_is_said_with_how_to_install_it(tmp_path: Path) -> None:
    absent = Contestant("one", "raw", "no_such_module", ("no-such-package>=1",))
    assert python_of(absent, tmp_path) is None
    assert "--no-install" in how_to_install(absent)
    assert "no-such-package>=1" in how_to_install(absent)


def test_every_contestant_has_a_program_that_says_how_it_is_configured() -> None:
    folder = Path(__file__).parents[2] / "benchmarks" / "contestants"
    for one in CONTESTANTS:
        assert "onfigured" in (folder / f"{one.program}.py").read_text()

"""The in-process log behaves as a broker does, and the engine over it runs a role to rest."""

from __future__ import annotations

import pytest
from builders import (
    TENANT,
    Teller,
    append,
    classroom_log,
    event,
    everything,
    label,
    outcomes,
    published,
    records,
    said,
    session_role,
)

from schemas import topics
from schemas.envelope import Origin
from schemas.errors import BrokerError, OffsetOutOfRange
from schemas.interaction import Interaction, Payload
from schemas.prediction import Prediction
from state.memory import MemoryStore
from state.store import Shard
from streams.engines.memory import ManualClock, MemoryEngine, MemoryLog
from streams.message import Message
from streams.metrics import Metrics

NAME = topics.FATE.name


def message(value: bytes, partition: int = 0) -> Message:
    return Message(NAME, partition, b"key", value, (("ce_id", b"id"),))


@pytest.fixture
def log() -> MemoryLog:
    return classroom_log(ManualClock())


def values(log: MemoryLog, start: int, end: int) -> list[bytes | None]:
    return [record.value for record in log.read(NAME, 0, start, end)]


def test_a_record_is_read_back_with_its_place_and_its_time(log: MemoryLog) -> None:
    clock = log.clock
    assert isinstance(clock, ManualClock)
    clock.advance(1.5)
    offset = log.append(message(b"a"))
    (record,) = log.read(NAME, 0, offset, offset + 1)
    assert (record.origin, record.key, record.value) == (Origin(NAME, 0, 0), b"key", b"a")
    assert record.timestamp_ms == int(clock.now * 1000)


def test_reading_is_from_start_to_before_end(log: MemoryLog) -> None:
    for value in (b"a", b"b", b"c"):
        log.append(message(value))
    assert values(log, 0, 3) == [b"a", b"b", b"c"]
    assert values(log, 1, 2) == [b"b"]
    assert values(log, 2, 99) == [b"c"]
    assert values(log, 2, 1) == values(log, 3, 3) == values(log, 5, 9) == []


def test_partitions_have_offsets_of_their_own() -> None:
    log = classroom_log(ManualClock(), partitions=2)
    assert [log.append(message(b"a", 0)), log.append(message(b"b", 1)), log.append(message(b"c", 1))] == [0, 0, 1]
    assert (log.partitions()[NAME], log.partitions()[topics.DRIFT.name]) == (2, 1)


def test_what_retention_took_is_out_of_range_and_offsets_go_on(log: MemoryLog) -> None:
    for value in (b"a", b"b", b"c"):
        log.append(message(value))
    log.expire(NAME, 0, 2)
    assert log.ends(NAME, 0) == (2, 3)
    assert log.append(message(b"d")) == 3
    assert values(log, 2, 4) == [b"c", b"d"]
    with pytest.raises(OffsetOutOfRange):
        log.read(NAME, 0, 1, 4)
    log.expire(NAME, 0, 1)
    assert log.ends(NAME, 0) == (2, 4), "retention does not go back"


def test_a_topic_or_partition_that_is_not_there_is_a_broker_error(log: MemoryLog) -> None:
    with pytest.raises(BrokerError, match="topics create"):
        log.ends("nowhere", 0)
    with pytest.raises(BrokerError, match="topics create"):
        log.append(message(b"a", 7))


def test_creating_what_is_there_changes_nothing(log: MemoryLog) -> None:
    log.append(message(b"a"))
    assert log.create(topics.ALL, lambda topic: 9) == []
    assert values(log, 0, 1) == [b"a"]


def test_an_offset_is_found_by_the_time_at_which_the_log_received_it(log: MemoryLog) -> None:
    clock = log.clock
    assert isinstance(clock, ManualClock)
    began = int(clock.now * 1000)
    for value in (b"a", b"b"):
        log.append(message(value))
        clock.advance(10.0)
    assert [log.offset_at(NAME, 0, began + ms) for ms in (-1, 0, 1, 10_000, 10_001)] == [0, 0, 1, 1, 2]


def test_acknowledgements_come_at_poll_in_order_with_offsets(log: MemoryLog) -> None:
    producer = log.producer()
    heard: list[tuple[int | None, str | None]] = []
    for value in (b"a", b"b"):
        producer.send(message(value), lambda offset, error: heard.append((offset, error)))
    assert heard == []
    producer.poll()
    assert heard == [(0, None), (1, None)]
    assert producer.flush(0.0) == 0
    assert len(heard) == 2


def test_a_tail_follows_from_its_offset(log: MemoryLog) -> None:
    for value in (b"a", b"b"):
        log.append(message(value))
    tail = log.tail(NAME, 0, 1)
    assert [r.value for r in tail.poll(0.0)] == [b"b"]
    assert tail.poll(0.0) == []
    log.append(message(b"c"))
    assert [r.value for r in tail.poll(0.0)] == [b"c"]
    tail.close()


# The engine.

LESSON = [said("i0"), label("f0", "i0"), said("i1"), label("f1", "i1")]


def test_an_engine_runs_a_role_to_rest(log: MemoryLog) -> None:
    append(log, *LESSON)
    role = session_role()
    engine = MemoryEngine(log, MemoryStore(), role, Metrics(), batch=1)
    assert engine.drain() == len(LESSON)
    assert engine.step() == 0
    assert {len(ids) for ids in outcomes(log, role).values()} == {1}
    assert len(outcomes(log, role)) == len(LESSON)


def test_batches_of_any_size_publish_the_same(log: MemoryLog) -> None:
    found = []
    for batch in (1, 3, 500):
        log = classroom_log(ManualClock())
        append(log, *LESSON)
        MemoryEngine(log, MemoryStore(), session_role(), Metrics(), batch=batch).drain()
        found.append({n: sorted(map(str, rs)) for n, rs in everything(log, session_role().outputs).items()})
    assert found[0] == found[1] == found[2]


def test_every_partition_is_served_and_outputs_stay_in_it() -> None:
    log = classroom_log(ManualClock(), partitions=3)
    for n in range(12):
        append(log, event(Interaction(session=f"s{n}", role="teacher", payload=Payload(text="why?")), f"i{n}"))
    MemoryEngine(log, MemoryStore(), session_role(), Metrics()).drain()
    home = {r.header("ce_id"): r.origin.partition for r in records(log, topics.INTERACTION)}
    assert len(set(home.values())) == 3
    for record in records(log, topics.PREDICTION):
        prediction = Prediction.model_validate_json(record.value or b"")
        assert record.origin.partition == home[prediction.interaction]


def test_an_engine_that_was_replaced_takes_its_partitions_again(log: MemoryLog) -> None:
    store, metrics = MemoryStore(), Metrics()
    first = MemoryEngine(log, store, session_role(Teller(0.25)), metrics)
    second = MemoryEngine(log, store, session_role(Teller(0.75)), Metrics())
    for n, engine in enumerate((first, second, first)):
        append(log, said(f"i{n}"))
        engine.drain()
    versions = [e.data.version for e in published(log, topics.PREDICTION) if isinstance(e.data, Prediction)]
    assert versions == [Teller(0.25).version, Teller(0.75).version, Teller(0.25).version]
    assert metrics.registry.get_sample_value("currere_refusals_total", {"role": "session"}) == 1


def test_a_closed_engine_leaves_nothing_to_send(log: MemoryLog) -> None:
    store = MemoryStore()
    append(log, *LESSON)
    engine = MemoryEngine(log, store, session_role(), Metrics())
    engine.drain()
    engine.close()
    assert store.take(Shard(TENANT, "session", 0), "next").outbox == ()


def test_what_was_decided_is_counted_by_role_and_topic(log: MemoryLog) -> None:
    metrics = Metrics()
    append(log, *LESSON, said("i0"))
    MemoryEngine(log, MemoryStore(), session_role(), metrics).drain()

    def counted(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(f"currere_{name}_total", {"role": "session", **labels})

    assert counted("events_in", topic=topics.INTERACTION.name) == 3
    assert counted("events_out", topic=topics.EXAMPLE.name) == 2
    assert counted("fates", fate="duplicate") == 1


def test_offsets_that_left_retention_stop_the_partition(log: MemoryLog) -> None:
    store = MemoryStore()
    append(log, said("i0"), said("i1"), said("i2"))
    engine = MemoryEngine(log, store, session_role(), Metrics(), batch=1)
    engine.step()
    log.expire(topics.INTERACTION.name, 0, 2)
    with pytest.raises(OffsetOutOfRange):
        engine.step()

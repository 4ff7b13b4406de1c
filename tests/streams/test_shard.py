"""The order in which an owner reads, commits and sends loses nothing and repeats nothing, whatever goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace

import pytest
import redis
from builders import (
    HORIZON_S,
    TENANT,
    Died,
    Host,
    MortalProducer,
    Teller,
    append,
    classroom_log,
    consent,
    curate_role,
    everything,
    label,
    outcomes,
    published,
    records,
    retraction,
    said,
    session_role,
)

from schemas import topics
from schemas.envelope import Origin
from schemas.errors import BrokerError, Refused, StoreUnavailable
from schemas.event import Data, Event
from schemas.prediction import DeadLetter, Example, Fate, Prediction
from schemas.training import TrainRequest
from state.keys import shard_keys
from state.memory import MemoryStore
from state.redis import RedisStore
from state.store import Commit, Offsets, Shard, Store
from streams.engines.adopted import HELD, SAID, SENT
from streams.engines.broker import Acknowledged
from streams.engines.memory import ManualClock, MemoryLog, MemoryProducer
from streams.engines.own import Search, read_own
from streams.message import Message

SESSION, CURATE = Shard(TENANT, "session", 0), Shard(TENANT, "curate", 0)
LESSON = [said("i0"), label("f0", "i0"), said("i1"), label("f1", "i1", "none"), label("early", "i2")]


@dataclass(frozen=True)
class Kept:
    """A store, and a way to make it forget: ``remember`` returns what takes it back to this moment."""

    store: Store
    remember: Callable[[], Callable[[], None]]
    wipe: Callable[[], None]


def in_memory(store: MemoryStore) -> Kept:
    empty = store.snapshot()

    def remember() -> Callable[[], None]:
        then = store.snapshot()
        return lambda: store.restore(then)

    return Kept(store, remember, lambda: store.restore(empty))


@pytest.fixture(params=["memory", "redis"])
def kept(request: pytest.FixtureRequest) -> Iterator[Kept]:
    if request.param == "memory":
        yield in_memory(MemoryStore())
        return
    url = request.getfixturevalue("redis_url")
    with closing(redis.Redis.from_url(url)) as client, closing(RedisStore.connect(url)) as store:
        keys = [*shard_keys(SESSION), *shard_keys(CURATE)]

        def remember_redis() -> Callable[[], None]:
            dumps = {key: client.dump(key) for key in keys}

            def restore() -> None:
                client.delete(*keys)
                for key, dump in dumps.items():
                    if dump is not None:
                        client.restore(key, 0, dump)

            return restore

        def wipe() -> None:
            client.delete(*keys)

        wipe()
        yield Kept(store, remember_redis, wipe)
        wipe()


@pytest.fixture
def log() -> MemoryLog:
    return classroom_log(ManualClock())


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def undisturbed(*events: Event[Data]) -> dict[str, list[tuple[bytes | None, object]]]:
    """What the session role publishes of ``events`` when nothing goes wrong."""
    log = classroom_log(ManualClock())
    append(log, *events)
    Host(log, MemoryStore(), session_role()).drain()
    return everything(log, session_role().outputs)


def by_topic(log: MemoryLog) -> dict[str, list[tuple[bytes | None, object]]]:
    return everything(log, session_role().outputs)


def test_a_zombie_is_refused_and_publishes_nothing(log: MemoryLog, kept: Kept) -> None:
    zombie = Host(log, kept.store, session_role())
    append(log, *LESSON)
    Host(log, kept.store, session_role())
    before = by_topic(log)
    with pytest.raises(Refused):
        zombie.step()
    assert by_topic(log) == before


def test_an_idle_zombie_learns_it_from_a_beat(log: MemoryLog, kept: Kept) -> None:
    zombie = Host(log, kept.store, session_role())
    zombie.runner.beat()
    Host(log, kept.store, session_role())
    with pytest.raises(Refused):
        zombie.runner.beat()


@pytest.mark.parametrize("sent", [0, 1, 3])
def test_what_was_decided_and_not_sent_is_sent_by_the_successor_same_bytes_once(
    log: MemoryLog, kept: Kept, sent: int
) -> None:
    append(log, *LESSON)
    with pytest.raises(Died):
        Host(log, kept.store, session_role(), MortalProducer(log, sent)).step()
    assert sum(len(found) for found in by_topic(log).values()) == sent
    Host(log, kept.store, session_role(Teller(0.9))).drain()
    assert by_topic(log) == undisturbed(*LESSON)


def test_a_successor_that_dies_while_it_sends_leaves_the_rest_to_the_next(log: MemoryLog, kept: Kept) -> None:
    append(log, *LESSON)
    with pytest.raises(Died):
        Host(log, kept.store, session_role(), MortalProducer(log, 0)).step()
    for _ in range(2):
        with pytest.raises(Died):
            Host(log, kept.store, session_role(), MortalProducer(log, 1))
    Host(log, kept.store, session_role()).drain()
    assert by_topic(log) == undisturbed(*LESSON)


def test_what_was_sent_and_not_trimmed_is_not_sent_again(log: MemoryLog, kept: Kept) -> None:
    append(log, *LESSON)
    Host(log, kept.store, session_role()).step()
    before = by_topic(log)
    for _ in range(2):
        Host(log, kept.store, session_role()).drain()
    assert by_topic(log) == before == undisturbed(*LESSON)


class LateProducer(MemoryProducer):
    """A producer whose acknowledgements for one topic stay away."""

    def __init__(self, log: MemoryLog, topic: str) -> None:
        super().__init__(log)
        self.log, self.topic = log, topic

    def send(self, message: Message, on_ack: Acknowledged) -> None:
        if message.topic == self.topic:
            self.log.append(message)
        else:
            super().send(message, on_ack)


@pytest.mark.parametrize("late", [topics.PREDICTION.name, topics.EXAMPLE.name])
def test_acknowledgements_that_come_in_any_order_make_nobody_send_again(
    log: MemoryLog, store: MemoryStore, late: str
) -> None:
    append(log, *LESSON)
    first = Host(log, store, session_role(), LateProducer(log, late))
    first.step()
    first.runner.beat()
    before = by_topic(log)
    second = Host(log, store, session_role(), LateProducer(log, late))
    second.runner.beat()
    Host(log, store, session_role())
    assert by_topic(log) == before


def test_a_clean_end_leaves_an_empty_outbox(log: MemoryLog, kept: Kept) -> None:
    append(log, *LESSON)
    host = Host(log, kept.store, session_role())
    host.drain()
    host.runner.close(1.0)
    assert kept.store.take(SESSION, "next").outbox == ()


class RefusingProducer(MemoryProducer):
    """A producer whose messages the log does not accept."""

    def send(self, message: Message, on_ack: Acknowledged) -> None:
        on_ack(None, "message too large")


def test_an_output_that_the_log_does_not_accept_stops_the_owner_and_stays_in_the_outbox(
    log: MemoryLog, store: MemoryStore
) -> None:
    append(log, *LESSON)
    host = Host(log, store, session_role(), RefusingProducer(log))
    host.step()
    with pytest.raises(BrokerError, match="message too large"):
        host.step()
    Host(log, store, session_role()).drain()
    assert by_topic(log) == undisturbed(*LESSON)


class FlakyStore(MemoryStore):
    """A store that stops answering at one of its next commits, before or after it made it."""

    def __init__(self) -> None:
        super().__init__()
        self.left = -1
        self.makes_it = False

    def commit(self, shard: Shard, token: str, began_at: Offsets, commit: Commit) -> None:
        self.left -= 1
        if self.left != -1:
            super().commit(shard, token, began_at, commit)
            return
        if self.makes_it:
            super().commit(shard, token, began_at, commit)
        raise StoreUnavailable("no answer")


@pytest.mark.parametrize("makes_it", [True, False])
def test_a_commit_whose_answer_was_lost_is_decided_once_either_way(log: MemoryLog, makes_it: bool) -> None:
    store = FlakyStore()
    append(log, *LESSON)
    host = Host(log, store, session_role())
    store.left, store.makes_it = 0, makes_it
    with pytest.raises(StoreUnavailable):
        host.step()
    Host(log, store, session_role()).drain()
    assert by_topic(log) == undisturbed(*LESSON)


# The store forgets.


def lesson_then_forgotten(log: MemoryLog, kept: Kept, how: str) -> dict[str, list[tuple[bytes | None, object]]]:
    """Play the lesson, then make the store forget part or all of it; what had been published by then."""
    append(log, *LESSON[:2])
    host = Host(log, kept.store, session_role())
    host.drain()
    restore = kept.remember()
    append(log, *LESSON[2:])
    host.drain()
    append(log, said("i2"), said("i0"), label("f0", "i0"))
    log.append_raw(topics.FEEDBACK.name, 0, b"lesson", b"garbage")
    host.drain()
    before = by_topic(log)
    if how == "wiped":
        kept.wipe()
    else:
        restore()
    with pytest.raises(Refused):
        host.runner.beat()
    return before


@pytest.mark.parametrize("how", ["rolled back", "wiped"])
@pytest.mark.parametrize("cut", [(100, 100), (1, 100), (100, 1), (0, 1), (1, 1)])
def test_what_the_log_holds_is_adopted_and_the_log_is_unchanged(
    log: MemoryLog, kept: Kept, how: str, cut: tuple[int, int]
) -> None:
    before = lesson_then_forgotten(log, kept, how)
    host = Host(log, kept.store, session_role(Teller(0.9)))
    for _ in range(10):
        host.step(*cut)
    host.drain()
    assert by_topic(log) == before


@pytest.mark.parametrize("how", ["rolled back", "wiped"])
def test_owners_that_die_while_they_adopt_change_nothing_either(log: MemoryLog, how: str, store: MemoryStore) -> None:
    empty = store.snapshot()
    kept = Kept(
        store, lambda: (lambda then: lambda: store.restore(then))(store.snapshot()), lambda: store.restore(empty)
    )
    before = lesson_then_forgotten(log, kept, how)
    for _ in range(8):
        Host(log, store, session_role(Teller(0.9))).step(1, 1)
    Host(log, store, session_role(Teller(0.9))).drain()
    assert by_topic(log) == before


@pytest.mark.parametrize("how", ["rolled back", "wiped"])
def test_the_role_goes_on_after_the_store_forgot(log: MemoryLog, kept: Kept, how: str) -> None:
    lesson_then_forgotten(log, kept, how)
    append(log, label("late", "i1", "press", rater="another"), said("i3"), label("f3", "i3"))
    Host(log, kept.store, session_role(Teller(0.9))).drain()
    examples = {e.data.feedback: e.data for e in published(log, topics.EXAMPLE) if isinstance(e.data, Example)}
    assert examples["late"].predicted == Teller(0.5).outputs("teacher"), "the prediction made then"
    assert examples["late"].contradicts == ("f1",)
    assert examples["f3"].predicted == Teller(0.9).outputs("teacher")


@pytest.mark.parametrize("how", ["rolled back", "wiped"])
def test_nothing_of_the_adoption_stays_in_the_store(log: MemoryLog, store: MemoryStore, how: str) -> None:
    empty = store.snapshot()
    kept = Kept(
        store, lambda: (lambda then: lambda: store.restore(then))(store.snapshot()), lambda: store.restore(empty)
    )
    lesson_then_forgotten(log, kept, how)
    host = Host(log, store, session_role())
    host.drain()
    assert host.runner.adopted.held == set()
    left = store.read_all(SESSION, host.runner.token, host.runner.offsets)
    assert [key for key in left if key.startswith(SENT) or key in (HELD, SAID)] == []


def test_feedback_that_was_published_and_waits_again_is_adopted_when_its_interaction_is_read(
    log: MemoryLog, store: MemoryStore
) -> None:
    empty = store.snapshot()
    append(log, said("i0"), label("f0", "i0"))
    Host(log, store, session_role()).drain()
    before = by_topic(log)
    store.restore(empty)
    Host(log, store, session_role()).step(0, 1)
    Host(log, store, session_role()).step(1, 0)
    assert by_topic(log) == before


def test_feedback_that_had_expired_stays_expired_after_a_rollback(store: MemoryStore) -> None:
    clock = ManualClock()
    log = classroom_log(clock)
    append(log, label("f0", "i0"))
    host = Host(log, store, session_role())
    host.step()
    then = store.snapshot()
    clock.advance(HORIZON_S)
    host.step()
    assert [e.data.fate for e in published(log, topics.FATE) if isinstance(e.data, Fate)] == ["expired"]
    before = by_topic(log)
    store.restore(then)
    Host(log, store, session_role()).drain()
    assert by_topic(log) == before


def test_two_rollbacks_in_a_row_are_no_worse_than_one(log: MemoryLog, store: MemoryStore) -> None:
    append(log, *LESSON)
    host = Host(log, store, session_role())
    host.step(1, 1)
    then = store.snapshot()
    host.drain()
    before = by_topic(log)
    store.restore(then)
    Host(log, store, session_role(Teller(0.9))).step(1, 0)
    store.restore(then)
    Host(log, store, session_role(Teller(0.9))).drain()
    assert by_topic(log) == before


class SlowProducer(MemoryProducer):
    """A producer whose messages are on their way until somebody waits for them."""

    def __init__(self, log: MemoryLog) -> None:
        super().__init__(log)
        self.on_their_way: list[tuple[Message, Acknowledged]] = []

    def send(self, message: Message, on_ack: Acknowledged) -> None:
        self.on_their_way.append((message, on_ack))

    def flush(self, timeout_s: float) -> int:
        for message, on_ack in self.on_their_way:
            super().send(message, on_ack)
        self.on_their_way.clear()
        return super().flush(timeout_s)


def test_what_a_process_had_on_its_way_when_the_store_went_back_is_adopted_by_it_too(
    log: MemoryLog, store: MemoryStore
) -> None:
    append(log, *LESSON)
    producer, then = SlowProducer(log), store.snapshot()
    Host(log, store, session_role(), producer).drain()
    assert producer.on_their_way
    store.restore(then)
    Host(log, store, session_role(Teller(0.9)), producer).drain()
    producer.flush(0.0)
    assert by_topic(log) == undisturbed(*LESSON)


def test_records_that_were_decided_are_passed_over(log: MemoryLog, store: MemoryStore) -> None:
    append(log, *LESSON)
    host = Host(log, store, session_role())
    host.drain()
    before = by_topic(log)
    assert host.runner.process(records(log, topics.INTERACTION), log.clock()) == 0
    assert by_topic(log) == before


def test_another_tenant_s_records_are_left_to_its_roles(log: MemoryLog, store: MemoryStore) -> None:
    theirs = said("i0")
    envelope = replace(theirs.envelope, tenant="elm")
    append(log, Event(envelope, theirs.data), said("i1"))
    host = Host(log, store, session_role())
    host.drain()
    assert list(outcomes(log, host.role)) == [Origin(topics.INTERACTION.name, 0, 1)]
    assert host.runner.offsets[f"{topics.INTERACTION.name}/0"] == 2


def test_a_foreign_record_under_the_role_s_name_stops_nobody(log: MemoryLog, store: MemoryStore) -> None:
    log.append_raw(topics.FATE.name, 0, b"k", b"v", (("ce_source", session_role().source.encode()),))
    append(log, *LESSON)
    Host(log, store, session_role()).drain()
    assert len(records(log, topics.PREDICTION)) == 2


def test_only_what_is_quoted_is_read_back_with_its_value(log: MemoryLog, store: MemoryStore) -> None:
    append(log, said("i0"), label("f0", "i0"))
    Host(log, store, session_role()).drain()
    role = session_role()
    search = Search(role.source, role.outputs, role.inputs, 0, role.processor.quoted)
    own = read_own(log, search, {}, log.partitions(), ())
    (prediction,) = own.by_cause[Origin(topics.INTERACTION.name, 0, 0)]
    (example,) = own.by_cause[Origin(topics.FEEDBACK.name, 0, 0)]
    assert Prediction.model_validate_json(prediction.value).interaction == "i0"
    assert (example.topic, example.value) == (topics.EXAMPLE.name, b"")


# Curate, over the examples that a session role publishes.


def examples(log: MemoryLog, store: Store, first: int, last: int) -> None:
    for n in range(first, last):
        append(log, said(f"i{n}", f"sentence {n}"), label(f"f{n}", f"i{n}", rater=f"r{n}"))
    Host(log, store, session_role()).drain()


def learned_from(log: MemoryLog) -> list[str]:
    """The new examples of all requests, in order."""
    requests = [e.data for e in published(log, topics.TRAIN_REQUEST) if isinstance(e.data, TrainRequest)]
    return [example.feedback for request in requests for example in request.new]


def curated(log: MemoryLog) -> dict[str, list[tuple[bytes | None, object]]]:
    return everything(log, curate_role().outputs)


def test_no_example_is_in_two_requests_after_a_wipe(log: MemoryLog, kept: Kept) -> None:
    examples(log, kept.store, 0, 5)
    Host(log, kept.store, curate_role()).drain()
    before = curated(log)
    assert learned_from(log) == ["f0", "f1", "f2", "f3"], "f4 waits in line"
    kept.wipe()
    host = Host(log, kept.store, curate_role())
    host.drain()
    assert curated(log) == before, "nor is there a second genesis"
    examples(log, kept.store, 5, 6)
    host.drain()
    assert learned_from(log) == [f"f{n}" for n in range(6)]


def test_the_memory_is_rebuilt_after_a_wipe(log: MemoryLog, store: MemoryStore) -> None:
    empty = store.snapshot()
    examples(log, store, 0, 4)
    host = Host(log, store, curate_role())
    host.drain()
    held = {key for key in host.runner.resident if key[:2] in ("m:", "p:", "x:")}
    store.restore(empty)
    again = Host(log, store, curate_role())
    again.drain()
    assert {key for key in again.runner.resident if key[:2] in ("m:", "p:", "x:")} == held


@pytest.mark.parametrize("how", ["retracted", "no-consent"])
def test_an_example_that_had_left_the_line_for_a_fate_is_not_learned_from_after_a_rollback(
    log: MemoryLog, store: MemoryStore, how: str
) -> None:
    append(log, said("i0", learner="ann"), label("f0", "i0"))
    Host(log, store, session_role()).drain()
    host = Host(log, store, curate_role())
    host.drain()
    then = store.snapshot()
    if how == "retracted":
        append(log, retraction("f1", "i0", of="f0"))
        Host(log, store, session_role()).drain()
    else:
        append(log, consent("ann", granted=False))
    host.drain()
    assert [e.data.fate for e in published(log, topics.FATE) if isinstance(e.data, Fate)] == [how]
    before = curated(log)
    store.restore(then)
    again = Host(log, store, curate_role())
    again.step(0, 0)
    assert not [key for key in again.runner.resident if key[:2] in ("m:", "p:")]
    again.drain()
    assert curated(log) == before


def test_an_example_in_line_whose_request_was_published_leaves_it_for_the_memory(
    log: MemoryLog, store: MemoryStore
) -> None:
    examples(log, store, 0, 1)
    host = Host(log, store, curate_role())
    host.drain()
    then = store.snapshot()
    examples(log, store, 1, 2)
    host.drain()
    store.restore(then)
    examples(log, store, 2, 4)
    again = Host(log, store, curate_role())
    again.drain()
    assert learned_from(log) == ["f0", "f1", "f2", "f3"]
    assert len([key for key in again.runner.resident if key.startswith("m:")]) == 4


def test_dead_letters_are_not_repeated_after_a_wipe(log: MemoryLog, store: MemoryStore) -> None:
    empty = store.snapshot()
    log.append_raw(topics.INTERACTION.name, 0, b"k", b"garbage")
    append(log, label("f0", "i0", task="astrology"))
    Host(log, store, session_role()).drain()
    store.restore(empty)
    Host(log, store, session_role()).drain()
    dead = [*published(log, topics.dlq(topics.INTERACTION)), *published(log, topics.dlq(topics.FEEDBACK))]
    assert [e.data.reason for e in dead if isinstance(e.data, DeadLetter)] == ["undecodable", "unusable"]

"""What every store promises, run against each of them."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from schemas.errors import ConfigurationError, Refused
from state.store import ABSENT, Commit, Delete, Put, Shard, Store

Rollback = Callable[[], None]
AT_5 = {"in/7": 5}


def test_a_new_shard_is_empty(store: Store, shard: Shard) -> None:
    taken = store.take(shard, "me")
    assert (taken.offsets, taken.outbox, taken.known) == ({}, (), {})
    assert store.offsets(shard) == {}
    assert store.count(shard) == 0
    assert store.read_all(shard, "me", {}) == {}


def test_a_successor_finds_offsets_outbox_and_known_ends(store: Store, shard: Shard) -> None:
    store.take(shard, "me")
    store.commit(shard, "me", {}, Commit(AT_5, outbox=[b"first", b"second"], known={"out/7": 9}))
    taken = store.take(shard, "successor")
    assert taken.offsets == store.offsets(shard) == AT_5
    assert taken.outbox == (b"first", b"second")
    assert taken.known == {"out/7": 9}


def test_offsets_and_known_ends_of_other_topics_stay_as_they_were(store: Store, shard: Shard) -> None:
    store.take(shard, "me")
    store.commit(shard, "me", {}, Commit({"in/7": 5, "feedback/7": 2}, known={"out/7": 9, "fate/7": 1}))
    store.commit(shard, "me", AT_5, Commit({"in/7": 6}, known={"fate/7": 3}))
    taken = store.take(shard, "me")
    assert taken.offsets == {"in/7": 6, "feedback/7": 2}
    assert taken.known == {"out/7": 9, "fate/7": 3}


def test_what_was_put_is_read_and_what_is_absent_is_left_out(store: Store, shard: Shard) -> None:
    store.take(shard, "me")
    store.commit(shard, "me", {}, Commit(AT_5, [Put("a", b"1"), Put("b", b""), Put("ü:{x}", bytes(range(256)))]))
    assert store.read(shard, "me", AT_5, ["b", "ü:{x}", "absent"]).found == {"b": b"", "ü:{x}": bytes(range(256))}
    assert store.read(shard, "me", AT_5, []).found == {}
    assert store.read_all(shard, "me", AT_5).keys() == {"a", "b", "ü:{x}"}
    assert store.count(shard) == 3


def test_what_was_deleted_is_gone_and_may_be_deleted_again(store: Store, shard: Shard) -> None:
    store.take(shard, "me")
    store.commit(shard, "me", {}, Commit(AT_5, [Put("a", b"1", due=1.0), Put("b", b"2")]))
    for _ in range(2):
        store.commit(shard, "me", AT_5, Commit(AT_5, [Delete("a")]))
    assert store.read_all(shard, "me", AT_5) == {"b": b"2"}
    assert store.read(shard, "me", AT_5, [], due_before=9.0, due_limit=9).due == ()


def test_of_several_writes_to_a_key_the_last_counts(store: Store, shard: Shard) -> None:
    store.take(shard, "me")
    writes = [Put("a", b"1", due=1.0), Delete("a"), Put("a", b"2"), Put("b", b"1"), Delete("b")]
    store.commit(shard, "me", {}, Commit(AT_5, writes))
    assert store.read_all(shard, "me", AT_5) == {"a": b"2"}
    assert store.read(shard, "me", AT_5, [], due_before=9.0, due_limit=9).due == ()


def test_due_keys_come_earliest_first_then_by_name_with_their_values_and_no_more_than_asked(
    store: Store, shard: Shard
) -> None:
    store.take(shard, "me")
    dues: dict[str, float | None] = {"late": 30.5, "b": 20.25, "a": 20.25, "early": 10.125, "never": None}
    store.commit(shard, "me", {}, Commit(AT_5, [Put(key, key.encode(), due) for key, due in dues.items()]))
    everything = store.read(shard, "me", AT_5, [], due_before=30.5, due_limit=9)
    assert everything.due == ("early", "a", "b", "late")
    assert everything.found == {key: key.encode() for key in everything.due}
    assert store.read(shard, "me", AT_5, [], due_before=30.4, due_limit=9).due == ("early", "a", "b")
    assert store.read(shard, "me", AT_5, ["late"], due_before=30.5, due_limit=2).found.keys() == {"late", "early", "a"}
    assert store.read(shard, "me", AT_5, [], due_before=30.5, due_limit=0).due == ()
    assert store.read(shard, "me", AT_5, ["late"]).due == ()


def test_a_put_replaces_the_due_and_one_without_takes_it_away(store: Store, shard: Shard) -> None:
    store.take(shard, "me")
    store.commit(shard, "me", {}, Commit(AT_5, [Put("moved", b"", due=1.0), Put("calmed", b"", due=2.0)]))
    store.commit(shard, "me", AT_5, Commit(AT_5, [Put("moved", b"", due=3.0), Put("calmed", b"")]))
    assert store.read(shard, "me", AT_5, [], due_before=2.5, due_limit=9).due == ()
    assert store.read(shard, "me", AT_5, [], due_before=3.0, due_limit=9).due == ("moved",)


def test_a_due_keeps_every_digit_of_its_time(store: Store, shard: Shard) -> None:
    time, before = 1763733512.1234567, 1763733512.1234565  # neighbours among the doubles of this size
    store.take(shard, "me")
    store.commit(shard, "me", {}, Commit(AT_5, [Put("a", b"", due=time)]))
    assert store.read(shard, "me", AT_5, [], due_before=before, due_limit=1).due == ()
    assert store.read(shard, "me", AT_5, [], due_before=time, due_limit=1).due == ("a",)


def test_the_outbox_is_trimmed_at_its_head_before_it_grows_at_its_end(store: Store, shard: Shard) -> None:
    store.take(shard, "me")
    store.commit(shard, "me", {}, Commit(AT_5, outbox=[b"1", b"2", b"3"]))
    store.commit(shard, "me", AT_5, Commit(AT_5, outbox=[b"4"], trim=2))
    assert store.take(shard, "me").outbox == (b"3", b"4")
    store.commit(shard, "me", AT_5, Commit(AT_5, outbox=[b"5"], trim=2))
    assert store.take(shard, "me").outbox == (b"5",)


def test_more_than_the_outbox_holds_cannot_be_trimmed(store: Store, shard: Shard) -> None:
    store.take(shard, "me")
    store.commit(shard, "me", {}, Commit(AT_5, outbox=[b"1"]))
    with pytest.raises(Refused, match="outbox"):
        store.commit(shard, "me", AT_5, Commit({"in/7": 6}, [Put("a", b"")], outbox=[b"2"], trim=2))
    assert store.take(shard, "me").outbox == (b"1",)
    assert (store.offsets(shard), store.count(shard)) == (AT_5, 0)


def test_an_empty_commit_of_the_owner_changes_nothing(store: Store, shard: Shard) -> None:
    store.take(shard, "me")
    store.commit(shard, "me", {}, Commit(AT_5, [Put("a", b"1", due=1.0)], [b"record"]))
    store.commit(shard, "me", AT_5, Commit(AT_5))
    assert store.read_all(shard, "me", AT_5) == {"a": b"1"}
    assert store.take(shard, "me").outbox == (b"record",)


def test_a_replaced_owner_is_refused_everything_and_writes_nothing(store: Store, shard: Shard) -> None:
    store.take(shard, "former")
    store.commit(shard, "former", {}, Commit(AT_5, [Put("a", b"1")]))
    store.take(shard, "owner")
    with pytest.raises(Refused, match="another owner"):
        store.read(shard, "former", AT_5, ["a"])
    with pytest.raises(Refused, match="another owner"):
        store.read_all(shard, "former", AT_5)
    with pytest.raises(Refused, match="another owner"):
        store.commit(shard, "former", AT_5, Commit({"in/7": 6}, [Put("a", b"2")], [b"record"]))
    assert store.read_all(shard, "owner", AT_5) == {"a": b"1"}
    assert store.take(shard, "owner").outbox == ()


def test_a_shard_that_nobody_has_taken_refuses(store: Store, shard: Shard) -> None:
    with pytest.raises(Refused, match="nobody"):
        store.commit(shard, "me", {}, Commit(AT_5))
    assert store.offsets(shard) == {}


@pytest.mark.parametrize("began_at", [{"in/7": 4}, {"in/7": 6}, {"in/7": ABSENT}, {"in/7": 5, "feedback/7": 0}])
def test_an_owner_at_other_offsets_than_the_stored_is_refused(
    store: Store, shard: Shard, began_at: dict[str, int]
) -> None:
    store.take(shard, "me")
    store.commit(shard, "me", {}, Commit(AT_5, [Put("a", b"1")]))
    with pytest.raises(Refused, match="is stored at"):
        store.read(shard, "me", began_at, ["a"])
    with pytest.raises(Refused, match="is stored at"):
        store.read_all(shard, "me", began_at)
    with pytest.raises(Refused, match="is stored at"):
        store.commit(shard, "me", began_at, Commit({"in/7": 7}, [Put("a", b"2")]))
    assert store.read_all(shard, "me", AT_5) == {"a": b"1"}
    assert store.offsets(shard) == AT_5


def test_absent_and_left_out_offsets_are_the_same_and_unnamed_ones_are_not_compared(store: Store, shard: Shard) -> None:
    store.take(shard, "me")
    store.commit(shard, "me", {"in/7": ABSENT}, Commit(AT_5))
    store.commit(shard, "me", {"feedback/7": ABSENT}, Commit({"feedback/7": 1}))
    store.commit(shard, "me", {"feedback/7": 1}, Commit({"in/7": 6}))
    assert store.offsets(shard) == {"in/7": 6, "feedback/7": 1}


def test_offsets_beyond_the_exact_range_of_a_double_are_told_apart(store: Store, shard: Shard) -> None:
    large = 2**53
    store.take(shard, "me")
    store.commit(shard, "me", {}, Commit({"in/7": large + 1}))
    with pytest.raises(Refused):
        store.commit(shard, "me", {"in/7": large}, Commit({}))
    assert store.offsets(shard) == {"in/7": large + 1}


def test_a_store_that_went_back_is_refused_by_its_offsets(
    store: Store, shard: Shard, remember: Callable[[], Rollback]
) -> None:
    store.take(shard, "me")
    roll_back = remember()
    store.commit(shard, "me", {}, Commit(AT_5))
    roll_back()
    with pytest.raises(Refused):
        store.read(shard, "me", AT_5, [])


def test_a_store_that_went_back_at_the_same_offsets_is_refused_until_it_is_taken_anew(
    store: Store, shard: Shard, remember: Callable[[], Rollback]
) -> None:
    store.take(shard, "me")
    store.commit(shard, "me", {}, Commit(AT_5, [Put("a", b"pending", due=1.0)]))
    roll_back = remember()
    store.commit(shard, "me", AT_5, Commit(AT_5, [Delete("a")], [b"expired"]))  # its clock moved, its inputs did not
    roll_back()
    with pytest.raises(Refused, match="commits are stored"):
        store.read(shard, "me", AT_5, ["a"])
    with pytest.raises(Refused, match="commits are stored"):
        store.read_all(shard, "me", AT_5)
    with pytest.raises(Refused, match="commits are stored"):
        store.commit(shard, "me", AT_5, Commit({"in/7": 6}, trim=0))
    assert store.take(shard, "me").outbox == ()
    assert store.read(shard, "me", AT_5, ["a"]).found == {"a": b"pending"}


def test_shards_know_nothing_of_each_other(store: Store, shard: Shard) -> None:
    others = [
        Shard(shard.tenant, shard.role, 8),
        Shard(shard.tenant, "curate", 7),
        Shard(f"{shard.tenant}2", shard.role, 7),
    ]
    for owned in (shard, *others):
        store.take(owned, str(owned))
    store.commit(shard, str(shard), {}, Commit(AT_5, [Put("a", b"1", due=1.0)], [b"record"], known={"out/7": 1}))
    for other in others:
        taken = store.take(other, "successor")
        assert (taken.offsets, taken.outbox, taken.known, store.count(other)) == ({}, (), {}, 0)


def test_a_commit_larger_than_lua_can_unpack_at_once_is_whole(store: Store, shard: Shard) -> None:
    many = range(20_000)
    key = "key {:05}".format
    store.take(shard, "me")
    store.commit(
        shard, "me", {}, Commit(AT_5, [Put(key(i), b"%d" % i, due=float(i)) for i in many], [b"%d" % i for i in many])
    )
    found = store.read(shard, "me", AT_5, [key(i) for i in many], due_before=1e9, due_limit=15_000)
    assert found.found == store.read_all(shard, "me", AT_5) == {key(i): b"%d" % i for i in many}
    assert found.due == tuple(key(i) for i in range(15_000))
    assert store.take(shard, "me").outbox == tuple(b"%d" % i for i in many)

    store.commit(shard, "me", AT_5, Commit(AT_5, [Put(key(i), b"") for i in many if i % 2], trim=len(many) - 1))
    store.commit(shard, "me", AT_5, Commit(AT_5, [Delete(key(i)) for i in many if i % 2 == 0][1:]))
    assert store.count(shard) == len(many) // 2 + 1
    assert store.read(shard, "me", AT_5, [], due_before=1e9, due_limit=9).due == (key(0),)
    assert store.take(shard, "me").outbox == (b"19999",)


def test_of_many_owners_at_once_each_commit_counts_exactly_once(store: Store, shard: Shard) -> None:
    commits, owners = 25, 4

    def count_up(name: str) -> None:
        done = 0
        while done < commits:
            token = f"{name}/{done}"
            offsets = store.take(shard, token).offsets
            try:
                seen = int(store.read(shard, token, offsets, ["counter"]).found.get("counter", b"0"))
                after = Commit({"in/7": seen + 1}, [Put("counter", b"%d" % (seen + 1))], [f"{name}".encode()])
                store.commit(shard, token, offsets, after)
            except Refused:
                continue
            done += 1

    threads = [threading.Thread(target=count_up, args=(f"owner {i}",)) for i in range(owners)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = store.take(shard, "last")
    assert taken.offsets == {"in/7": commits * owners}
    assert store.read_all(shard, "last", {}) == {"counter": b"%d" % (commits * owners)}
    assert sorted(taken.outbox) == sorted(f"owner {i}".encode() for i in range(owners) for _ in range(commits))


@pytest.mark.parametrize("due", [float("nan"), float("inf"), float("-inf")])
def test_a_due_that_is_no_time_is_an_error_before_anything_is_written(store: Store, shard: Shard, due: float) -> None:
    store.take(shard, "me")
    with pytest.raises(ValueError, match="leave due out"):
        store.commit(shard, "me", {}, Commit(AT_5, [Put("a", b"", due=due)]))
    assert store.offsets(shard) == {}


def test_a_negative_trim_is_an_error(store: Store, shard: Shard) -> None:
    store.take(shard, "me")
    with pytest.raises(ValueError, match="trim"):
        store.commit(shard, "me", {}, Commit(AT_5, trim=-1))


def test_a_store_that_answers_can_be_pinged(store: Store) -> None:
    store.ping()


@pytest.mark.parametrize("name", ["", "a:b", "a{b", "a}b", "a b", "a/b", "a\n", "ü", "a*", "x" * 101])
def test_a_name_that_could_break_out_of_its_key_is_no_shard(name: str) -> None:
    with pytest.raises(ConfigurationError, match="tenant"):
        Shard(name, "session", 0)
    with pytest.raises(ConfigurationError, match="role"):
        Shard("acme", name, 0)


def test_a_partition_is_not_negative() -> None:
    with pytest.raises(ConfigurationError, match="negative"):
        Shard("acme", "session", -1)

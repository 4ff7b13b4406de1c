"""The protocol loses nothing and says nothing twice, and each of its rules is needed for that."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from builders import HORIZON_S
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from protocol import Harm, Protocol
from protocol_parts import RULES

from schemas.errors import Refused

EXAMPLES, STEPS = 60, 25
LATE_S = HORIZON_S + 1


def test_whatever_happens_every_input_has_one_outcome() -> None:
    run_state_machine_as_test(
        Protocol,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )


# The shortest ways to harm, one for each rule. What a former owner does stands in ``suppress``: it is refused, or not.


def former_expires_unseen(w: Protocol) -> None:
    """It decides, at the offsets and in the outbox of an owner who does not know."""
    w.wait(LATE_S)
    with suppress(Refused):
        w.former[-1].runner.process([], w.clock())
    w.say("i1")
    w.work(9, 9)
    w.produce(9)
    w.tick()


def two_tokens(w: Protocol) -> None:
    w.give_label("f0", "i0")
    w.work(9, 9)
    w.move()
    w.assigned()
    former_expires_unseen(w)


def one_token_twice(w: Protocol) -> None:
    w.give_label("f0", "i0")
    w.work(9, 9)
    w.lose()
    w.move()
    w.work(9, 9)
    former_expires_unseen(w)


def former_s_token_comes_back(w: Protocol) -> None:
    w.say("i0")
    w.assigned()
    w.the_replica_catches_up()
    w.move()
    w.work(9, 9)
    w.produce(9)
    w.swap_model(0.75)
    w.go_back()
    w.let_former_decide(9, 9)


def goes_back_under_its_owner(w: Protocol) -> None:
    w.assigned()
    w.the_replica_catches_up()
    w.give_label("f0", "i0")
    w.work(0, 9)
    w.go_back()
    w.say("i0")
    w.work(9, 0)


def dies_before_it_sends(w: Protocol) -> None:
    w.say("i0")
    w.work(9, 9)
    w.crash()


def forgets_what_kafka_remembers(w: Protocol) -> None:
    w.say("i0")
    w.work(9, 9)
    w.lose()
    w.crash()


def former_publishes_between_read_and_take(w: Protocol) -> None:
    def between() -> None:
        w.between = lambda: None
        w.let_former_decide(9, 9)
        w.lose()
        w.swap_model(0.75)

    w.say("i0")
    w.assigned()
    w.move()
    w.between = between
    w.assigned()


def forgets_what_it_said(w: Protocol) -> None:
    w.say("i0")
    w.work(9, 9)
    w.produce(9)
    w.swap_model(0.75)
    w.lose()


def forgets_that_it_gave_up(w: Protocol) -> None:
    """And has a clock by which there is still time."""
    w.give_label("f0", "i0")
    w.work(9, 9)
    w.wait(LATE_S)
    w.tick()
    w.lose()
    w.wait(-LATE_S)
    w.era = ""
    w.say("i0")


def forgets_and_dies_before_it_meets_it_again(w: Protocol) -> None:
    forgets_what_it_said(w)
    w.give_label("f0", "i0")
    w.work(0, 9)  # refused: it takes the partition anew
    w.work(0, 9)
    w.crash()


def forgets_under_an_idle_owner(w: Protocol) -> None:
    w.give_label("f0", "i0")
    w.work(9, 9)
    w.lose()


def former_s_records_arrive_late(w: Protocol) -> None:
    w.say("i0")
    w.work(9, 9)
    w.move()
    w.assigned()
    w.produce(9)
    w.what_a_former_owner_sent_arrives(9)


WAYS: dict[str, tuple[bool, Callable[[Protocol], None]]] = {  # and whether the store loses nothing
    "token": (True, two_tokens),
    "random": (False, one_token_twice),
    "firm": (False, former_s_token_comes_back),
    "cas": (False, goes_back_under_its_owner),
    "outbox": (True, dies_before_it_sends),
    "resend": (True, dies_before_it_sends),
    "seek": (False, forgets_what_kafka_remembers),
    "steps": (False, former_publishes_between_read_and_take),
    "adopt": (False, forgets_what_it_said),
    "input": (False, forgets_that_it_gave_up),
    "hold": (False, forgets_and_dies_before_it_meets_it_again),
    "beat": (False, forgets_under_an_idle_owner),
    "first-wins": (True, former_s_records_arrive_late),
}


def go(name: str, machine: type[Protocol]) -> None:
    durable, way = WAYS[name]
    world = machine()
    world.open(durable)
    way(world)
    world.teardown()


@pytest.mark.parametrize("name", RULES)
def test_without_this_rule_there_is_harm(name: str) -> None:
    with pytest.raises(Harm):
        go(name, type("Without", (Protocol,), {"dropped": frozenset({name})}))


@pytest.mark.parametrize("name", RULES)
def test_under_all_rules_the_same_does_no_harm(name: str) -> None:
    go(name, Protocol)

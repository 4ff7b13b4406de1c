"""The protocol of exactly-once in small, played by the real store, shard, outbox and session rules.

A machine assigns partition 0 of the session role, lets its owner decide, commit and produce in steps of their own, and
lets it crash, be replaced while it lives on, and lose what the store had acknowledged. Whatever it does, at rest every
input has one outcome, unless a rule is dropped.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection
from contextlib import suppress

from builders import HORIZON_S, Teller, append, classroom_log, label, records, said, session_role
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from protocol_parts import SHARD, HeldProducer, PausingStore, View

from schemas import topics
from schemas.codec import decode
from schemas.envelope import Origin, read_envelope
from schemas.errors import Refused
from schemas.prediction import Example, Prediction
from streams.engines.memory import ManualClock
from streams.engines.shard import RoleAt, ShardRunner
from streams.message import Record
from streams.metrics import Metrics, RoleMetrics

INPUTS = (topics.INTERACTION.name, topics.FEEDBACK.name)
FEW = st.integers(0, 2)


class Harm(AssertionError):
    """An input has no outcome, or two, or the log says two things under one id."""


class Worker:
    """An owner, or one that believes that it is."""

    def __init__(self, world: Protocol) -> None:
        self.world, self.producer = world, HeldProducer(world.log)
        store, log, role = world.store, world.log, world.role
        token = str(int(store.token(SHARD) or 0) + 1) if "random" in world.dropped else uuid.uuid4().hex
        before = {topic: log.ends(topic, 0)[1] for topic in role.outputs} if "steps" in world.dropped else None
        if before is not None:
            world.between()
        metrics = RoleMetrics(Metrics(), role.role)
        self.runner = ShardRunner(role, SHARD, store, self.producer, log.partitions(), metrics, token)
        if before is None:
            world.between()
        self.runner.recover(View(log, world.dropped, before))  # type: ignore[arg-type]  # what recover needs of a broker

    def step(self, *most: int) -> int:
        """Decide at most so many records of each input, and commit; what came of it waits in the producer."""
        world = self.world
        taken: list[Record] = []
        for topic, some in zip(INPUTS, most, strict=True):
            _, end = world.log.ends(topic, 0)
            stored = self.runner.offsets.get(f"{topic}/0", 0)
            begin = world.kafka.get(topic, 0) if "seek" in world.dropped else stored
            taken += world.log.read(topic, 0, begin, min(end, begin + some))
        decided = self.runner.process(taken, world.clock()) if taken else 0
        for topic in INPUTS:
            world.kafka[topic] = max(world.kafka.get(topic, 0), self.runner.offsets.get(f"{topic}/0", 0))
        return decided


class Protocol(RuleBasedStateMachine):
    """One role, one owner at a time, any number of former ones. ``dropped`` names the rules that do not hold.

    In a durable world the store loses nothing, and what a former owner sent may arrive late. In another it may forget
    all after any commit, and what a former owner has not sent by then it never sends: both at once is what the
    protocol leaves out.
    """

    dropped: Collection[str] = ()

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.log = classroom_log(self.clock)
        self.store = PausingStore(self.dropped)
        self.kept = self.empty = self.store.snapshot()
        self.teller = Teller()
        self.role: RoleAt = session_role(self.teller)
        self.kafka: dict[str, int] = {}
        self.durable = True
        self.era = ""
        self.owner: Worker | None = None
        self.former: list[Worker] = []
        self.between: Callable[[], None] = lambda: None

    @initialize(durable=st.booleans())
    def open(self, durable: bool) -> None:
        self.durable = durable

    @rule(id=st.sampled_from(["i0", "i1"]))
    def say(self, id: str) -> None:
        append(self.log, said(f"{id}{self.era}"))

    @rule(id=st.sampled_from(["f0", "f1"]), interaction=st.sampled_from(["i0", "i1"]))
    def give_label(self, id: str, interaction: str) -> None:
        append(self.log, label(f"{id}{self.era}", f"{interaction}{self.era}"))

    @rule(share=st.sampled_from([0.25, 0.5, 0.75]))
    def swap_model(self, share: float) -> None:
        self.teller.share = share

    @rule(seconds=st.sampled_from([1.0, HORIZON_S]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        if abs(seconds) >= HORIZON_S:  # so long an id is remembered, and no longer
            self.era += "'"

    @rule(some=FEW, more=FEW)
    def decide(self, some: int, more: int) -> None:
        self.work(some, more)

    @rule(some=FEW, more=FEW, what=st.sampled_from(["move", "rollback", "loss"]))
    def decide_and_meanwhile(self, some: int, more: int, what: str) -> None:
        if self.assigned() is not None:
            self.store.meanwhile = {"move": self.move_and_work, "rollback": self.go_back, "loss": self.lose}[what]
            self.work(some, more)
            self.store.meanwhile = None

    @rule(most=FEW)
    def produce(self, most: int) -> None:
        if self.owner is not None:
            self.owner.producer.let_out(most)

    @precondition(lambda self: self.durable and self.former)
    @rule(most=FEW)
    def what_a_former_owner_sent_arrives(self, most: int) -> None:
        for worker in self.former:
            worker.producer.let_out(most)

    @rule(some=FEW, more=FEW)
    def a_former_owner_decides(self, some: int, more: int) -> None:
        self.let_former_decide(some, more)

    @rule()
    def crash(self) -> None:
        self.owner = None

    @rule()
    def move(self) -> None:
        if self.owner is not None:
            self.former.append(self.owner)
            self.owner = None

    @rule(some=FEW, more=FEW)
    def move_while_the_former_owner_decides(self, some: int, more: int) -> None:
        self.move()
        self.between = lambda: self.let_former_decide(some, more)
        self.assigned()
        self.between = lambda: None

    @rule()
    def the_replica_catches_up(self) -> None:
        self.kept = self.store.snapshot()

    @precondition(lambda self: not self.durable)
    @rule()
    def rollback(self) -> None:
        self.go_back()

    @precondition(lambda self: not self.durable)
    @rule()
    def loss(self) -> None:
        self.lose()

    def go_back(self) -> None:
        if not self.durable:
            self.store.go_back(self.kept)

    def lose(self) -> None:
        if not self.durable:
            self.store.restore(self.empty)

    def move_and_work(self) -> None:
        self.move()
        self.work(2, 2)
        if self.owner is not None:
            self.owner.producer.let_out(9)

    def let_former_decide(self, some: int, more: int) -> None:
        for worker in list(self.former):
            with suppress(Refused):
                worker.step(some, more)
                if not self.durable:  # it may send what it has committed just now, and nothing that was lost since
                    worker.producer.let_out(9)

    def assigned(self) -> Worker | None:
        if self.owner is None:
            with suppress(Refused):
                self.owner = Worker(self)
        return self.owner

    def work(self, some: int, more: int) -> int:
        worker = self.assigned()
        try:
            return worker.step(some, more) if worker is not None else 0
        except Refused:
            self.former.append(worker) if worker is not self.owner and worker is not None else self.crash()
            return 0

    def teardown(self) -> None:
        for _ in range(2):
            self.rest()
            self.clock.advance(HORIZON_S + 1)
        self.check()

    def rest(self) -> None:
        """Nothing fails any more: the owner takes what there is, sends it, and ticks."""
        for _ in range(20):
            taken = self.work(9, 9)
            if self.owner is not None:
                self.owner.producer.let_out(99)
                if self.tick() and not taken and not self.left():
                    return

    def tick(self) -> bool:
        """The owner has nothing to decide, looks what is due, and beats; False if it was refused."""
        if self.owner is None:
            return False
        self.store.idle = True
        try:
            self.owner.runner.process([], self.clock())
            self.owner.producer.let_out(99)
            self.owner.runner.beat()
        except Refused:
            self.crash()
            return False
        finally:
            self.store.idle = False
        return True

    def left(self) -> int:
        """Records that the owner has not taken."""
        assert self.owner is not None
        begins = {t: self.kafka.get(t, 0) if "seek" in self.dropped else self.owner.runner.offsets.get(f"{t}/0", 0)
                  for t in INPUTS}  # fmt: skip
        return sum(self.log.ends(topic, 0)[1] - begins[topic] for topic in INPUTS)

    def check(self) -> None:
        """Raise Harm."""
        first: dict[str, Record] = {}
        outcomes: dict[Origin, set[str]] = {}
        for name in self.role.outputs:
            for record in records(self.log, name):
                envelope = read_envelope(record.headers)
                if envelope.id in first and ("first-wins" in self.dropped or first[envelope.id].value != record.value):
                    raise Harm(f"conflict: {envelope.id} is there twice")
                first.setdefault(envelope.id, record)
                for cause in envelope.causes:
                    outcomes.setdefault(cause, set()).add(envelope.id)
        for origin in (record.origin for topic in INPUTS for record in records(self.log, topic)):
            if len(found := outcomes.get(origin, set())) != 1:
                raise Harm(f"{'twice' if found else 'lost'}: {origin} has {sorted(found)}")
        self.check_quotes()

    def check_quotes(self) -> None:
        """An example quotes the prediction that was published."""
        said_then: dict[str, Prediction] = {}
        for record in records(self.log, topics.PREDICTION):
            found = decode(topics.PREDICTION, record.headers, record.value).data
            if isinstance(found, Prediction):
                said_then.setdefault(found.interaction, found)
        for record in records(self.log, topics.EXAMPLE):
            found = decode(topics.EXAMPLE, record.headers, record.value).data
            if isinstance(found, Example) and found.interaction in said_then:
                told = said_then[found.interaction].outputs
                if found.predicted != {task: told.get(task) for task in found.predicted}:
                    raise Harm(f"disagree: {found.interaction} was told otherwise")

"""Whatever happens to owners and to the store, at rest every input has exactly one outcome."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from itertools import count

from builders import (
    HORIZON_S,
    Died,
    Host,
    MortalProducer,
    Teller,
    append,
    classroom_log,
    consent,
    curate_role,
    judged,
    label,
    published,
    records,
    retraction,
    said,
    session_role,
)
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from schemas import topics
from schemas.envelope import Origin, read_envelope
from schemas.errors import Refused, StoreUnavailable
from schemas.feedback import Flag
from schemas.prediction import Example
from schemas.training import TrainRequest
from state.memory import MemoryStore, Snapshot
from state.store import Commit, Offsets, Shard
from streams.aside import CHANCE, uniform
from streams.engines.memory import ManualClock
from streams.engines.shard import RoleAt

EXAMPLES, STEPS = 80, 40
ROLES = st.sampled_from(["session", "curate"])
CHOSEN = next(f"i{n}" for n in count() if uniform(f"i{n}") < CHANCE)  # for the probe
IDS = st.sampled_from(["i0", "i1", CHOSEN])
FEEDBACK_IDS = st.integers(0, 4).map("f{}".format)
RATERS = st.sampled_from(["ann", "bob"])
LEARNERS = st.sampled_from(["kim", "lee", None])
FEW = st.integers(0, 3)


class FlakyStore(MemoryStore):
    """A store whose next commits may go unanswered: ``fate`` says so of each, made or not made."""

    def __init__(self) -> None:
        super().__init__()
        self.fates: list[str] = []

    def commit(self, shard: Shard, token: str, began_at: Offsets, commit: Commit) -> None:
        fate = self.fates.pop(0) if self.fates else "made"
        if fate != "lost":
            super().commit(shard, token, began_at, commit)
        if fate != "made":
            raise StoreUnavailable(fate)

    def go_back(self, snapshot: Snapshot) -> None:
        """What a lagging replica had, save that a token is on the replica before its owner goes on."""
        tokens = {shard: held.token for shard, held in self._shards.items()}
        self.restore(snapshot)
        for shard, held in self._shards.items():
            held.token = tokens.get(shard, held.token)


class Trouble(RuleBasedStateMachine):
    """Session and curate over one log and one store, in which anything may end, go back or be forgotten at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.log = classroom_log(self.clock)
        self.store = FlakyStore()
        self.empty = self.store.snapshot()
        self.kept: Snapshot = self.empty
        self.is_wiped = False  # since then
        self.teller = Teller()
        self.roles: Mapping[str, RoleAt] = {}
        self.hosts: dict[str, Host] = {}
        self.zombies: list[Host] = []

    @initialize(
        wait_s=st.sampled_from([0.0, 5.0]), consent=st.sampled_from(["opt-in", "opt-out"]), probe=st.integers(0, 2)
    )
    def open(self, wait_s: float, consent: str, probe: int) -> None:
        curate = curate_role(wait_s=wait_s, consent=consent, probe=probe)
        self.roles = {"session": session_role(self.teller), "curate": curate}

    @rule(id=IDS, text=st.sampled_from(["why?", "so"]), learner=LEARNERS)
    def say(self, id: str, text: str, learner: str | None) -> None:
        append(self.log, said(id, text, learner=learner))

    @rule(id=FEEDBACK_IDS, interaction=IDS, value=st.sampled_from(["press", "none", "sneezing"]), rater=RATERS)
    def give_label(self, id: str, interaction: str, value: str, rater: str) -> None:
        append(self.log, label(id, interaction, value, rater=rater))

    @rule(id=FEEDBACK_IDS, interaction=IDS, rater=RATERS)
    def give_flag(self, id: str, interaction: str, rater: str) -> None:
        append(self.log, judged(id, interaction, Flag(kind="flag", name="exemplary"), rater=rater))

    @rule(id=FEEDBACK_IDS, interaction=IDS, of=FEEDBACK_IDS, rater=RATERS)
    def retract(self, id: str, interaction: str, of: str, rater: str) -> None:
        append(self.log, retraction(id, interaction, of=of, rater=rater))

    @rule(learner=LEARNERS.filter(bool), granted=st.booleans())
    def say_consent(self, learner: str, granted: bool) -> None:
        append(self.log, consent(learner, granted=granted))

    @rule(topic=st.sampled_from([topics.INTERACTION.name, topics.FEEDBACK.name, topics.EXAMPLE.name]))
    def write_garbage(self, topic: str) -> None:
        self.log.append_raw(topic, 0, b"key", b"garbage")

    @rule(role=ROLES)
    def catch_up(self, role: str) -> None:
        self._step(role, 100, 100)

    @rule(role=ROLES, some=FEW, more=FEW)
    def step(self, role: str, some: int, more: int) -> None:
        self._step(role, some, more)

    @rule(seconds=st.floats(0.0, 20.0))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(share=st.sampled_from([0.25, 0.5, 1.0]))
    def swap_model(self, share: float) -> None:
        self.teller.share = share

    @rule(role=ROLES)
    def crash(self, role: str) -> None:
        self.hosts.pop(role, None)

    @rule(role=ROLES, sends=FEW, some=FEW, more=FEW)
    def crash_while_sending(self, role: str, sends: int, some: int, more: int) -> None:
        with suppress(Died, Refused, StoreUnavailable):
            Host(self.log, self.store, self.roles[role], MortalProducer(self.log, sends)).step(some, more)
        self.hosts.pop(role, None)

    @rule(fates=st.lists(st.sampled_from(["made", "lost", "unanswered"]), min_size=1, max_size=3))
    def let_the_store_fail(self, fates: list[str]) -> None:
        self.store.fates = list(fates)

    @rule(role=ROLES)
    def replace_an_owner_that_lives_on(self, role: str) -> None:
        if role in self.hosts:
            self.zombies.append(self.hosts.pop(role))

    @rule(some=FEW, more=FEW)
    def a_zombie_steps(self, some: int, more: int) -> None:
        for zombie in self.zombies:
            self._host(zombie.role.role)
            before = sum(len(records(self.log, name)) for name in zombie.role.outputs)
            with suppress(Refused, StoreUnavailable):
                zombie.step(some, more)
            assert sum(len(records(self.log, name)) for name in zombie.role.outputs) == before
        self.zombies.clear()

    @rule()
    def remember_the_store(self) -> None:
        self.kept, self.is_wiped = self.store.snapshot(), False

    @rule()
    def roll_the_store_back(self) -> None:
        """A replica has what was, and the tokens since; of what was before the store was wiped only a backup has."""
        (self.store.restore if self.is_wiped else self.store.go_back)(self.kept)
        self.is_wiped = False

    @rule()
    def wipe_the_store(self) -> None:
        self.store.restore(self.empty)
        self.is_wiped = True

    def teardown(self) -> None:
        if not self.roles:
            return
        self.store.fates.clear()
        for _ in range(2):
            self._rest()
            self.clock.advance(HORIZON_S)
        self._check_outcomes("session", topics.INTERACTION.name, topics.FEEDBACK.name)
        self._check_outcomes("curate", topics.EXAMPLE.name)
        self._check_requests()

    def _rest(self) -> None:
        for role in ("session", "curate"):
            while self._step(role, 100, 100):
                pass
            self.clock.advance(10.0)
            self._step(role, 100, 100)

    def _host(self, role: str) -> Host | None:
        if role not in self.hosts:
            try:
                self.hosts[role] = Host(self.log, self.store, self.roles[role])
            except (Refused, StoreUnavailable):
                return None
        return self.hosts[role]

    def _step(self, role: str, some: int, more: int) -> int:
        for _ in range(5):
            host = self._host(role)
            if host is not None:
                try:
                    return host.step(some, more)
                except (Refused, StoreUnavailable):
                    del self.hosts[role]
        return 0

    def _check_outcomes(self, role: str, *inputs: str) -> None:
        found: Counter[Origin] = Counter()
        for name in self.roles[role].outputs:
            for record in records(self.log, name):
                if record.header("ce_source") == self.roles[role].source:
                    found.update(read_envelope(record.headers).causes)
        expected = {record.origin for name in inputs for record in records(self.log, name)}
        if role == "curate":  # these change what is remembered, and have no outcome of their own
            repeated = {origin for origin, n in found.items() if n == 1}
            expected -= {o for o in self._not_labels() if o not in repeated}
        assert found == Counter(expected)

    def _not_labels(self) -> set[Origin]:
        found = set()
        for record in records(self.log, topics.EXAMPLE):
            if record.value != b"garbage" and Example.model_validate_json(record.value or b"").kind != "label":
                found.add(record.origin)
        return found

    def _check_requests(self) -> None:
        requests = [e.data for e in published(self.log, topics.TRAIN_REQUEST) if isinstance(e.data, TrainRequest)]
        assert [r.kind for r in requests].count("genesis") == 1
        new = Counter(example.id for request in requests for example in request.new)
        assert all(n == 1 for n in new.values())
        asked = {example.interaction for r in requests if r.kind == "probe" for example in r.new}
        learned = {example.interaction for r in requests if r.kind == "step" for example in (*r.new, *r.replayed)}
        assert not asked & learned, "what the model is asked it never learns from"


def test_at_rest_every_input_has_exactly_one_outcome() -> None:
    run_state_machine_as_test(
        Trouble,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )

"""Where one round is played: a fresh tenant on running servers, its roles as processes, a classroom, an auditor."""

from __future__ import annotations

import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from random import Random
from typing import Final

from learners.model import served_digest
from schemas import topics
from schemas.errors import CurrereError
from schemas.topics import Topic
from state.inventory import inventory
from streams import failpoints
from streams.assembly import connect_store, partitions_of
from streams.audit import Audit, audit
from streams.blobs import Blobs
from streams.chaos.crew import Crew
from streams.chaos.player import Player
from streams.chaos.recovery import OUTCOME, Kind, Recovery, Watch
from streams.chaos.served import never_published
from streams.chaos.servers import Servers
from streams.engines.broker import Broker
from streams.message import Record
from streams.nursery import Nursery
from streams.refold import refold
from streams.settings import Settings, load
from streams.stage import begin_at_end, environment_of, standing
from streams.supervisor import LOOK_S
from streams.up import kafka_of

FAR = 2**62  # beyond any offset
PATIENCE_S = 60.0
LOOKS_S = 0.05
ENDLESS = 1_000_000  # interactions, of which a round plays the first few hundred
PER_S = 80.0
SMALL: Final = {"buckets": 4096, "dim": 4, "hidden": 8}
SETTINGS: Final[Mapping[str, object]] = {
    "partitions": 2,
    "learning": SMALL,
    "probe_size": 20,
    "session_timeout_ms": 6_000,
    "batch": 20,  # many small batches, requests, deltas and snapshots: many moments to be killed at
    "new_per_request": 8,
    "replayed_per_request": 8,
    "delta_s": 0.05,
    "snapshot_steps": 10,
}


class DoesNotHold(CurrereError):
    """What a row claims is not so."""


class Stand:
    """One round: whole when built, ended by ``close``. ``random`` is the round's own source of moments."""

    def __init__(
        self,
        servers: Servers,
        folder: Path,
        seed: int,
        random: Random,
        settings: Mapping[str, object],
        nursery: Nursery | None = None,
    ) -> None:
        self.servers, self.folder, self.seed, self.random = servers, folder, seed, random
        self.nursery = nursery
        self.blobs = folder / "blobs"
        self.settings: Settings = load(
            kafka=servers.kafka,
            redis=servers.redis,
            blobs=f"file://{self.blobs}",
            tenant=f"chaos-{secrets.token_hex(4)}",
            **{**SETTINGS, **settings},
        )
        self.broker: Broker = kafka_of(self.settings)
        self.broker.create(topics.ALL, partitions_of(self.settings))
        self.store = connect_store(self.settings)
        self.since = begin_at_end(self.broker, self.store, self.settings.tenant)
        self.crews: list[Crew] = []
        self.players: list[Player] = []
        self.recoveries: list[Recovery] = []
        self.notes: dict[str, list[float]] = defaultdict(list)
        self.bad_models: set[str] = set()
        self.poisons = 0  # records that the row itself makes end a process

    def start(
        self,
        *roles: str,
        instance: str = "first",
        failpoint: str | None = None,
        nursery: Nursery | None = None,
        **settings: object,
    ) -> Crew:
        """Put ``roles`` to work as processes of ``instance``; returns once each is ready.

        ``failpoint`` is for their first life, see ``streams.failpoints``; ``nursery`` is of another checkout;
        ``settings`` go over the stand's.
        """
        crew = self.begin(*roles, instance=instance, failpoint=failpoint, nursery=nursery, **settings)
        self.wait_until(crew.ready, f"{', '.join(roles)} of {instance} are ready; see {crew.logs}")
        return crew

    def begin(
        self,
        *roles: str,
        instance: str = "first",
        failpoint: str | None = None,
        nursery: Nursery | None = None,
        **settings: object,
    ) -> Crew:
        """The same, but does not wait."""
        chosen = self.settings.model_copy(update={"instance": instance, **settings})
        environment = environment_of(chosen.model_dump(mode="json", exclude_none=True))
        if failpoint is not None:
            environment[failpoints.ENVIRONMENT] = failpoint
        logs = self.folder / "logs" / f"{len(self.crews)}-{instance}"
        crew = Crew(roles, environment, logs, nursery or self.nursery)
        self.crews.append(crew)
        return crew

    def play(self, events: int = ENDLESS, per_s: float | None = PER_S) -> Player:
        """Play a simulated classroom in a thread, until it ends or ``stop_playing``."""
        player = Player(self.broker, self.settings.tenant, self.seed * 1_000 + len(self.players), events, per_s)
        self.players.append(player)
        return player

    def stop_playing(self) -> int:
        """Stop every player; returns how many events the log has acknowledged. Raises BrokerError."""
        for player in self.players:
            player.stopping.set()
        for player in self.players:
            player.join()
            if player.failure is not None:
                raise player.failure
        return sum(player.played.acknowledged for player in self.players)

    def done(self, role: str) -> int:
        """How many outcomes of ``role`` the log holds since the round began."""
        name = OUTCOME[role].name
        places = range(self.broker.partitions()[name])
        return sum(self.broker.ends(name, place)[1] - self.since[f"{name}/{place}"] for place in places)

    def reach(self, role: str, more: int) -> None:
        """Return once ``role`` has published ``more`` outcomes from now on: a moment by count, not by the clock."""
        wanted = self.done(role) + more
        self.wait_until(lambda: self.done(role) >= wanted, f"{role} publishes {more} more; see {self.folder}")

    def wait_until(self, holds: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
        """Return once ``holds`` does. Raises DoesNotHold after ``patience_s``."""
        deadline, pause = time.monotonic() + patience_s, threading.Event()
        while not holds():
            self.must(time.monotonic() < deadline, f"not within {patience_s:.0f} s: {what}")
            pause.wait(LOOKS_S)

    def recovered(
        self,
        kind: Kind,
        *roles: str,
        at_s: float | None = None,
        partitions: Collection[int] | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Wait until each of ``roles`` has published again since the fault's end, by default now; note the seconds.

        Somebody must be playing. ``partitions`` are those that changed hands, where others went on at work. Raises
        DoesNotHold after ``patience_s``.
        """
        at_s = time.time() if at_s is None else at_s
        waiting = {role: Watch(self.broker, role, self.settings.tenant, at_s, partitions) for role in roles}

        def all_back() -> bool:
            for role, watch in list(waiting.items()):
                if (seconds := watch.seconds()) is not None:
                    self.recoveries.append(Recovery(kind, role, round(seconds, 3)))
                    del waiting[role]
            return not waiting

        self.wait_until(all_back, f"{', '.join(roles)} work again ({kind})", patience_s)

    def note(self, name: str, number: float) -> None:
        """Keep a number to be printed with the row."""
        self.notes[name].append(round(number, 3))

    def must(self, holds: object, otherwise: str) -> None:
        """Raise DoesNotHold with ``otherwise`` unless ``holds``."""
        if not holds:
            raise DoesNotHold(otherwise)

    def records(self, topic: Topic) -> list[Record]:
        """The tenant's records of a topic since the round began."""
        name = topic.name
        found: list[Record] = []
        for place in range(self.broker.partitions()[name]):
            ends = self.broker.ends(name, place)[1]
            found += self.broker.read(name, place, self.since[f"{name}/{place}"], ends)
        return [record for record in found if record.header("ce_tenant") == self.settings.tenant]

    def audit(self, *, at_rest: bool = True, fold: bool = False) -> Audit:
        """What the audit says now of topics and store, and with ``fold`` of snapshots, deltas and versions."""
        tenant, model, fetch = self.settings.tenant, self.settings.model, Blobs(self.settings.blobs).look
        with inventory(self.settings.redis, tenant) as holdings:
            return audit(
                self.broker,
                tenant,
                model,
                since=self.since,
                at_rest=at_rest,
                holdings=holdings,
                fetch=fetch if fold else None,
            )

    def settle(self) -> Audit:
        """Stop playing, wait until the roles have taken all there is, and audit, with a fold of all that was learned.

        An audit that is not content is asked again for a while. Raises DoesNotHold when they do not come to rest.
        """
        sent = self.stop_playing()
        self.wait_until(lambda: standing(self, FAR).at_rest, "session and curate have taken all there is")
        deadline = time.monotonic() + PATIENCE_S / 2
        while not (found := self.audit()).ok and time.monotonic() < deadline:
            threading.Event().wait(LOOK_S)
        self.must(found.events + found.feedback >= sent, f"of {sent} events {found.events + found.feedback} are there")
        return self.audit(fold=True) if found.ok else found

    def judge(self, found: Audit) -> None:
        """Raise DoesNotHold unless the audit is clean, the model is what its log folds to, and no other has spoken."""
        self.must(found.ok, f"{found.verdict} {[tuple(finding) for finding in found.findings[:3]]}")
        self.must(found.steps, "nothing was learned, so nothing was tried")
        led_aside = found.dead_letters.get("poison", 0)
        self.must(led_aside == self.poisons, f"{led_aside} records were led aside as poison, not {self.poisons}")
        if not found.proven:
            self._fold_again(found)
        predictions, checkpoints, deltas = map(self.records, (topics.PREDICTION, topics.CHECKPOINT, topics.DELTA))
        self.bad_models = never_published(predictions, checkpoints, deltas, self.settings.model)
        self.must(not self.bad_models, f"served, and never published whole: {sorted(self.bad_models)[:3]}")

    def _fold_again(self, found: Audit) -> None:
        _, end = self.broker.ends(topics.TRAIN_REQUEST.name, 0)
        model, _ = refold(self.broker, Blobs(self.settings.blobs), self.settings.tenant, self.settings.model, end)
        self.must(served_digest(model) == found.digest, f"{found.version} is not what its log folds to")

    def close(self) -> None:
        """End what was started."""
        for player in self.players:
            player.stopping.set()
        for crew in self.crews:
            crew.kill_all()  # the round has been judged: there is nothing to drain for
        for crew in self.crews:
            crew.stop()
        for player in self.players:
            player.join()
        self.store.close()

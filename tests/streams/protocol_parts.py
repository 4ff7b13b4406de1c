"""Store, producer and log in which a rule of the protocol may be dropped, and things happen between its steps."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from builders import TENANT

from schemas import topics
from state.memory import MemoryStore, Snapshot
from state.store import Commit, Offsets, Put, Shard, Taken, Values
from streams.engines.adopted import HELD, SENT
from streams.engines.broker import Acknowledged
from streams.engines.memory import MemoryLog
from streams.message import Message, Record

SHARD = Shard(TENANT, "session", 0)
# Those of the protocol that hold here. That the broker refuses former producers and that a record waits for the one
# that it quotes are left out (ARCHITECTURE.md says when that matters); what readers and folds owe is tested with them.
RULES = {
    "token": "a commit is accepted only under the stored owner token",
    "random": "tokens are random, not counted up from the stored one",
    "firm": "a taken token is on the replica before its owner goes on",
    "cas": "a commit is accepted only if the stored offsets are those that its batch began at",
    "outbox": "a commit stores its outputs with the state",
    "resend": "a successor sends the outbox again",
    "seek": "an owner reads from the offsets in the store, not from those committed to Kafka",
    "steps": "it takes its token first, then reads its own output topics",
    "adopt": "what those hold of inputs to come is adopted, not computed anew",
    "input": "adoption goes by input: whatever became of an input stays so",
    "hold": "what is adopted but not yet met is stored",
    "beat": "an idle owner, too, compares with what is stored",
    "first-wins": "a consumer ignores a second record of an id",
}


class PausingStore(MemoryStore):
    """The store, in which something may happen between a decision and its commit; rules may be dropped."""

    def __init__(self, dropped: Collection[str]) -> None:
        super().__init__()
        self.dropped = dropped
        self.meanwhile: Callable[[], None] | None = None
        self.idle = False  # whether the caller has nothing to decide
        self._unstored: dict[str, dict[str, bytes]] = {}  # by token: what is adopted, without the rule "hold"

    def take(self, shard: Shard, token: str) -> Taken:
        found = super().take(shard, token)
        return replace(found, outbox=()) if "resend" in self.dropped else found

    def read(
        self,
        shard: Shard,
        token: str,
        offsets: Offsets,
        keys: Sequence[str],
        due_before: float | None = None,
        due_limit: int = 0,
    ) -> Values:
        found = super().read(shard, token, offsets, keys, due_before, due_limit)
        mine = self._unstored.get(token, {})
        return replace(found, found={**found.found, **{key: mine[key] for key in keys if key in mine}})

    def commit(self, shard: Shard, token: str, began_at: Offsets, commit: Commit) -> None:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        if "outbox" in self.dropped:
            commit = replace(commit, outbox=(), trim=0)
        if "hold" in self.dropped:
            adopted = [write for write in commit.writes if write.key.startswith(SENT) or write.key == HELD]
            mine = self._unstored.setdefault(token, {})
            mine.update({write.key: write.value for write in adopted if isinstance(write, Put)})
            commit = replace(commit, writes=[write for write in commit.writes if write not in adopted])
        super().commit(shard, token, began_at, commit)

    def token(self, shard: Shard) -> str | None:
        return self._held(shard).token

    def go_back(self, snapshot: Snapshot) -> None:
        """What a lagging replica had, save that a taken token was made firm there."""
        token = self.token(SHARD)
        self.restore(snapshot)
        if "firm" not in self.dropped and token is not None and SHARD in self._shards:
            self._shards[SHARD].token = token

    def _owned(self, shard: Shard, token: str, offsets: Offsets) -> Any:
        held = self._held(shard)
        if self.idle and "beat" in self.dropped:
            return held
        if "token" in self.dropped:
            return super()._owned(shard, held.token or "", offsets)
        if "cas" in self.dropped and held.token == token:
            return held
        return super()._owned(shard, token, offsets)


class HeldProducer:
    """Keeps messages until they are let out; then the log has them, and says so."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self.waiting: deque[tuple[Message, Acknowledged]] = deque()

    def send(self, message: Message, on_ack: Acknowledged) -> None:
        self.waiting.append((message, on_ack))

    def let_out(self, most: int) -> None:
        for _ in range(min(most, len(self.waiting))):
            message, on_ack = self.waiting.popleft()
            on_ack(self._log.append(message), None)

    def poll(self) -> None:
        """Acknowledgements come with ``let_out``."""

    def flush(self, timeout_s: float) -> int:
        self.let_out(len(self.waiting))
        return 0


class View:
    """The log as a new owner sees it who looks for what was published; ``before`` says how far, by topic."""

    address = "memory"

    def __init__(self, log: MemoryLog, dropped: Collection[str], before: Mapping[str, int] | None) -> None:
        self.log, self.dropped, self.before = log, dropped, before or {}

    def ends(self, topic: str, partition: int) -> tuple[int, int]:
        low, high = self.log.ends(topic, partition)
        high = self.before.get(topic, high)
        return (high, high) if "adopt" in self.dropped else (low, high)

    def read(self, topic: str, partition: int, start: int, end: int) -> Iterator[Record]:
        if "input" in self.dropped and topic == topics.FATE.name:  # another outcome has another id
            return iter(())
        return self.log.read(topic, partition, start, end)

"""The engine over Faust, for teams who run Faust: one agent, concurrency 1, the same lanes and the same fence.

Faust joins the group, polls, and hands records to its agent; ``Lanes`` decide. Faust's at-least-once delivery is made
effectively once by the store: a partition begins at the offset that the store holds, and each commit compares it.
Offsets committed to Kafka are for lag monitors only. ``streams/engines/faust_app.py`` says what of Faust is replaced.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import cast

from aiokafka.errors import KafkaError
from faust import Stream
from faust.types import TP, StreamT

from schemas.errors import BrokerError, CurrereError, PartitionsChanged, Refused, StoreUnavailable
from streams.engines.engine import EngineSettings
from streams.engines.faust_app import POLL_S, Fetched, RoleApp, StoreConsumer
from streams.engines.faust_settings import check, credentials, options
from streams.engines.kafka_broker import KafkaBroker
from streams.engines.lanes import Lanes, Runner
from streams.engines.tenure import Tenure, counts_of, why_gone
from streams.metrics import Metrics

LOG = logging.getLogger("streams.engine")
GONE = (KafkaError, asyncio.TimeoutError)  # of a seek: the partition is another's, or the broker is away
LEAVE_S = 5.0  # to tell the group, beyond the time to drain


class FaustEngine:
    """Runs one role: owns the partitions that its group assigns, each by a runner that ``assign`` makes.

    ``given`` are settings of Faust's that a team chooses. Deciding and taking happen on threads; all else on the event
    loop of ``run``.

    Raises:
        ConfigurationError: settings under which events would be lost, repeated or put out of order.
    """

    def __init__(
        self,
        broker: KafkaBroker,
        topics: Sequence[str],
        assign: Callable[[int], Runner],
        settings: EngineSettings,
        metrics: Metrics,
        role: str,
        clock: Callable[[], float] = time.time,
        given: Mapping[str, object] | None = None,
    ) -> None:
        self.broker, self.topics, self.assign, self.settings = broker, tuple(topics), assign, settings
        self.metrics, self.role = metrics, role
        chosen = options(settings, broker.address, given or {})
        self.sought: Counter[int] = Counter()
        self._app = RoleApp(settings.group, self, broker_credentials=credentials(broker.security), **chosen)
        check(self._app.conf, broker.address)
        self.counts = counts_of(broker, topics)
        self._app.agent(self._app.topic(*topics), concurrency=1, name=role)(self._take_in)
        self._lanes = Lanes(clock, settings.batch, settings.tick_s, settings.beat_s, self._on_batch)
        self._tenure = Tenure(topics, self._lanes, metrics, role, clock)
        self.vitals = self._tenure.vitals
        self._assigned: frozenset[int] | None = None  # None: not in the group yet
        self._moves = 0  # how often partitions were assigned or given away
        self._begins: dict[TP, int] = {}  # where reading began
        self._held: set[int] = set()
        self._fatal: CurrereError | None = None
        self._telling: asyncio.Task[bool] | None = None

    def run(self, stop: threading.Event) -> None:
        """Poll until ``stop``, then finish the batches at work within ``drain_s``.

        Raises:
            BrokerError: the broker refuses us for good, or Faust has ended.
            PartitionsChanged: a topic has grown.
        """
        asyncio.run(self._run(stop))

    @property
    def partitions(self) -> set[int]:
        """Those that this owner has taken and serves."""
        return set(self._lanes.lanes)

    def queued(self, partition: int) -> int:
        """Records of ``partition`` polled and not yet decided."""
        return self._lanes.queued(partition)

    def polled(self) -> None:
        """Called by the transport when records are asked for."""
        self.vitals.polled = time.monotonic()

    def assigned(self, places: Iterable[TP]) -> None:
        """Called by the transport with all that the group gives; they are taken soon."""
        self._moves += 1
        found: dict[int, set[str]] = defaultdict(set)
        for place in places:
            found[place.partition].add(place.topic)
        for partition in list(self._lanes.lanes):
            self._lanes.drop(partition, 0.0)
        if grown := [partition for partition in found if partition >= min(self.counts.values())]:
            self._fatal = PartitionsChanged(f"partition {grown[0]} was added; growth is a new topic generation")
        self._assigned = frozenset(found)
        self._held.clear()
        self._tenure.retry = {n: 0.0 for n, topics in found.items() if topics == set(self.topics)}
        LOG.info("%s: assigned %s", self.role, sorted(found))

    def left_retention(self, place: TP, offset: int) -> None:
        """Called by the transport when the log has lost what the store asks for: the partition stops."""
        why = why_gone(self.broker, place.topic, place.partition, offset)
        LOG.error("%s: %s", self.role, why)
        self._tenure.stopped[place.partition] = why
        self._consumer.pause_partitions(self._places(place.partition))

    def holds_back(self, partition: int) -> bool:
        """Asked by the transport: whether so much is queued that nothing should be fetched."""
        return partition in self._held

    async def let_go(self) -> None:
        """Called by the transport before partitions move: finish the batches at work and give up every partition."""
        self._moves += 1
        deadline = time.monotonic() + self.settings.drain_s
        for partition in list(self._lanes.lanes):
            await asyncio.to_thread(self._tenure.let_go, partition, deadline)
        await _at_most(LEAVE_S, self._tell())
        for partition in self._assigned or ():
            self._tenure.forget(partition)

    async def _take_in(self, stream: StreamT[bytes]) -> None:
        """The agent."""
        async for event in cast(Stream[bytes], stream).noack().events():
            message = cast(Fetched, event.message)
            partition = message.partition
            if message.sought != self.sought[partition]:
                continue  # fetched before the partition was sought anew
            self._lanes.feed(partition, [message.record])
            if partition not in self._held and self._lanes.queued(partition) > self.settings.most_queued:
                self._held.add(partition)
                for place in self._places(partition):  # what is fetched still comes; a pause would drop it
                    self._consumer.on_buffer_full(place)

    async def _run(self, stop: threading.Event) -> None:
        next_second = 0.0
        try:
            await self._app.start()
            while not stop.is_set():
                self._raise_failure()
                await self._reassign()
                self._release()
                if time.monotonic() >= next_second:
                    next_second = time.monotonic() + 1.0
                    await self._each_second()
                await asyncio.sleep(POLL_S / 2)
        except KafkaError as error:
            raise BrokerError(f"{self.role}: {error}") from error
        finally:
            await asyncio.to_thread(self._lanes.close, self.settings.drain_s)
            await self.let_go()  # now: while it stops, Faust may assign once more, and what was held would be dropped
            await _at_most(self.settings.drain_s + LEAVE_S, self._app.stop())

    def _raise_failure(self) -> None:
        if self._fatal is not None:
            raise self._fatal
        if self._lanes.ended:
            raise BrokerError(f"{self.role}: deciding has ended on an unexpected error, which is logged above")
        if self._app.crashed:
            raise BrokerError(f"{self.role}: Faust has ended: {self._app.crash_reason!r}")

    async def _reassign(self) -> None:
        for partition in self._tenure.drop_failed():
            self._consumer.pause_partitions(self._places(partition))
        for partition in self._tenure.due():
            if partition in self._tenure.retry:  # else it was given away while another was taken
                await self._take(partition)

    async def _take(self, partition: int) -> None:
        """Take a partition, seek to what the store holds, and let its records come."""
        moves, places = self._moves, self._places(partition)
        with self._tenure.taking():
            try:
                runner = await asyncio.to_thread(self.assign, partition)
                if moves == self._moves:
                    stored = {place: runner.offsets.get(f"{place.topic}/{partition}") for place in places}
                    self._begins |= await self._consumer.begin(partition, stored)
            except (StoreUnavailable, Refused, BrokerError, *GONE) as error:
                if moves == self._moves:
                    self._tenure.failed(partition, error)
                return
        if moves == self._moves:  # else it was given away meanwhile; whoever has it takes a token of its own
            self._held.discard(partition)
            self._tenure.took(partition, runner)
            self._consumer.resume_partitions(places)

    def _release(self) -> None:
        for partition in [n for n in self._held if self._lanes.queued(n) < self.settings.most_queued // 2]:
            self._held.discard(partition)
            for place in self._places(partition):
                self._consumer.on_buffer_drop(place)

    async def _each_second(self) -> None:
        seen = {topic: self._consumer.topic_partitions(topic) for topic in self.topics}
        if grown := [topic for topic, count in seen.items() if count and count != self.counts[topic]]:
            raise PartitionsChanged(f"{', '.join(grown)}: partitions were added; growth is a new topic generation")
        ends = await self._consumer.look()
        self.vitals.broker_heard = self._consumer.heard

        def watermarks(topic: str, partition: int) -> tuple[int, int] | None:
            place = TP(topic, partition)
            return (self._begins.get(place, 0), ends[place]) if place in ends else None

        self._tenure.look(watermarks, standby=self._assigned == frozenset())
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._tell())

    async def _tell(self) -> bool:
        return await self._consumer.tell({TP(*place): at for place, at in self._tenure.positions().items()})

    @property
    def _consumer(self) -> StoreConsumer:
        return cast(StoreConsumer, self._app.consumer)

    def _places(self, partition: int) -> set[TP]:
        return {TP(topic, partition) for topic in self.topics}

    def _on_batch(self, seconds: float) -> None:
        self.metrics.observe("batch_seconds", seconds, role=self.role)


async def _at_most(seconds: float, doing: Coroutine[None, None, object]) -> None:
    """Wait for ``doing``, but no longer than that; whatever it ends with, who leaves goes on leaving."""
    task = asyncio.ensure_future(doing)
    done, _ = await asyncio.wait({task}, timeout=seconds)
    if not done:
        task.cancel()
    elif not task.cancelled() and (error := task.exception()) is not None:
        LOG.info("while leaving: %r", error)

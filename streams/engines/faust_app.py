"""What of Faust's Kafka transport is replaced, so that the store says where a partition begins.

Faust goes on from the offsets that it committed to Kafka, and drops records while it stops and starts its flow. Here it
asks ``Owner`` instead. Each message carries how often its partition had been sought when it was fetched: what was
fetched before the last seek is told apart and dropped, whatever queue it lay in.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Protocol, cast

import faust
from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError
from aiokafka.structs import OffsetAndMetadata
from faust.app.base import BootStrategy
from faust.tables import TableManager
from faust.transport.consumer import RecordMap
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from faust.types.transports import TransportT

from schemas.envelope import Origin
from streams.engines.kafka_broker import Seldom
from streams.message import Record

LOG = logging.getLogger("streams.faust")
for chatty in ("aiokafka", "aiokafka.conn", "aiokafka.consumer.fetcher", "aiokafka.consumer.group_coordinator"):
    logging.getLogger(chatty).addFilter(Seldom(10.0))  # without a broker they say so ten times a second
POLL_S = 0.1  # longest wait for records: what is held back or taken anew is seen no later


class Owner(Protocol):
    """What the transport asks, and tells."""

    sought: Counter[int]  # by partition

    def polled(self) -> None:
        """Records were asked for."""

    def assigned(self, places: Iterable[TP]) -> None:
        """The group gives these, and no others. They are paused until the owner has sought to where they begin."""

    def left_retention(self, place: TP, offset: int) -> None:
        """The log no longer holds the offset that was asked for."""

    def holds_back(self, partition: int) -> bool:
        """Whether so much is queued that nothing should be fetched."""

    async def let_go(self) -> None:
        """Finish the batches at work, and serve nothing more: the partitions are about to move."""


class Fetched(ConsumerMessage):
    """A message with its record, headers in order, and the count of seeks when it was fetched."""

    __slots__ = ("record", "sought")
    record: Record
    sought: int


class NothingRead(dict[TP, int | None]):
    """What Faust has read, and would pass over if it came again: nothing.

    Faust notes an offset when it has passed a message on, also one that it fetched before a seek: whatever lies before
    that would never come. The owner knows by the count of seeks.
    """

    def __getitem__(self, place: TP) -> None:
        return None

    def __setitem__(self, place: TP, offset: int | None) -> None:
        pass


class StoreConsumer(driver.Consumer):
    """Reads where the owner says."""

    _thread: StoreThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.owner: Owner = self.app.owner  # type: ignore[attr-defined]  # the app is a RoleApp
        self._one_at_a_time = asyncio.Lock()
        self._sought: Mapping[int, int] = {}
        self.heard: float | None = None  # when the broker last sent something, monotonic; None: nothing is asked of it
        self._heard: Mapping[TP, int | None] = {}
        self._read_offset = NothingRead()

    async def begin(self, partition: int, places: Mapping[TP, int | None]) -> dict[TP, int]:
        """Seek to the offsets of ``places``, None being the first that the log holds; returns where each begins.

        Never while records are being fetched: they are from before it, or from after it. Raises KafkaError.
        """
        known = {place: offset for place, offset in places.items() if offset is not None}
        first = [driver.ensure_aiokafka_TP(place) for place in places if place not in known]
        async with self._one_at_a_time:
            if first:
                await self._thread.seek_to_beginning(*first)
            begins = known | {place: await self.position(place) or 0 for place in places if place not in known}
            await self.seek_wait(begins)  # Faust, too, must know
            self.owner.sought[partition] += 1
        return begins

    async def tell(self, offsets: Mapping[TP, int]) -> bool:
        """Commit to Kafka what the store holds, for lag monitors; False if it was not accepted."""
        return await self._thread.commit(offsets) if offsets else False

    async def look(self) -> dict[TP, int]:
        """The next offset of each assigned partition, as far as the broker has told; notes whether it tells at all."""
        seen = await self._thread.look()
        heard = {place: at for place, (_, at) in seen.items() if place in self._get_active_partitions()}
        if not heard:
            self.heard = None
        elif heard != self._heard:
            self.heard = time.monotonic()
        self._heard = heard
        return {place: end for place, (end, _) in seen.items() if end is not None}

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Called by Faust when partitions were assigned, before they flow."""
        places = self.assignment()
        self.pause_partitions(places)
        self.owner.assigned(places)
        return {}

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Called by Faust with what the group gives. Where that is nothing, it would seek nothing: tell the owner."""
        if not assigned:
            self.owner.assigned(())
        await super().on_partitions_assigned(assigned, generation_id)

    async def wait_empty(self) -> None:
        """Called by Faust before partitions are given away, and when it stops."""
        await self.owner.let_go()

    def on_buffer_drop(self, tp: TP) -> None:
        """Called when a queue has room again. What is paused waits until it is sought: it would be read in vain."""
        if tp not in self._paused_partitions and not self.owner.holds_back(tp.partition):
            super().on_buffer_drop(tp)

    async def _wait_next_records(self, timeout: float) -> tuple[RecordMap | None, set[TP] | None]:
        found: tuple[RecordMap | None, set[TP] | None] = {}, set()
        if self.flow_active and not self._get_active_partitions():  # Faust would sleep for a second
            self.owner.polled()
            await asyncio.sleep(POLL_S)
        else:
            found = await super()._wait_next_records(timeout)
        # None: when partitions have begun to move, Faust would seek, and the owner take back what it has let go.
        return found if self.flow_active else (None, None)

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> RecordMap:
        try:
            async with self._one_at_a_time:
                self.owner.polled()
                self._sought = dict(self.owner.sought)
                # A copy: to aiokafka, a set that has become empty on the way means all partitions.
                return await super()._getmany(set(active_partitions or ()), min(timeout, POLL_S))
        except OffsetOutOfRangeError as error:
            for place, offset in error.args[0].items():
                self.owner.left_retention(place, offset)
        except NoOffsetForPartitionError:  # nothing was committed to Kafka, and nobody asked for it
            pass
        return {}

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        message = Fetched(
            record.topic,
            record.partition,
            record.offset,
            record.timestamp / 1_000,
            record.timestamp_type,
            None,
            record.key,
            record.value,
            None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )
        origin = Origin(record.topic, record.partition, record.offset)
        message.record = Record(origin, record.key, record.value, tuple(record.headers), record.timestamp)
        message.sought = self._sought.get(record.partition, 0)
        return message

    def _new_consumer_thread(self) -> StoreThread:
        return StoreThread(self, loop=self.loop, beacon=self.beacon)


class StoreThread(driver.AIOKafkaConsumerThread):
    """The member of the group. By ``range`` partitions that belong together come together, as under engine = kafka."""

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        conf = self.app.conf
        self._assignor = RangePartitionAssignor
        return AIOKafkaConsumer(
            client_id=conf.broker_client_id,
            group_id=conf.id,
            group_instance_id=conf.consumer_group_instance_id,
            bootstrap_servers=driver.server_list(transport.url, transport.default_port),
            partition_assignment_strategy=[RangePartitionAssignor],
            enable_auto_commit=False,
            auto_offset_reset=conf.consumer_auto_offset_reset,
            isolation_level="read_committed",  # Faust reads what was aborted, too
            max_poll_records=conf.broker_max_poll_records,
            max_poll_interval_ms=int((conf.broker_max_poll_interval or 0) * 1_000),
            max_partition_fetch_bytes=conf.consumer_max_fetch_size,
            fetch_max_wait_ms=50,
            request_timeout_ms=int(conf.broker_request_timeout * 1_000),
            check_crcs=conf.broker_check_crcs,
            session_timeout_ms=int(conf.broker_session_timeout * 1_000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1_000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1_000),
            metadata_max_age_ms=conf.consumer_metadata_max_age_ms,
            connections_max_idle_ms=conf.consumer_connections_max_idle_ms,
            **driver.credentials_to_aiokafka_auth(conf.broker_credentials, conf.ssl_context),
        )

    async def on_thread_stop(self) -> None:
        """Leave the group. While the broker is away, aiokafka cancels itself over it."""
        with suppress(asyncio.CancelledError):
            await super().on_thread_stop()

    async def look(self) -> dict[TP, tuple[int | None, int | None]]:
        """By assigned partition, the next offset to be written and when the broker last sent something; None: never."""
        return cast(dict[TP, tuple[int | None, int | None]], await self.call_thread(self._look))

    async def _look(self) -> dict[TP, tuple[int | None, int | None]]:
        consumer = self._ensure_consumer()
        places = consumer.assignment()
        return {TP(*place): (consumer.highwater(place), consumer.last_poll_timestamp(place)) for place in places}

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """For lag monitors only, so it may fail; Faust would end the app."""
        mine = {
            driver.ensure_aiokafka_TP(place): OffsetAndMetadata(offset, "")
            for place, offset in offsets.items()
            if place in self.assignment()
        }
        try:
            await self._ensure_consumer().commit(mine)
        except KafkaError as error:
            LOG.info("offsets were not committed: %s", error)
            return False
        return True


class StoreTransport(driver.Transport):
    """``kafka://`` with the classes above."""

    Consumer = StoreConsumer


class NoProducer(BootStrategy):
    """Outputs leave through the outbox and an idempotent producer; Faust's is not idempotent outside a transaction."""

    enable_kafka_producer = False


class NoTables(TableManager):
    """State is in the store. Faust's own manager gives an app a second to declare tables before it joins the group."""

    async def on_start(self) -> None:
        """Join at once."""
        await self._update_channels()
        await self.recovery.start()


class RoleApp(faust.App):
    """A Faust app for one role."""

    BootStrategy = NoProducer

    def __init__(self, id: str, owner: Owner, **options: Any) -> None:
        self.owner = owner
        super().__init__(id, **options)

    def _new_transport(self) -> TransportT:
        return StoreTransport(self.conf.broker_consumer, self)

    def _create_directories(self) -> None:
        """Nothing is kept in files."""

"""A record on its way: what the log gave us, and what we are about to give it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from zlib import crc32

from schemas.envelope import Headers, Origin

U32 = struct.Struct(">I")
RawHeaders = tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class Record:
    """A record as the log holds it. ``timestamp_ms`` is when the log received it (LogAppendTime)."""

    origin: Origin
    key: bytes | None
    value: bytes | None
    headers: RawHeaders
    timestamp_ms: int

    def header(self, name: str) -> str | None:
        """The first header of that name as text; None if there is none or it is not UTF-8."""
        for found, value in self.headers:
            if found == name and value is not None:
                return value.decode(errors="replace")
        return None


@dataclass(frozen=True, slots=True)
class Message:
    """A record to be sent. Equal messages are equal bytes, so a successor sends again exactly what was decided."""

    topic: str
    partition: int
    key: bytes
    value: bytes
    headers: Headers

    @property
    def id(self) -> str:
        """The event id in its envelope."""
        return next(value.decode() for name, value in self.headers if name == "ce_id")

    def pack(self) -> bytes:
        """Their number, the length of each (all big-endian u32), then these fields end to end, for the outbox."""
        fields = [self.topic.encode(), self.partition.to_bytes(4, "big"), self.key, self.value]
        for name, value in self.headers:
            fields += [name.encode(), value]
        lengths = struct.pack(f">{1 + len(fields)}I", len(fields), *map(len, fields))
        return b"".join((lengths, *fields))

    @classmethod
    def unpack(cls, packed: bytes) -> Message:
        """The inverse of ``pack``. Raises ValueError if ``packed`` was cut."""
        count = U32.unpack_from(packed)[0] if len(packed) >= U32.size else 0
        at = U32.size * (1 + count)
        lengths = struct.unpack_from(f">{count}I", packed, U32.size) if len(packed) >= at else ()
        if count < 4 or count % 2 or at + sum(lengths) != len(packed):
            raise ValueError(f"an outbox entry of {len(packed)} bytes is not whole")
        fields = []
        for length in lengths:
            fields.append(packed[at : at + length])
            at += length
        headers = tuple((fields[i].decode(), fields[i + 1]) for i in range(4, len(fields), 2))
        return cls(fields[0].decode(), int.from_bytes(fields[1], "big"), fields[2], fields[3], headers)


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of ``key``: CRC-32 modulo the count, which is librdkafka's ``consistent`` partitioner."""
    return crc32(key) % partitions

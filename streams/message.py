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
        """Their number and these fields, length-prefixed (all big-endian u32), for the outbox."""
        fields = [self.topic.encode(), self.partition.to_bytes(4, "big"), self.key, self.value]
        for name, value in self.headers:
            fields += [name.encode(), value]
        return U32.pack(len(fields)) + b"".join(U32.pack(len(field)) + field for field in fields)

    @classmethod
    def unpack(cls, packed: bytes) -> Message:
        """The inverse of ``pack``. Raises ValueError if ``packed`` was cut."""
        fields, at = [], U32.size
        while at + U32.size <= len(packed):
            (length,) = U32.unpack_from(packed, at)
            fields.append(packed[at + U32.size : at + U32.size + length])
            at += U32.size + length
        if at != len(packed) or U32.unpack_from(packed)[0] != len(fields) or len(fields) < 4 or len(fields) % 2:
            raise ValueError(f"an outbox entry of {len(packed)} bytes is not whole")
        headers = tuple((fields[i].decode(), fields[i + 1]) for i in range(4, len(fields), 2))
        return cls(fields[0].decode(), int.from_bytes(fields[1], "big"), fields[2], fields[3], headers)


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of ``key``: CRC-32 modulo the count, which is librdkafka's ``consistent`` partitioner."""
    return crc32(key) % partitions

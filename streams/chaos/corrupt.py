"""What a bad disk, a bad link or a bad neighbour makes of bytes."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from random import Random


def flipped(content: bytes, random: Random) -> bytes:
    """``content`` with one bit another."""
    at = random.randrange(8 * len(content))
    changed = content[at // 8] ^ 1 << at % 8
    return content[: at // 8] + bytes([changed]) + content[at // 8 + 1 :]


def torn(content: bytes, random: Random) -> bytes:
    """The beginning of ``content``, at least one byte short."""
    return content[: random.randrange(len(content))]


def flip_in(path: Path, random: Random) -> None:
    """Let one bit of a file be another."""
    path.write_bytes(flipped(path.read_bytes(), random))


def tear(path: Path, random: Random) -> None:
    """Let a file end too soon."""
    path.write_bytes(torn(path.read_bytes(), random))


def flip_in_segment(segment: Path, offset: int) -> Callable[[], None]:
    """Let one bit of the batch that holds ``offset`` be another, in a broker's file, also while it runs.

    A batch begins with its first offset and the number of bytes that follow, big-endian (Kafka's message format 2); the
    records are at its end. Returns what flips the bit back. Raises ValueError: there is no such batch.
    """
    content, at = segment.read_bytes(), 0
    found: int | None = None
    while at + 12 <= len(content):
        first, length = struct.unpack_from(">qi", content, at)
        if first > offset:
            break
        found, at = at + 12 + length - 2, at + 12 + length
    if found is None or at > len(content):
        raise ValueError(f"{segment} has no batch with offset {offset}")

    def flip() -> None:
        with segment.open("r+b") as file:
            file.seek(found)
            changed = bytes([file.read(1)[0] ^ 1])
            file.seek(found)
            file.write(changed)

    flip()
    return flip

"""What a bad disk, a bad link or a bad neighbour makes of bytes."""

from __future__ import annotations

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

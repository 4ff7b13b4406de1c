"""How many bytes a school year takes: Redis by the sizes of what is stored, Kafka by the records of its topics.

Redis 7 on a 64-bit machine with jemalloc. A shard's values are one hash; what expires stands in a sorted set besides.
With S(n) the bytes of a string of n bytes and A(b) the size that jemalloc gives to b bytes:

    an entry          A(24) + A(S(key)) + A(S(value)), and its place in a table of 2^k pointers
    if it expires     A(24) + A(S(key)) + a node of the skip list, and its place in another table
    in the outbox     the record and 6 to 11 bytes around it, in pages of 8 KiB

A(24) is the table's entry (dict.c); a skip list node is 24 bytes and 16 a level, of which it has 4/3 on average
(t_zset.c, ZSKIPLIST_P = 1/4); the outbox is a list of listpacks (quicklist.c, list-max-listpack-size -2).
Kafka's batches are compressed by the producer, so a topic takes its records' bytes times a ratio that must be measured.
"""

from __future__ import annotations

from collections.abc import Iterable

ENTRY, POINTER = 24, 8  # bytes of a table's entry and of its place
PAGE, LIST_NODE = 8_192, 40  # bytes of a listpack in the outbox, and of the node that holds it
QUANTUM = 16  # of jemalloc: the smallest spacing of sizes
RECORD = 12  # bytes of a Kafka record beside key, value and headers: lengths, deltas of time and offset


def allocated(size: int) -> int:
    """The bytes that jemalloc gives for ``size``: multiples of 16 up to 128, then four sizes to each power of two."""
    if size <= POINTER:
        return POINTER
    if size <= QUANTUM * POINTER:
        return -(-size // QUANTUM) * QUANTUM
    step = 1 << (size - 1).bit_length() - 1 - 2  # a quarter of the power of two below
    return -(-size // step) * step


def string(length: int) -> int:
    """The bytes of a string of Redis (sds.h): its header by length, its bytes, a zero."""
    header = 1 if length < 2**5 else 3 if length < 2**8 else 5 if length < 2**16 else 9
    return header + length + 1


def entry_bytes(key: int, value: int, *, timed: bool) -> int:
    """What one entry takes beside its place in the tables; ``timed``: it expires. A skip list node counts its mean."""
    plain = allocated(ENTRY) + allocated(string(key)) + allocated(string(value))
    return plain + (allocated(ENTRY) + allocated(string(key)) + skip_node() if timed else 0)


def skip_node() -> int:
    """The mean bytes of a skip list node: level l with probability 3/4 · 4^(1-l)."""
    return round(sum(0.75 * 0.25 ** (level - 1) * allocated(24 + 16 * level) for level in range(1, 33)))


def table_bytes(entries: int) -> int:
    """The places of a table that was filled to ``entries``: the next power of two; and until that is three quarters
    full the half of it that it has outgrown, of which each new entry moves two places (dict.c)."""
    places = 1 << (max(entries, 4) - 1).bit_length()
    return POINTER * (places + (places // 2 if 4 * entries < 3 * places else 0))


def outbox_bytes(sizes: Iterable[int]) -> float:
    """What records of these ``sizes`` take in the outbox: those over a page have one of their own (listpack.c)."""
    total, filled = 0.0, 0
    for size in sizes:
        whole = size + (3 if size < 2**12 else 5) + (1 if size < 2**7 else 2 if size < 2**14 else 3)
        if filled + whole > PAGE and filled:
            total, filled = total + allocated(LIST_NODE) + allocated(filled + 7), 0
        filled += whole
    return total + (allocated(LIST_NODE) + allocated(filled + 7) if filled else 0)


def record_bytes(key: int, value: int, headers: Iterable[tuple[int, int]]) -> int:
    """A Kafka record before compression: key, value and headers (bytes of name and value) and what is around them."""
    return RECORD + key + value + sum(name + content + 2 for name, content in headers)


def off_by(predicted: float, measured: float) -> float:
    """By how many percent of ``measured`` the prediction is too large."""
    return 100.0 * (predicted - measured) / measured if measured else 0.0

"""What is decided and on its way: the stored outbox as its owner sees it, and what the log has acknowledged of it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, takewhile

from streams import failpoints
from streams.engines.broker import Producer
from streams.message import Message


@dataclass(slots=True)
class _Entry:
    place: str
    offset: int | None = None  # where the log has it, or an offset before that; None: not acknowledged


class Outbox:
    """Mirrors the outbox of one shard. Acknowledgements may come from any thread.

    ``known`` says from which offset of each output partition a successor must read to find all that this shard has
    published and the store does not know to be there. It never passes what is still in the stored outbox: otherwise
    the successor would not find that, and send it a second time.
    """

    def __init__(self, producer: Producer, known: Mapping[str, int]) -> None:
        self.failure: str | None = None
        self._producer = producer
        self._entries: deque[_Entry] = deque()
        self._acknowledged = 0
        self._ends = dict(known)
        self._lock = threading.Lock()

    @property
    def unacknowledged(self) -> int:
        """Outputs decided and not yet acknowledged by the log."""
        return len(self._entries) - self._acknowledged

    def take_over(self, left: Sequence[Message], arrived: Mapping[str, int], ends: Mapping[str, int]) -> None:
        """Begin with what a former owner has left: send what has not arrived.

        ``arrived`` holds the offset of each id of ``left`` that the log has; ``ends`` is up to where it was looked for.
        """
        with self._lock:
            self._entries = deque(_Entry(place_of(m), arrived.get(m.id)) for m in left)
            self._acknowledged = sum(entry.offset is not None for entry in self._entries)
            self._ends = {place: max(end, self._ends.get(place, 0)) for place, end in ({**self._ends, **ends}).items()}
        for entry, outgoing in zip(self._entries, left, strict=True):
            if outgoing.id not in arrived:
                self._producer.send(outgoing, partial(self._acknowledge, entry))

    def trim(self) -> tuple[int, dict[str, int]]:
        """How many entries may leave the head of the stored outbox, and what is known once they have."""
        with self._lock:
            trim = sum(1 for _ in takewhile(lambda entry: entry.offset is not None, self._entries))
            known = dict(self._ends)
            if trim == self._acknowledged:
                return trim, known
            for entry in islice(self._entries, trim, None):
                if entry.offset is not None:
                    known[entry.place] = min(known.get(entry.place, entry.offset), entry.offset)
            return trim, known

    def committed(self, trim: int, added: Sequence[Message]) -> None:
        """The store has trimmed its outbox, and ``added`` to its end."""
        with self._lock:
            for _ in range(trim):
                self._entries.popleft()
            self._acknowledged -= trim
            self._entries.extend(_Entry(place_of(message)) for message in added)

    def send(self, added: Sequence[Message]) -> None:
        """Send what was added last."""
        entries = islice(self._entries, len(self._entries) - len(added), None)
        for number, (entry, outgoing) in enumerate(zip(list(entries), added, strict=True)):
            if number > 0:
                failpoints.pass_by(failpoints.BETWEEN_OUTPUTS, self._producer.flush)
            self._producer.send(outgoing, partial(self._acknowledge, entry))
        failpoints.pass_by(failpoints.BEFORE_ACKNOWLEDGEMENT, self._producer.flush)
        self._producer.poll()

    def _acknowledge(self, entry: _Entry, offset: int | None, error: str | None) -> None:
        with self._lock:
            if error is not None:
                self.failure = f"{entry.place} did not accept an output: {error}"
                return
            end = self._ends.get(entry.place, 0)
            entry.offset = end if offset is None or offset < 0 else offset  # ours come in order, so not before end
            self._ends[entry.place] = end if offset is None else max(end, offset + 1)
            self._acknowledged += 1


def place_of(message: Message) -> str:
    """``topic/partition`` of a message."""
    return f"{message.topic}/{message.partition}"

"""A record that ends the process each time: its tries are counted before it is decided, and after some it is led aside.

The first batch after an assignment is marked in the store before it is decided, and unmarked by the commit that decides
it. A successor that finds the mark decides what that batch held record by record, each with a mark of its own. A record
that another process has been at ``MOST`` times, and none lived to commit it, is a dead letter ``poison``; the rest of
its partition flows. It costs one small commit an assignment, and one a record while there is a suspicion.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from schemas.errors import BadEvent
from state.store import Put
from streams.message import Record

TRIES = "tries"  # the key of the mark
MOST = 3


@dataclass(frozen=True)
class Care:
    """What the shards of one process share: its name, new in each life, and one turn at a time.

    The turn matters: a record that is being tried while a neighbour's poison ends the process would be suspected too.
    """

    process: str
    turn: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True, slots=True)
class Mark:
    """``process`` has begun something that goes up to the offsets ``until``: a batch, or for the ``count``-th time the
    single record ``at``."""

    process: str
    until: Mapping[str, int]
    at: str = ""
    count: int = 0

    def put(self) -> Put:
        """The write that leaves this mark."""
        return Put(TRIES, json.dumps(asdict(self)).encode())

    @classmethod
    def read(cls, value: bytes | None) -> Mark | None:
        """The inverse."""
        return None if value is None else cls(**json.loads(value))

    def suspects(self, record: Record) -> bool:
        """Whether ``record`` may be what ended the process that left this mark."""
        return record.origin.offset < self.until.get(f"{record.origin.topic}/{record.origin.partition}", 0)

    def on(self, record: Record, process: str) -> Mark:
        """The mark for ``record`` alone, tried by ``process``; only another process that died counts as a try."""
        tried = self.count if self.at == str(record.origin) else 0
        again = tried == 0 or self.process != process
        return Mark(process, self.until, str(record.origin), tried + again)


def poisoned(record: Record) -> BadEvent:
    """Why ``record`` is led aside."""
    return BadEvent(
        f"{MOST} processes ended while they decided {record.origin}; see the role's log of that time, mend it, retry",
        "poison",
    )


def suspected(mark: Mark, records: Sequence[Record]) -> tuple[list[Record], list[Record]]:
    """Those of ``records`` to be decided singly, and the rest."""
    singly = [record for record in records if mark.suspects(record)]
    return singly, [record for record in records if not mark.suspects(record)]

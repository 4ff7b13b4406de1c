"""A record that ends the process each time: its tries are counted before it is decided, and after some it is led aside.

After an assignment each batch is marked in the store before it is decided, and unmarked by the commit that decides it,
until as many records are decided as the batch may have held that ended an earlier process. A successor that finds the
mark decides what that batch held record by record, each with a mark of its own. A record that ``MOST`` processes were
at alone, and none lived to commit, is a dead letter ``poison``; the rest of its partition flows. It costs a small
commit or a few an assignment, and one a record while there is a suspicion.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from schemas.errors import BadEvent
from state.store import Delete, Offsets, Put, Write
from streams.message import Record

TRIES = "tries"  # the key of the mark
MOST = 3
CAREFUL = 500  # records


@dataclass(frozen=True)
class Care:
    """What the shards of one process share: its name, new in each life, and one turn at a time.

    The turn matters: a record that is being tried while a neighbour's poison ends the process would be suspected too.
    """

    process: str
    turn: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True, slots=True)
class Mark:
    """Records below the offsets ``until`` were begun, and are not known to be decided.

    ``tried`` says of single ones how often, and by which process last: only one that has died counts as a try.
    """

    until: Mapping[str, int] = field(default_factory=dict)
    tried: Mapping[str, tuple[int, str]] = field(default_factory=dict)

    @classmethod
    def read(cls, value: bytes | None) -> Mark | None:
        """The mark that was stored, if any."""
        return None if value is None else cls(**json.loads(value))

    def put(self) -> Put:
        """The write that leaves this mark."""
        return Put(TRIES, json.dumps(asdict(self)).encode())

    def after(self, offsets: Offsets) -> Write:
        """The write that belongs to a commit up to ``offsets``: nothing is left to suspect, or this mark stays."""
        return Delete(TRIES) if self.passed(offsets) else self.put()

    def passed(self, offsets: Offsets) -> bool:
        """Whether all that was begun is decided."""
        return all(offsets.get(place, 0) >= end for place, end in self.until.items())

    def suspected(self, records: Sequence[Record]) -> tuple[list[Record], list[Record]]:
        """Those of ``records`` that may be what ended a process, and the others."""
        suspects: list[Record] = []
        others: list[Record] = []
        for record in records:
            suspect = record.origin.offset < self.until.get(_place(record), 0)
            (suspects if suspect else others).append(record)
        return suspects, others

    def begun(self, records: Sequence[Record]) -> Mark:
        """This mark with a batch that is begun."""
        until = dict(self.until)
        for record in records:
            until[_place(record)] = max(until.get(_place(record), 0), record.origin.offset + 1)
        return replace(self, until=until)

    def trying(self, record: Record, process: str) -> Mark:
        """This mark with ``record`` alone begun by ``process``."""
        count, by = self.tried.get(str(record.origin), (0, ""))
        return replace(self, tried={**self.tried, str(record.origin): (count + (by != process), process)})

    def decided(self, record: Record) -> Mark:
        """This mark once ``record`` is decided."""
        return replace(self, tried={at: tried for at, tried in self.tried.items() if at != str(record.origin)})

    def is_poison(self, record: Record) -> bool:
        """Whether ``record`` has been tried too often."""
        return self.tried.get(str(record.origin), (0, ""))[0] > MOST


def poisoned(record: Record) -> BadEvent:
    """Why ``record`` is led aside."""
    return BadEvent(
        f"{MOST} processes ended while they decided {record.origin} alone; mend what their logs say, then retry",
        "poison",
    )


def _place(record: Record) -> str:
    return f"{record.origin.topic}/{record.origin.partition}"

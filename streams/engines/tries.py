"""A record that ends the process each time: its tries are counted before it is decided, and after some it is led aside.

After an assignment each batch is marked in the store before it is decided, and unmarked by the commit that decides it,
until as many records are decided as the batch may have held that ended an earlier process. A successor that finds the
mark decides what that batch held record by record, each with a mark of its own. A record that ``MOST`` processes were
at alone, and none lived to commit, is a dead letter ``poison``; the rest of its partition flows. It costs a small
commit or a few an assignment, and one a record while there is a suspicion.

A release that dies of everything must not lead everything aside. The mark remembers what was; where that is as much as
the limit allows, the partition stands at the next such record. After each ``REST_S`` one process tries that record
again: so it goes on by itself once the cause is gone, and costs a process a rest until then.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

from schemas.envelope import Origin
from schemas.errors import BadEvent, TooManyPoisons
from state.store import Delete, Offsets, Put, Shard, Write
from streams.clock import passed
from streams.message import Record

TRIES = "tries"  # the key of the mark
MOST = 3
MOST_ASIDE = 10  # of WINDOW records; the default of the setting
WINDOW = 1_000  # records of each topic
REST_S = 300.0
CAREFUL = 500  # records

Verdict = Literal["try", "aside", "stand"]


@dataclass(frozen=True)
class Care:
    """What the shards of one process share: its name, new in each life, the limit, and one turn at a time.

    The turn matters: a record that is being tried while a neighbour's poison ends the process would be suspected too.
    """

    process: str
    most_aside: int = MOST_ASIDE
    turn: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True, slots=True)
class Mark:
    """Records below the offsets ``until`` were begun, and are not known to be decided.

    ``tried`` says of single ones how often, and by which process last: only one that has died counts as a try.
    ``tried_at`` is when the last such try began (epoch seconds), ``aside`` what was led aside lately, oldest first.
    """

    until: Mapping[str, int] = field(default_factory=dict)
    tried: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    aside: tuple[str, ...] = ()
    tried_at: float = 0.0

    @classmethod
    def read(cls, value: bytes | None) -> Mark | None:
        """The mark that was stored, if any; an older release may have left less in it, and a newer one more."""
        if value is None:
            return None
        found = json.loads(value)
        tried = {at: (count, by) for at, (count, by) in found["tried"].items()}
        return cls(found["until"], tried, tuple(found.get("aside", ())), found.get("tried_at", 0.0))

    def put(self) -> Put:
        """The write that leaves this mark."""
        return Put(TRIES, json.dumps(asdict(self)).encode())

    def after(self, offsets: Offsets) -> Write:
        """The write that belongs to a commit up to ``offsets``: this mark, or what is left of it without suspicion."""
        if not self.passed(offsets):
            return self.put()
        lately = self.lately(offsets)
        return Mark(aside=lately).put() if lately else Delete(TRIES)

    def passed(self, offsets: Offsets) -> bool:
        """Whether all that was begun is decided."""
        return all(offsets.get(place, 0) >= end for place, end in self.until.items())

    def suspected(self, records: Sequence[Record]) -> tuple[list[Record], list[Record]]:
        """Those of ``records`` that may be what ended a process, and the others."""
        suspects: list[Record] = []
        others: list[Record] = []
        for record in records:
            suspect = record.origin.offset < self.until.get(_place(record.origin), 0)
            (suspects if suspect else others).append(record)
        return suspects, others

    def begun(self, records: Sequence[Record]) -> Mark:
        """This mark with a batch that is begun."""
        until = dict(self.until)
        for record in records:
            place = _place(record.origin)
            until[place] = max(until.get(place, 0), record.origin.offset + 1)
        return replace(self, until=until)

    def verdict(self, record: Record, process: str, offsets: Offsets, now: float, most_aside: int) -> Verdict:
        """What ``process`` shall do with a suspect: try it alone, lead it aside, or stand where too many were."""
        count, by = self.tried.get(str(record.origin), (0, ""))
        if count < MOST or by == process:
            return "try"
        if len(self.lately(offsets)) < most_aside:
            return "aside"
        return "try" if passed(self.tried_at, now) >= REST_S else "stand"

    def trying(self, record: Record, process: str, now: float) -> Mark:
        """This mark with ``record`` alone begun by ``process``."""
        count, by = self.tried.get(str(record.origin), (0, ""))
        tried = {**self.tried, str(record.origin): (count + (by != process), process)}
        return replace(self, tried=tried, tried_at=now)

    def decided(self, record: Record) -> Mark:
        """This mark once ``record`` is decided."""
        return replace(self, tried={at: tried for at, tried in self.tried.items() if at != str(record.origin)})

    def led_aside(self, record: Record, offsets: Offsets) -> Mark:
        """This mark once ``record`` is led aside."""
        return replace(self.decided(record), aside=(*self.lately(offsets), str(record.origin)))

    def lately(self, offsets: Offsets) -> tuple[str, ...]:
        """What was led aside of the last ``WINDOW`` records before ``offsets`` of each topic."""
        origins = map(Origin.parse, self.aside)
        return tuple(str(at) for at in origins if offsets.get(_place(at), 0) - at.offset <= WINDOW)


def poisoned(record: Record) -> BadEvent:
    """Why ``record`` is led aside."""
    return BadEvent(
        f"{MOST} processes ended while they decided {record.origin} alone; mend what their logs say, then retry",
        "poison",
    )


def too_many(shard: Shard, record: Record, most_aside: int) -> TooManyPoisons:
    """Why ``shard`` stands at ``record``."""
    return TooManyPoisons(
        f"{shard}: {record.origin} ends each process, and poison_limit ({most_aside}) of the last {WINDOW:,} records "
        f"were led aside for that; roll back what is new, or raise the limit; tried again after {REST_S / 60:.0f} min"
    )


def _place(origin: Origin) -> str:
    return f"{origin.topic}/{origin.partition}"

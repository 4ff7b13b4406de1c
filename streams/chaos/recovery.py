"""How long until a role works again: from the end of a fault to the first outcome that was published after it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from schemas import topics
from schemas.topics import Topic
from streams.engines.broker import Broker

Kind = Literal["restart", "takeover", "outage", "upgrade", "cold"]
OUTCOME: Mapping[str, Topic] = {
    "session": topics.PREDICTION,
    "curate": topics.TRAIN_REQUEST,
    "worker": topics.TRAIN_STEP,
}
GRACE_MS = 50  # what a dead process had sent may still be appended for so long; no process begins its work sooner


class Recovery(NamedTuple):
    """``role`` published its next outcome ``seconds`` after the end of a fault.

    ``restart``: the same instance was started again. ``takeover``: another one took its partitions, so that the session
    timeout is part of it. ``outage``: the role lived, and a server was away. ``upgrade``: another version of the code
    was started in its place. ``cold``: with all that it imports.
    """

    kind: Kind
    role: str
    seconds: float


class Watch:
    """Looks for the first outcome of ``role`` after ``at_s`` (epoch seconds), by the log's own append times."""

    def __init__(
        self, broker: Broker, role: str, tenant: str, at_s: float, partitions: Collection[int] | None = None
    ) -> None:
        self._broker, self._topic, self._tenant, self._at_s = broker, OUTCOME[role].name, tenant, at_s
        places: Collection[int] = range(broker.partitions()[self._topic])
        if partitions is not None and OUTCOME[role].per_session:  # written in the partition that it is the outcome of
            places = partitions
        self._next = {place: self._begin(place) for place in places}

    def seconds(self) -> float | None:
        """From ``at_s`` to that outcome; None: there is none yet. Raises BrokerError."""
        found: list[int] = []
        for partition, begun in self._next.items():
            _, end = self._broker.ends(self._topic, partition)
            for record in self._broker.read(self._topic, partition, begun, end):
                ours = record.header("ce_tenant") == self._tenant
                if ours and record.timestamp_ms > self._at_s * 1000 + GRACE_MS:
                    found.append(record.timestamp_ms)
                    break
            self._next[partition] = end
        return min(found) / 1000 - self._at_s if found else None

    def _begin(self, partition: int) -> int:
        return self._broker.offset_at(self._topic, partition, int(self._at_s * 1000))


def quantiles(seconds: Sequence[float]) -> dict[str, float | int]:
    """How many, the median and the 95th percentile (linear between ranks); of none nothing but the count."""
    if not seconds:
        return {"n": 0}
    p50, p95 = np.quantile(np.asarray(seconds), (0.5, 0.95))
    return {"n": len(seconds), "p50": round(float(p50), 3), "p95": round(float(p95), 3)}


def by_kind(found: Iterable[Recovery]) -> dict[str, object]:
    """Quantiles of all, and of each kind that there is."""
    listed = list(found)
    kinds = sorted({one.kind for one in listed})
    return {
        **quantiles([one.seconds for one in listed]),
        **{kind: quantiles([one.seconds for one in listed if one.kind == kind]) for kind in kinds},
    }

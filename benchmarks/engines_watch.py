"""What an onlooker can say of a contestant: CPU and memory from the kernel, progress and latency from the log."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contestants.work import READS, WRITES
from schemas import codec
from schemas.prediction import Prediction
from streams.engines.broker import Broker

WARM = 0.1  # of a backlog, during which caches fill and connections open


@dataclass(frozen=True, slots=True)
class Sample:
    """At a moment: outputs in the log, and the CPU that the process has used."""

    at_s: float
    outputs: int
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast, and for how much CPU, over the last ``events``."""

    per_s: float
    cpu_us: float
    events: int


@dataclass(frozen=True, slots=True)
class Measured:
    """One contestant in one round. Latencies in milliseconds, at the fixed rate; ``twice`` outputs came again."""

    backlog: Pace
    live: Pace
    rss_mb: float
    p50_ms: float
    p99_ms: float
    twice: int = 0


def cpu_s(pid: int, proc: Path = Path("/proc")) -> float:
    """User and system CPU seconds of a process, all its threads, those that have ended too (proc(5), stat)."""
    fields = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pace(samples: Sequence[Sample], events: int, warm: float = WARM) -> Pace:
    """From the first sample with ``warm`` of ``events`` behind it to the first with all; if all came between two
    samples, from the last before. ``samples`` end with one that has all."""
    last = next(sample for sample in samples if sample.outputs >= events)
    before = [sample for sample in samples if sample.outputs < events]
    first = next((sample for sample in before if sample.outputs >= warm * events), before[-1])
    done = last.outputs - first.outputs
    return Pace(done / (last.at_s - first.at_s), 1e6 * (last.cpu_s - first.cpu_s) / done, done)


def outputs(broker: Broker, partitions: int) -> int:
    """How many there are, on a topic that was made for this."""
    return sum(broker.ends(WRITES.name, partition)[1] for partition in range(partitions))


def latencies(broker: Broker, partitions: int, starts: Mapping[int, int]) -> tuple[list[int], int]:
    """Milliseconds from the log's receipt of an interaction to its receipt of the first answer, of the interactions
    from ``starts`` on (by partition), in the order of sending; and how many answers came again.

    Both times are the broker's. Raises BrokerError, KeyError: an interaction has no answer.
    """
    answered: dict[str, int] = {}
    twice = 0
    for partition in range(partitions):
        for record in broker.read(WRITES.name, partition, 0, broker.ends(WRITES.name, partition)[1]):
            data = codec.decode(WRITES, record.headers, record.value).data
            assert isinstance(data, Prediction)
            twice += data.interaction in answered
            answered.setdefault(data.interaction, record.timestamp_ms)
    asked = [
        (record.timestamp_ms, answered[record.header("ce_id") or ""])
        for partition, start in starts.items()
        for record in broker.read(READS.name, partition, start, broker.ends(READS.name, partition)[1])
    ]
    return [after - before for before, after in sorted(asked)], twice


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` of ``values`` do not exceed."""
    ordered = sorted(values)
    return ordered[max(-(-len(ordered) * round(share * 1000) // 1000), 1) - 1]

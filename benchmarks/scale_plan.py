"""What a deployment of many learners needs: events, processes, partitions, memory, disks, money. Arithmetic alone.

What is measured comes from a run (``Figures``), what nobody can measure beforehand is assumed and named
(``Assumptions``), and each row of the plan says how it follows from both.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import Field, asdict, dataclass, field, fields, replace
from math import ceil, inf
from pathlib import Path
from typing import NamedTuple

from schemas import topics
from schemas.errors import ConfigurationError

MEASURED = Path(__file__).with_name("scale_figures.json")
DAYS_PER_MONTH, HOURS_PER_MONTH, GB = 30.4, 730.0, 1e9
DIVISORS = ("class_size", "school_hours", "busy", "takeover_s", "redis_gb")  # assumptions that may not be 0
FRAME = 61  # bytes of a Kafka record batch beside its records (KIP-98): a record that an app sends alone has its own


def _assumed(value: float, why: str) -> float:
    found: float = field(default=value, metadata={"why": why})
    return found


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What is assumed of schools, experts, servers and prices; each field says what it is, and after a colon why."""

    class_size: float = _assumed(
        22, "learners in a class: OECD, Education at a Glance 2021, 21 in primary and 23 in lower secondary school"
    )
    lessons: float = _assumed(1, "observed lessons of a learner a school day: one subject")
    utterances: float = _assumed(416, "sentences a lesson: TalkMoves, 166,420 in 400 lessons")
    labelled: float = _assumed(0.001, "share of utterances that an expert labels: one in a thousand")
    said_no_or_yes: float = _assumed(1, "share of learners of whom a word on consent is stored")
    school_days: float = _assumed(5 / 7, "share of days with school: five of seven")
    school_hours: float = _assumed(6, "hours a day over which lessons are spread")
    peak: float = _assumed(2, "busiest second over the mean of school hours")
    horizon_days: float = _assumed(topics.JOIN_HORIZON_DAYS, "days that a prediction waits for feedback: the setting")
    busy: float = _assumed(0.6, "most that a core, a shard's memory or a disk may be used")
    takeover_s: float = _assumed(60, "seconds in which a new owner of curate has read its shard")
    redis_gb: float = _assumed(64, "memory of one Redis primary")
    copies_redis: float = _assumed(2, "primary and one replica")
    copies_kafka: float = _assumed(3, "replication factor")
    per_vcpu_hour: float = _assumed(0.05, "money a core and hour: put in your own")
    per_memory_gb_month: float = _assumed(4.0, "money a GB of memory and month: put in your own")
    per_disk_gb_month: float = _assumed(0.10, "money a GB of disk and month: put in your own")

    @classmethod
    def of(cls, given: Iterable[str]) -> Assumptions:
        """The assumptions with those of ``given``, ``NAME=NUMBER``, changed. Raises ConfigurationError."""
        known, changed = {one.name for one in fields(cls)}, dict[str, float]()
        for text in given:
            name, _, value = text.partition("=")
            if name not in known:
                raise ConfigurationError(f"--assume {name}: there is no such assumption; there are {', '.join(known)}")
            try:
                changed[name] = float(value)
            except ValueError as error:
                raise ConfigurationError(f"--assume {text}: expected {name}=NUMBER") from error
            least = "above 0" if name in DIVISORS else "of 0 or more"
            if not 0 <= changed[name] < inf or (name in DIVISORS and not changed[name]):
                raise ConfigurationError(f"--assume {text}: expected a number {least}")
        return replace(cls(), **changed)


@dataclass(frozen=True, slots=True)
class Figures:
    """What a run has measured. ``_us``: CPU microseconds an event, by who spends them; ``_bytes``: in Redis, of one
    entry; ``_log``: on a broker's disk, of one event, the last three of one example learned from or one step."""

    score_us: float
    score_redis_us: float
    score_kafka_us: float
    join_us: float
    join_redis_us: float
    join_kafka_us: float
    curate_us: float
    curate_redis_us: float
    curate_kafka_us: float
    fold_us: float
    foreign_us: float
    context_bytes: float
    pending_bytes: float
    feedback_bytes: float
    labels_bytes: float
    example_bytes: float
    consent_bytes: float
    interaction_log: float
    feedback_log: float
    prediction_log: float
    example_log: float
    request_log: float
    resident_bytes: float
    ready_s_per_million: float

    @classmethod
    def read(cls, path: Path = MEASURED) -> Figures:
        """The figures in ``path``: those of a run that was printed with ``--json``, or of the last one that was kept.

        Raises ConfigurationError.
        """
        try:
            text = path.read_text("utf-8")
            found = json.loads(text.strip().splitlines()[-1] if "\n{" in text.strip() else text)
            return cls(**(found.get("figures") or found))
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise ConfigurationError(f"{path} holds no figures; write there what `--json` prints: {error}") from error

    def rounded(self) -> dict[str, float]:
        """All of them, to be kept."""
        return {name: round(value, 3) for name, value in asdict(self).items()}


class Row(NamedTuple):
    """One line of a plan."""

    name: str
    value: float
    unit: str
    how: str


def events(learners: float, assumed: Assumptions) -> dict[str, float]:
    """Of a school day the lessons, interactions and labels; and a second of each at the peak."""
    lessons = learners / assumed.class_size * assumed.lessons
    interactions = lessons * assumed.utterances
    labels = interactions * assumed.labelled
    at_peak = assumed.peak / (assumed.school_hours * 3600)
    return {
        "lessons": lessons,
        "interactions": interactions,
        "labels": labels,
        "interactions_s": interactions * at_peak,
        "labels_s": labels * at_peak,
    }


def redis_bytes(learners: float, assumed: Assumptions, figures: Figures) -> dict[str, float]:
    """What Redis holds by kind: everything stays for the join horizon, a word on consent for ever."""
    day = events(learners, assumed)
    kept = assumed.horizon_days * assumed.school_days
    return {
        "predictions that wait for labels": day["interactions"] * kept * figures.pending_bytes,
        "contexts of sessions": day["lessons"] * kept * figures.context_bytes,
        "feedback and labels": day["labels"] * kept * (figures.feedback_bytes + figures.labels_bytes),
        "digests of examples": day["labels"] * kept * figures.example_bytes,
        "consent": learners * assumed.said_no_or_yes * figures.consent_bytes,
    }


def log_bytes(learners: float, assumed: Assumptions, figures: Figures) -> dict[str, float]:
    """What the topics hold by name, one copy; of those that are kept for ever, after a year."""
    day = events(learners, assumed)
    taken = {
        topics.INTERACTION: day["interactions"] * figures.interaction_log,
        topics.PREDICTION: day["interactions"] * figures.prediction_log,
        topics.FEEDBACK: day["labels"] * figures.feedback_log,
        topics.EXAMPLE: day["labels"] * figures.example_log,
        topics.TRAIN_REQUEST: day["labels"] * figures.request_log,
    }
    days = {topic: 365 if topic.days == topics.FOREVER else topic.days for topic in taken}
    days[topics.INTERACTION] = days[topics.PREDICTION] = ceil(assumed.horizon_days) + 7
    return {topic.name: daily * days[topic] * assumed.school_days for topic, daily in taken.items()}


def cores(learners: float, assumed: Assumptions, figures: Figures) -> dict[str, float]:
    """The cores that are at work at the peak, by whose."""
    day = events(learners, assumed)
    said, judged = day["interactions_s"] / 1e6, day["labels_s"] / 1e6
    return {
        "session": said * figures.score_us + judged * figures.join_us,
        "curate": judged * figures.curate_us,
        "worker": judged * figures.fold_us,
        "Redis": said * figures.score_redis_us + judged * (figures.join_redis_us + figures.curate_redis_us),
        "Kafka": (said * figures.score_kafka_us + judged * (figures.join_kafka_us + figures.curate_kafka_us))
        * assumed.copies_kafka,
    }


def plan(learners: float, assumed: Assumptions, figures: Figures) -> list[Row]:
    """Every line of the plan for ``learners``."""
    day, used = events(learners, assumed), cores(learners, assumed, figures)
    memory = sum(redis_bytes(learners, assumed, figures).values())
    disk = sum(log_bytes(learners, assumed, figures).values()) * assumed.copies_kafka
    shards = max(ceil(memory / (assumed.redis_gb * GB * assumed.busy)), ceil(used["Redis"] / assumed.busy), 1)
    resident = day["labels"] * assumed.horizon_days * assumed.school_days + learners * assumed.said_no_or_yes
    reading = resident / 1e6 * figures.ready_s_per_million
    tenants = max(ceil(max(used["curate"], used["worker"]) / assumed.busy), ceil(reading / assumed.takeover_s), 1)
    others = (tenants - 1) * day["interactions_s"] / 1e6 * figures.foreign_us
    sessions = tenants * max(ceil((used["session"] + others) / tenants / assumed.busy), 1)
    partitions = power_of_two(max(2 * sessions, 4 * shards))
    servers = sum(max(ceil(used[name] / assumed.busy), 1) for name in ("Redis", "Kafka"))
    paid = sessions + 2 * tenants + servers
    provided = {"cores": paid * HOURS_PER_MONTH * assumed.per_vcpu_hour,
                "memory": memory / GB / assumed.busy * assumed.copies_redis * assumed.per_memory_gb_month,
                "disk": disk / GB / assumed.busy * assumed.per_disk_gb_month}  # fmt: skip
    return [
        Row("lessons a day", day["lessons"], "", "learners / class_size · lessons"),
        Row("interactions a day", day["interactions"], "", "lessons · utterances"),
        Row("interactions at the peak", day["interactions_s"], "/s", "over school_hours, times peak"),
        Row("labels a day", day["labels"], "", "interactions · labelled"),
        Row("labels at the peak", day["labels_s"], "/s", "as interactions"),
        Row("session cores at work", used["session"], "", "interactions · score_us + labels · join_us"),
        Row("curate cores at work", used["curate"], "", "labels · curate_us"),
        Row("worker cores at work", used["worker"], "", "labels · fold_us"),
        Row("worker shards", tenants, "models", "curate and worker keep pace, and a shard is read in takeover_s"),
        Row("cores that pass over others' events", others, "", "interactions · foreign_us for each other on one Kafka"),
        Row("session processes", sessions, "", "for both of these, a core each, busy at most; as many a shard"),
        Row("Redis cores at work", used["Redis"], "", "by the same events"),
        Row("Redis memory", memory / GB, "GB", "what waits, for horizon_days"),
        Row("Redis Cluster shards", shards, "primaries", "memory / (redis_gb · busy), or cores if those are more"),
        Row("partitions", partitions, "", "2 a session process and 4 a Redis shard, the next power of two"),
        Row("Kafka cores at work", used["Kafka"], "", "by the same events, times copies_kafka"),
        Row("Kafka disk", disk / GB, "GB", "events · days kept · copies_kafka; train requests of a year"),
        Row("curate memory", resident * figures.resident_bytes / GB, "GB", "all shards: what the horizon holds"),
        Row("curate ready in", reading / tenants, "s", "all of its shard is read"),
        Row("cores paid for", paid, "", "one a session process, a curate, a worker; Redis and Kafka at work / busy"),
        Row("money for cores", provided["cores"], "a month", "cores paid for · HOURS · per_vcpu_hour"),
        Row("money for memory", provided["memory"], "a month", "Redis memory / busy · copies_redis"),
        Row("money for disks", provided["disk"], "a month", "Kafka disk / busy"),
        Row("money", sum(provided.values()), "a month", "all three"),
        Row("money a learner", 12 * sum(provided.values()) / learners, "a year", "times 12, over learners"),
    ]  # fmt: skip


def power_of_two(least: float) -> int:
    """The smallest power of two that is not below ``least``."""
    return int(2 ** (ceil(least) - 1).bit_length()) if least > 1 else 1


def assumed_rows(assumed: Assumptions) -> list[tuple[str, float, str]]:
    """Each assumption, its value, and why; of another value than ours only what it is."""
    values = asdict(assumed)
    return [(one.name, values[one.name], _why(one, values[one.name])) for one in fields(assumed)]


def _why(one: Field[float], value: float) -> str:
    why = str(one.metadata["why"])
    return why if value == one.default else f"{why.partition(': ')[0]}: as given"


def shown(value: float) -> str:
    """A number with three digits that count, thousands apart; what is counted in full."""
    if isinstance(value, int):
        return f"{value:,}"
    if value == 0 or abs(value) >= 100:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.3g}"


def as_json(rows: Iterable[Row]) -> Mapping[str, object]:
    """The plan as one object."""
    return {row.name: {"value": row.value, "unit": row.unit, "how": row.how} for row in rows}

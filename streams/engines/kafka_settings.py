"""How the Kafka engine's consumer is set, in librdkafka's names."""

from __future__ import annotations

from schemas.topics import MAX_MESSAGE_BYTES
from streams.engines.engine import EngineSettings


def consumer_settings(settings: EngineSettings) -> dict[str, object]:
    """The settings of a consumer of ``settings.group`` that begins where it is told to, and never anywhere else."""
    return {
        **_membership(settings),
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "max.poll.interval.ms": 300_000,
        "topic.metadata.refresh.interval.ms": int(settings.refresh_s * 1_000),
        "fetch.wait.max.ms": 50,
        "check.crcs": True,  # else a bit that flipped on the broker's disk is read as if it had been sent so
        "fetch.message.max.bytes": MAX_MESSAGE_BYTES,
        "queued.max.messages.kbytes": 16_384,
        "statistics.interval.ms": 2_000,
    }


def _membership(settings: EngineSettings) -> dict[str, object]:
    chosen: dict[str, object] = {"group.id": settings.group, "group.protocol": settings.group_protocol}
    if settings.instance:
        chosen["group.instance.id"] = settings.instance
    if settings.group_protocol == "consumer":
        return chosen | {"group.remote.assignor": "range"}
    session_ms = settings.session_timeout_ms or 10_000
    return chosen | {
        "partition.assignment.strategy": "range",
        "session.timeout.ms": session_ms,
        "heartbeat.interval.ms": min(3_000, session_ms // 3),
    }

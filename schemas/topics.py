"""Every topic, once: name, key, how long it is kept, what it holds."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.drift import Consent, Drift
from schemas.event import Data
from schemas.feedback import Feedback
from schemas.interaction import Interaction
from schemas.model import Checkpoint, Delta, Release
from schemas.prediction import DeadLetter, Example, Fate, Prediction
from schemas.resolution import Resolution
from schemas.training import TrainRequest, TrainStep

MAX_VALUE_BYTES = 900_000  # below Kafka's default message.max.bytes of 1,048,588 with room for headers
MAX_MESSAGE_BYTES = 2_000_000  # of our own topics: a dead letter carries its value in base64
JOIN_HORIZON_DAYS = 45
DEAD_LETTER_DAYS = 30
FOREVER = -1


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic. ``days`` is its retention; ``per_session``: it has the tenant's partition count, otherwise one."""

    name: str
    holds: type[Data]
    key: str
    days: int
    per_session: bool
    purpose: str
    bulk: bool = False  # value is safetensors with a JSON manifest, not JSON

    @property
    def retention_ms(self) -> int:
        """Kafka's ``retention.ms``; -1 keeps for ever."""
        return self.days if self.days == FOREVER else self.days * 86_400_000


def _topic(holds: type[Data], key: str, days: int, purpose: str, *, per_session: bool, bulk: bool = False) -> Topic:
    return Topic(holds.TYPE, holds, key, days, per_session, purpose, bulk)


INTERACTION = _topic(Interaction, "session", JOIN_HORIZON_DAYS + 7, "utterances and attempts", per_session=True)
FEEDBACK = _topic(Feedback, "session", 180, "experts' judgements", per_session=True)
PREDICTION = _topic(Prediction, "session", JOIN_HORIZON_DAYS + 7, "the model's outputs", per_session=True)
FATE = _topic(Fate, "of its input", 30, "inputs led nowhere, with the reason", per_session=True)
EXAMPLE = _topic(Example, "model", 180, "judgements joined to what they judge", per_session=False)
TRAIN_REQUEST = _topic(TrainRequest, "model", FOREVER, "what the model is folded from", per_session=False, bulk=True)
TRAIN_STEP = _topic(TrainStep, "model", 90, "the record of each step", per_session=False)
DRIFT = _topic(Drift, "model", 90, "changes seen in the stream", per_session=False)
DELTA = _topic(Delta, "model", 7, "entries changed, for consumers that keep up", per_session=False, bulk=True)
CHECKPOINT = _topic(Checkpoint, "model", 365, "whole snapshots by claim check", per_session=False)
RELEASE = _topic(Release, "model", FOREVER, "which lineage a channel names", per_session=False)
RESOLUTION = _topic(
    Resolution, "letter", DEAD_LETTER_DAYS + 7, "what operators decided about dead letters", per_session=False
)
CONSENT = _topic(Consent, "learner", FOREVER, "whom we may learn from", per_session=False)

EVENTS = (
    INTERACTION, FEEDBACK, PREDICTION, EXAMPLE, TRAIN_REQUEST, TRAIN_STEP, DELTA, CHECKPOINT, RELEASE, DRIFT,
    CONSENT, FATE, RESOLUTION,
)  # fmt: skip


def dlq(topic: Topic) -> Topic:
    """The dead letters of ``topic``: as many partitions, thirty days."""
    purpose = f"records of {topic.name} that could not be used"
    return Topic(f"{topic.name}.dlq", DeadLetter, "of its input", DEAD_LETTER_DAYS, topic.per_session, purpose)


INPUTS = (INTERACTION, FEEDBACK, EXAMPLE, TRAIN_REQUEST, CONSENT)
DEAD_LETTERS = tuple(map(dlq, INPUTS))
ALL = (*EVENTS, *DEAD_LETTERS)
BY_NAME = {topic.name: topic for topic in ALL}

"""Every role, once: what it reads, what it writes, who decides."""

from __future__ import annotations

from dataclasses import dataclass

from schemas import topics
from schemas.topics import Topic, dlq


@dataclass(frozen=True, slots=True)
class Role:
    """A role's place in the stream. Its inputs have one partition count, and one owner has a partition of all."""

    name: str
    reads: tuple[Topic, ...]
    writes: tuple[Topic, ...]
    does: str

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of what it reads."""
        return tuple(topic.name for topic in self.reads)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what it writes, dead letters of its inputs among them."""
        return tuple(topic.name for topic in (*self.writes, *map(dlq, self.reads)))


ROLES = {
    role.name: role
    for role in (
        Role(
            "session",
            reads=(topics.INTERACTION, topics.FEEDBACK),
            writes=(topics.PREDICTION, topics.EXAMPLE, topics.FATE),
            does="scores interactions, joins feedback to them",
        ),
        Role(
            "curate",
            reads=(topics.EXAMPLE, topics.CONSENT),
            writes=(topics.TRAIN_REQUEST, topics.DRIFT, topics.FATE),
            does="judges examples, keeps replay memory, composes train requests",
        ),
        Role(
            "worker",
            reads=(topics.TRAIN_REQUEST,),
            writes=(topics.TRAIN_STEP, topics.DELTA, topics.CHECKPOINT),
            does="folds train requests into the model",
        ),
    )
}

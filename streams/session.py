"""The session role: owns a partition of interactions and of feedback on them, scores the first and joins the second."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from learners.tasks import Task, check_label
from schemas import topics
from schemas.codec import encode
from schemas.errors import UnusableEvent
from schemas.event import Data, Event
from schemas.feedback import Feedback, Label, Retraction
from schemas.interaction import Interaction
from schemas.prediction import Work
from state.pending import (
    Early,
    Pending,
    context_key,
    early_key,
    feedback_key,
    interaction_key,
    labels_key,
    taken_back_key,
)
from state.store import Put
from streams import shedding
from streams.join import Desk
from streams.label import expire_early, release_early, take_feedback
from streams.message import Record
from streams.processor import Batch, Input, Plan, conflict_or_repeat, event_digest
from streams.score import Predictor, Scoring, contexts, pending_of, prediction_event, published_prediction, score
from streams.shedding import Shedding

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
MOST_AHEAD_S = 86_400.0


def screen(tasks: Mapping[str, Task]) -> Callable[[Event[Data], Record], None]:
    """A check of what is well-formed but cannot be: times, tasks and classes. Raises UnusableEvent."""

    def check(event: Event[Data], record: Record) -> None:
        time = event.envelope.time
        if time < EARLIEST or time.timestamp() > record.timestamp_ms / 1000 + MOST_AHEAD_S:
            raise UnusableEvent(f"ce_time {time.isoformat()} is before 2000 or more than a day ahead of its arrival")
        if isinstance(event.data, Feedback) and isinstance(event.data.judgement, Label):
            judgement = event.data.judgement
            if judgement.task not in tasks:
                known = ", ".join(sorted(tasks))
                raise UnusableEvent(f"task {judgement.task!r} is not known; known are {known}")
            check_label(tasks[judgement.task], judgement.value)

    return check


@dataclass(frozen=True)
class Session:
    """The processor of the session role. ``predictor`` gives the model that serves now; a batch uses one model."""

    scoring: Scoring
    predictor: Callable[[], Predictor]
    resident: bool = False
    quoted: tuple[str, ...] = (topics.PREDICTION.name,)

    def keys(self, batch: Batch) -> Sequence[str]:
        """What the store may hold about the events of ``batch`` and what is due."""
        keys = [shedding.KEY, *batch.due]
        for input_ in batch.inputs:
            match input_.event.data:
                case Interaction(session=session):
                    id_ = input_.event.id
                    keys += (interaction_key(id_), early_key(id_), context_key(session))
                case Feedback() as data:
                    keys += _feedback_keys(input_.event.id, data)
        return keys

    def prepare(self, values: Mapping[str, bytes]) -> None:
        """Nothing: it is given no more than it names."""

    def run(self, batch: Batch, values: Mapping[str, bytes]) -> Plan:
        """Score the interactions, then join the feedback, then end what waited too long. What is optional is left out
        while the partition is behind."""
        rules = self.scoring
        desk = Desk(
            values=values,
            sent=batch.sent,
            now=batch.now,
            horizon_s=rules.horizon_s,
            model=rules.model,
            scales=rules.scales,
        )
        load = self._shedding(desk, batch)
        self._score(desk, batch, load.shed)
        for input_ in batch.inputs:
            if isinstance(input_.event.data, Feedback):
                _take(desk, input_, input_.event.data)
        for key in batch.due:
            _expire(desk, key)
        return Plan(tuple(desk.writes.values()), desk.outputs, desk.adopted, load.gauges())

    def _shedding(self, desk: Desk, batch: Batch) -> Shedding:
        """What is left out of this batch; remembered while there is anything."""
        before = Shedding.from_bytes(desk.get(shedding.KEY))
        load = shedding.decided(before, batch, topics.INTERACTION.name, self.scoring.shed_after_s)
        if load.level and load != before:
            desk.put(shedding.KEY, load.to_bytes())
        elif before.level and not load.level:
            desk.delete(shedding.KEY)
        return load

    def _score(self, desk: Desk, batch: Batch, shed: tuple[Work, ...]) -> None:
        fresh: list[tuple[Input, Interaction]] = []
        digests: dict[str, str] = {}
        for input_ in batch.inputs:
            if isinstance(input_.event.data, Interaction):
                before = digests.get(input_.event.id) or _stored_digest(desk, input_.event.id)
                if before is None:
                    digests[input_.event.id] = event_digest(input_)
                    fresh.append((input_, input_.event.data))
                else:
                    desk.publish(conflict_or_repeat(input_, before))
        seen, after = contexts(fresh, desk.values, self.scoring.turns)
        predictor = self.predictor()
        anew = [i for i, (input_, _) in enumerate(fresh) if input_.origin not in desk.sent]
        outputs = dict(zip(anew, predictor.predict([seen[i] for i in anew]) if anew else [], strict=True))
        for i, (input_, _) in enumerate(fresh):
            prediction = published_prediction(desk.sent.get(input_.origin, ()))
            if i in outputs:
                said = score(input_.event.id, seen[i], outputs[i], predictor.version, self.scoring, shed)
                prediction = encode(said)
                desk.publish(prediction_event(input_, said, prediction))
            if prediction is not None:  # else an earlier owner led it elsewhere
                pending = pending_of(input_, digests[input_.event.id], seen[i], prediction)
                desk.put(interaction_key(input_.event.id), pending, desk.now + desk.horizon_s)
                release_early(desk, input_.event.id)
        for session, context in after.items():
            desk.put(context_key(session), encode(context), desk.now + desk.horizon_s)


def _feedback_keys(id_: str, data: Feedback) -> tuple[str, ...]:
    keys = (
        feedback_key(id_),
        interaction_key(data.interaction),
        labels_key(data.interaction),
        early_key(data.interaction),
        taken_back_key(id_),
    )
    if isinstance(data.judgement, Retraction):
        taken_back = data.judgement.feedback
        return (*keys, feedback_key(taken_back), taken_back_key(taken_back))
    return keys


def _take(desk: Desk, input_: Input, data: Feedback) -> None:
    envelope, record = input_.event.envelope, input_.record
    early = Early(
        id=envelope.id,
        origin=str(input_.origin),
        digest=event_digest(input_),
        time_s=envelope.time.timestamp(),
        arrived_ms=record.timestamp_ms,
        due=desk.now + desk.horizon_s,
        data=data,
    )
    take_feedback(desk, early, input_)


def _expire(desk: Desk, key: str) -> None:
    if key.startswith(("e:", "r:")):
        expire_early(desk, key)
    elif not isinstance(desk.writes.get(key), Put):  # this batch has made it new
        desk.delete(key)
        if key.startswith("i:"):
            desk.delete(labels_key(key.removeprefix("i:")))


def _stored_digest(desk: Desk, id_: str) -> str | None:
    stored = desk.get(interaction_key(id_))
    return Pending.model_validate_json(stored).digest if stored else None

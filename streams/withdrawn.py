"""What has been taken back since it was learned: it stays in the model until the log is folded without it."""

from __future__ import annotations

from collections.abc import Callable

from schemas import codec, topics
from schemas.drift import Consent
from schemas.errors import BadEvent
from schemas.prediction import Example
from schemas.training import TrainExample
from streams.engines.broker import Broker
from streams.ledger import ends_of, read_all


def withdrawn(broker: Broker, tenant: str, model: str) -> Callable[[TrainExample], str]:
    """Of an example, why it would not be learned from now, as the topics say: its feedback was retracted, or its
    learner's last word was no. Raises BrokerError."""
    retracted, refused = set[str](), dict[str, bool]()
    for topic in (topics.EXAMPLE, topics.CONSENT):
        ends = ends_of(broker, [topic.name], {})
        for record in read_all(broker, topic.name, ends[topic.name], tenant):
            try:
                data = codec.decode(topic, record.headers, record.value).data
            except BadEvent:
                continue
            match data:
                case Example(kind="retraction", retracts=str(feedback)) if data.model == model:
                    retracted.add(feedback)
                case Consent(learner=learner, granted=granted):
                    refused[learner] = not granted

    def gone(example: TrainExample) -> str:
        if example.feedback in retracted:
            return "retracted"
        return "no consent" if refused.get(example.input.learner or "") else ""

    return gone

"""What one event says that another has said: kept as hashes, so that a quotation can be held against its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import to_json

from streams.hearing import pairs
from streams.ledger import hashed, readable


@dataclass(slots=True)
class Quotes:
    """By the hash of an id: what was predicted of an interaction, the label that a feedback gave, what an example
    says. Of two with one id the first counts, as everywhere."""

    predictions: dict[int, int] = field(default_factory=dict)
    labels: dict[int, int] = field(default_factory=dict)
    examples: dict[int, int] = field(default_factory=dict)

    def prediction(self, value: bytes | None) -> None:
        """Note a published prediction."""
        data = readable(value)
        self.predictions.setdefault(hashed(str(data.get("interaction"))), of_prediction(data, "outputs", "version"))

    def feedback(self, id_: str, value: bytes | None) -> None:
        """Note a feedback, if it is a label."""
        data = readable(value)
        judgement = data.get("judgement")
        if isinstance(judgement, dict) and judgement.get("kind") == "label":
            labels = {str(judgement.get("task")): judgement.get("value")}
            self.labels.setdefault(hashed(id_), _of_label(data, labels))

    def example(self, id_: int, data: Mapping[str, Any]) -> str | None:
        """Note an example; what it misquotes, if anything. A source that the log no longer holds is no evidence."""
        self.examples.setdefault(id_, of_example(data))
        said = self.predictions.get(hashed(str(data.get("interaction"))))
        if said not in (None, of_prediction(data, "predicted", "predicted_by")):
            return "another prediction than the one published of its interaction"
        if data.get("kind") == "label":
            given = self.labels.get(hashed(str(data.get("feedback"))))
            if given not in (None, _of_label(data, data.get("labels"))):
                return "another label than its feedback gave"
        return None

    def is_misquoted(self, id_: int, data: Mapping[str, Any]) -> bool:
        """Whether ``data``, an example inside a request or in the store, is not what the example ``id_`` says."""
        return self.examples.get(id_) not in (None, of_example(data))


def of_prediction(data: Mapping[str, Any], outputs: str, version: str) -> int:
    """The hash of what was said of an interaction and by which version, under the names that ``data`` has for them."""
    return hashed(str(data.get(version)), to_json(data.get(outputs, {})))


def of_example(data: Mapping[str, Any]) -> int:
    """The hash of who said what of which interaction."""
    return hashed(str(data.get("feedback")), str(data.get("interaction")), str(data.get("rater")),
                  _labels(data.get("labels", {})))  # fmt: skip


def _of_label(data: Mapping[str, Any], labels: object) -> int:
    return hashed(str(data.get("interaction")), str(data.get("rater")), _labels(labels))


def _labels(labels: object) -> bytes:
    """Labels in one form: who reads and writes 1 may make it 1.0, which is the same label."""
    plain = {task: float(value) if isinstance(value, int) else value for task, value in pairs(labels)}
    return to_json(plain)

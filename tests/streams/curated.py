"""Examples as the curate role is given them, and what it makes of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from builders import (
    MODEL,
    START_S,
    Room,
    Teller,
    curation,
    event,
)

from learners.entry import Entry
from schemas.envelope import derive_id
from schemas.event import Data, Event
from schemas.interaction import Payload
from schemas.prediction import Example, ExampleInput
from schemas.training import TrainRequest
from streams.aside import CHANCE, uniform
from streams.curate import Curate
from streams.processor import Output
from streams.table import Curation


def room(**more: Any) -> Room:
    """A curate role that has begun its model."""
    here = Room(Curate(curation(**more)))
    here.take()
    return here


def choices(here: Room) -> Curation:
    assert isinstance(here.processor, Curate)
    return here.processor.curation


def example(name: str, at_s: float = START_S, **more: Any) -> Event[Data]:
    """The example of feedback ``name``, under the id that the session role gives it."""
    given: dict[str, Any] = {
        "kind": "label", "model": MODEL, "session": "lesson", "interaction": f"of-{name}", "feedback": name,
        "rater": f"rater-{name}", "labels": {"move": "press"}, "predicted": Teller().outputs("teacher"),
        "importance": 0.5, "arrived_ms": int(START_S * 1000), **more,
    }  # fmt: skip
    if "input" not in given:
        seen = {"session": "lesson", "role": "teacher", "learner": None, "payload": Payload(text=f"sentence {name}")}
        given["input"] = ExampleInput(**{**seen, **{key: given.pop(key) for key in seen if key in more}})
        given["session"] = "lesson"
    return event(Example(**given), derive_id("example", name), at_s)


def take_back(name: str, of: str) -> Event[Data]:
    return example(name, kind="retraction", labels={}, retracts=of)


def requests(outputs: Iterable[Output]) -> list[TrainRequest]:
    return [o.data for o in outputs if isinstance(o.data, TrainRequest) and o.data.kind == "step"]


def new(outputs: Iterable[Output]) -> list[list[str]]:
    """The feedbacks behind the new examples of each request."""
    return [[example.feedback for example in request.new] for request in requests(outputs)]


def remembered(here: Room) -> set[str]:
    """The ids in the index of the memory."""
    return {key[2:] for key in here.shelf.values if key.startswith("m:")}


def payloads(here: Room) -> set[str]:
    return {key[2:] for key in here.shelf.values if key.startswith("p:")}


def ids(*names: str) -> set[str]:
    return {derive_id("example", name) for name in names}


def mark(name: str, of: str, **more: Any) -> Event[Data]:
    """A judgement of the interaction that ``of`` labels, after which ``reasons`` stand."""
    return example(name, kind="judgement", labels={}, interaction=f"of-{of}", **more)


def entries(here: Room) -> dict[str, Entry]:
    """The index of the memory, by id."""
    return {key[2:]: Entry(*json.loads(value)) for key, value in here.shelf.values.items() if key.startswith("m:")}


def aside(outputs: Iterable[Output]) -> list[str]:
    """The feedbacks behind the examples that were set aside."""
    manifests = [o.data for o in outputs if isinstance(o.data, TrainRequest) and o.data.kind == "probe"]
    return [e.feedback for manifest in manifests for e in manifest.new]


SOME = [f"e{n}" for n in range(400)]
WANTED = [name for name in SOME if uniform(f"of-{name}") < CHANCE]

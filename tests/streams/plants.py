"""Violations, each of which a test plants by itself in what a whole run left in topics, store and blobs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from lesson import MODEL, TENANT, Lesson, copied, instead, put, records, with_header, without
from safetensors.numpy import load, save

from learners.request import encode_request, read_weights
from learners.served import Served
from schemas import topics
from schemas.codec import decode, encode
from schemas.envelope import Origin
from schemas.model import Checkpoint, Delta
from schemas.training import TrainRequest
from state.inventory import Holding
from streams.audit import Audit, audit
from streams.engines.memory import MemoryLog
from streams.message import Message, Record
from streams.versions import served_at

REQUESTS, STEPS, DELTAS = topics.TRAIN_REQUEST, topics.TRAIN_STEP, topics.DELTA


@dataclass
class Scene:
    """What the audit reads, to be tampered with."""

    log: MemoryLog
    holdings: list[Holding]
    fetch: Callable[[str], bytes | None]
    lesson: Lesson

    def change(self, record: Record, other: Record | None) -> None:
        """Put ``other`` where ``record`` stands, or nothing."""
        self.log = copied(self.log, without(record) if other is None else instead(record, other))

    def store(self, role: str, change: Callable[[dict[str, bytes]], None]) -> None:
        """Change the values of the first shard of ``role`` that has any of what is looked for."""
        at, one = next((n, h) for n, h in enumerate(self.holdings) if h.shard.role == role)
        values = dict(one.values())
        change(values)
        self.holdings[at] = replace(one, values=lambda: iter(values.items()))

    def shard(self, **fields: object) -> None:
        """Change what the first session shard holds."""
        at, one = next((n, h) for n, h in enumerate(self.holdings) if h.shard.role == "session")
        self.holdings[at] = replace(one, **fields)  # type: ignore[arg-type]  # each of its own type

    def audit(self, *, fold: bool = True) -> Audit:
        return audit(self.log, TENANT, MODEL, holdings=self.holdings, fetch=self.fetch if fold else None)


def renamed(record: Record, name: str) -> Record:
    return with_header(record, "ce_id", name)


def because(record: Record, cause: str) -> Record:
    return with_header(record, "ce_causes", cause)


def saying(record: Record, **fields: object) -> Record:
    return replace(record, value=json.dumps({**json.loads(record.value or b""), **fields}).encode())


def label(log: MemoryLog) -> Record:
    """The example of a label that a request holds."""
    wanted = manifest(steps(log)[2]).new[0].id
    return next(record for record in records(log, topics.EXAMPLE) if record.header("ce_id") == wanted)


def steps(log: MemoryLog) -> list[Record]:
    return [record for record in records(log, REQUESTS) if manifest(record).kind == "step"]


def manifest(record: Record) -> TrainRequest:
    data = decode(REQUESTS, record.headers, record.value).data
    assert isinstance(data, TrainRequest)
    return data


def drop_an_event(scene: Scene) -> None:
    scene.change(records(scene.log, topics.PREDICTION)[7], None)


def double_a_prediction(scene: Scene) -> None:
    put(scene.log, renamed(records(scene.log, topics.PREDICTION)[7], "prediction-again"))


def predict_what_never_was(scene: Scene) -> None:
    put(
        scene.log,
        because(renamed(records(scene.log, topics.PREDICTION)[7], "prediction-of-none"), "edu.interaction.v1/0/99999"),
    )


def apply_a_feedback_twice(scene: Scene) -> None:
    put(scene.log, renamed(label(scene.log), "example-again"))


def invent_an_example(scene: Scene) -> None:
    put(scene.log, because(renamed(label(scene.log), "example-of-nobody"), "edu.feedback.v1/0/99999"))


def misquote_the_prediction(scene: Scene) -> None:
    scene.change(label(scene.log), saying(label(scene.log), predicted_by="lineage:1"))


def misquote_the_label(scene: Scene) -> None:
    labels = json.loads(label(scene.log).value or b"")["labels"]
    scene.change(label(scene.log), saying(label(scene.log), labels=dict.fromkeys(labels, "none-of-it")))


def forge_a_request(scene: Scene) -> None:
    record = steps(scene.log)[2]
    old = manifest(record)
    first = old.new[0].model_copy(update={"labels": {"teacher_move": "restating"}, "rater": "somebody"})
    new = old.model_copy(update={"new": (first, *old.new[1:])})
    scene.change(record, replace(record, value=encode_request(new, read_weights(old, record.value or b""))))


def reorder_two_requests(scene: Scene) -> None:
    one, other = steps(scene.log)[4:6]
    swapped = {one.origin: replace(other, origin=one.origin), other.origin: replace(one, origin=other.origin)}
    scene.log = copied(scene.log, lambda record: swapped.get(record.origin, record))


def drop_a_request_s_step(scene: Scene) -> None:
    scene.change(records(scene.log, STEPS)[5], None)


def step_for_no_request(scene: Scene) -> None:
    nowhere = Origin(REQUESTS.name, 0, scene.log.ends(REQUESTS.name, 0)[1] + 3)
    step = saying(
        records(scene.log, STEPS)[5], request="request-of-nobody", offset=nowhere.offset, applied=False, new=[]
    )
    put(scene.log, because(renamed(step, "step-of-nobody"), str(nowhere)))


def step_twice(scene: Scene) -> None:
    put(scene.log, renamed(records(scene.log, STEPS)[5], "step-again"))


def forge_a_delta(scene: Scene) -> None:
    """Other weights in a delta, and the digest that they really give: it is whole by itself."""
    record = records(scene.log, DELTAS)[4]
    delta = decode(DELTAS, record.headers, record.value).data
    assert isinstance(delta, Delta)
    assert record.value is not None
    tensors = load(record.value)
    rows, values = tensors["embed.rows"], tensors["embed.values"] + np.float16(1)
    before = served_at(scene.log, scene.lesson.blobs, TENANT, MODEL, delta.version)
    embed = before.arrays["embed"].copy()
    embed[rows] = values
    digest = Served(before.settings, before.lineage, delta.b, {**before.arrays, "embed": embed}).digest()
    told = encode(delta.model_copy(update={"digest": digest})).decode()
    scene.change(record, replace(record, value=save({**tensors, "embed.values": values}, metadata={"manifest": told})))


def drop_a_delta(scene: Scene) -> None:
    scene.change(records(scene.log, DELTAS)[4], None)


def claim_another_digest(scene: Scene) -> None:
    record = records(scene.log, topics.CHECKPOINT)[0]
    scene.change(record, saying(record, digest="0" * 64))


def tamper_with_a_snapshot(scene: Scene) -> None:
    def tampered(uri: str) -> bytes | None:
        content = scene.lesson.blobs.look(uri)
        return content and content[:-1] + bytes([content[-1] ^ 1])

    scene.fetch = tampered


def lose_the_newest_snapshot(scene: Scene) -> None:
    newest = decode(topics.CHECKPOINT, *whole_of(records(scene.log, topics.CHECKPOINT)[-1])).data
    assert isinstance(newest, Checkpoint)
    scene.fetch = lambda uri: None if uri == newest.uri else scene.lesson.blobs.look(uri)


def whole_of(record: Record) -> tuple[tuple[tuple[str, bytes | None], ...], bytes | None]:
    return record.headers, record.value


def swap_offsets(scene: Scene) -> None:
    one, other = (f"{topic.name}/0" for topic in (topics.INTERACTION, topics.FEEDBACK))
    offsets = scene.holdings[1].offsets
    assert offsets[one] != offsets[other]
    scene.shard(offsets={one: offsets[other], other: offsets[one]})


def go_back_in_the_store(scene: Scene) -> None:
    scene.shard(offsets={place: offset - 1 for place, offset in scene.holdings[1].offsets.items()})


def let_retention_overtake(scene: Scene) -> None:
    scene.log.expire(topics.INTERACTION.name, 0, 2)
    scene.shard(offsets={**scene.holdings[1].offsets, f"{topics.INTERACTION.name}/0": 1})


def lose_a_shard(scene: Scene) -> None:
    scene.holdings = [held for held in scene.holdings if held.shard.role != "curate"]


def remember_another_model(scene: Scene) -> None:
    def change(values: dict[str, bytes]) -> None:
        key = next(key for key in values if key.startswith("i:"))
        pending = json.loads(values[key])
        pending["prediction"]["version"] = "lineage:77"
        values[key] = json.dumps(pending).encode()

    scene.store("session", change)


def forget_who_waits(scene: Scene) -> None:
    for n, one in enumerate(scene.holdings):
        left = {key: value for key, value in one.values() if not key.startswith("w:")}
        scene.holdings[n] = replace(one, values=lambda left=left: iter(left.items()))  # type: ignore[misc]  # binds now


def replay_what_never_was(scene: Scene) -> None:
    scene.store("curate", lambda values: values.update({"p:example-of-nobody": b"{}", "m:example-of-nobody": b"[]"}))


def replay_another_label(scene: Scene) -> None:
    def change(values: dict[str, bytes]) -> None:
        key = next(key for key in values if key.startswith("p:"))
        values[key] = json.dumps({**json.loads(values[key]), "rater": "somebody"}).encode()

    scene.store("curate", change)


def leave_an_output_unsent(scene: Scene) -> None:
    message = Message(topics.PREDICTION.name, 0, b"s", b"{}", (("ce_id", b"prediction-unsent"),))
    scene.shard(outbox=(message.pack(),))


OF_THE_MODEL = {"fold", "blob", "delta"}
PLANTED: Mapping[str, tuple[Callable[[Scene], None], set[str]]] = {
    "an event whose prediction was dropped": (drop_an_event, {"lost"}),
    "an event that was predicted twice": (double_a_prediction, {"two-outcomes"}),
    "a prediction of an event that never was": (predict_what_never_was, {"unfounded"}),
    "a feedback that was applied twice": (apply_a_feedback_twice, {"two-outcomes"}),
    "an example that nobody's feedback made": (invent_an_example, {"unfounded"}),
    "an example that quotes another version than predicted": (misquote_the_prediction, {"misquoted"}),
    "an example with another label than its feedback gave": (misquote_the_label, {"misquoted"}),
    "a train request with another label than its example": (forge_a_request, {"misquoted", "fold"}),
    "two train requests in each other's place": (reorder_two_requests, {"misplaced", "fold"}),
    "a train request without a step": (drop_a_request_s_step, {"lost"}),
    "a train step for no request": (step_for_no_request, {"unfounded"}),
    "a train request with two steps": (step_twice, {"two-outcomes"}),
    "a forged delta that is whole by itself": (forge_a_delta, {"fold", "delta"}),
    "a missing delta": (drop_a_delta, {"gap"}),
    "a checkpoint with the digest of another model": (claim_another_digest, {"fold", "blob"}),
    "a snapshot of which one bit was flipped": (tamper_with_a_snapshot, {"blob"}),
    "the newest snapshot gone from the blob store": (lose_the_newest_snapshot, {"blob"}),
    "the offsets of two topics swapped in Redis": (swap_offsets, {"store-offset"}),
    "a Redis that went back by one record": (go_back_in_the_store, {"store-offset"}),
    "an input that retention took before it was decided": (let_retention_overtake, {"overtaken"}),
    "a shard that is gone from Redis": (lose_a_shard, {"store-offset"}),
    "a pending prediction in Redis by another version": (remember_another_model, {"store-state"}),
    "a feedback that waits and that Redis has forgotten": (forget_who_waits, {"lost"}),
    "an item of the replay memory that is no example": (replay_what_never_was, {"store-state"}),
    "an item of the replay memory by another rater": (replay_another_label, {"store-state"}),
    "an output that was decided and never sent": (leave_an_output_unsent, {"store-outbox"}),
}

"""The AsyncAPI 3.0 document: every topic as a channel, its messages, who sends and receives, and Kafka's settings."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, models_json_schema
from pydantic_core.core_schema import TaggedUnionSchema

from schemas import topics
from schemas.codec import content_type
from schemas.compatibility import JsonSchema
from schemas.envelope import LONGEST_ATTRIBUTE, SCHEMA_PREFIX
from schemas.prose import CHECKPOINT, DELTA, INFO, SAFETENSORS_VALUE
from schemas.topics import MAX_MESSAGE_BYTES, MAX_VALUE_BYTES, Topic

BINDING = {"bindingVersion": "0.5.0"}
OUTSIDE = ("classroom apps", "experts' tools", "operators", "edge devices")
SESSION, CURATE, WORKER, RELEASE, GATEWAY = "session", "curate", "worker", "release", "gateway"

# Who writes each topic, and who reads it. A role's dead letters are written by whoever reads the topic.
FLOW: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    topics.INTERACTION.name: (("classroom apps", GATEWAY), (SESSION,)),
    topics.FEEDBACK.name: (("experts' tools", GATEWAY), (SESSION,)),
    topics.PREDICTION.name: ((SESSION,), ("classroom apps",)),
    topics.EXAMPLE.name: ((SESSION,), (CURATE,)),
    topics.TRAIN_REQUEST.name: ((CURATE, RELEASE), (WORKER,)),
    topics.TRAIN_STEP.name: ((WORKER,), (RELEASE, "operators")),
    topics.DELTA.name: ((WORKER,), (SESSION, GATEWAY, "classroom apps", "edge devices")),
    topics.CHECKPOINT.name: ((WORKER,), (SESSION, GATEWAY, RELEASE, "classroom apps", "edge devices")),
    topics.RELEASE.name: ((RELEASE,), (SESSION, GATEWAY, "classroom apps", "edge devices")),
    topics.DRIFT.name: ((CURATE,), (RELEASE, "operators")),
    topics.CONSENT.name: (("classroom apps", GATEWAY), (CURATE,)),
    topics.FATE.name: ((SESSION, CURATE), ("operators",)),
    topics.RESOLUTION.name: (("operators",), ("operators",)),
}
KEYS = {
    "session": "the session's id, UTF-8; interactions and feedback of a session share a partition number",
    "model": "the model's name, UTF-8",
    "learner": "the learner's pseudonym, UTF-8",
    "letter": "topic/partition/offset of the record that the dead letter is about, UTF-8",
    "of its input": "the key of the record that it is about, byte for byte",
}
MORE = {topics.DELTA.name: f"\n\n{DELTA}", topics.CHECKPOINT.name: f"\n\n{CHECKPOINT}"}


class PlainJsonSchema(GenerateJsonSchema):
    """JSON Schema alone: without OpenAPI's ``discriminator``, which strict validators refuse."""

    def tagged_union_schema(self, schema: TaggedUnionSchema) -> JsonSchema:
        """The schema of a union whose members say their ``kind``."""
        union = super().tagged_union_schema(schema)
        union.pop("discriminator", None)
        return union


def document(all_topics: Iterable[Topic], examples: Path) -> JsonSchema:
    """The document of ``all_topics``; each message carries the valid examples found under ``examples``.

    It follows the AsyncAPI 3.0.0 specification with Kafka bindings 0.5.0; payloads are AsyncAPI Schema Objects, a
    superset of JSON Schema draft-07, so that any AsyncAPI tool reads them.
    """
    all_topics = tuple(all_topics)
    return {
        "asyncapi": "3.0.0",
        "id": "urn:currere",
        "info": {
            "title": "currere",
            "version": "1.0.0",
            "description": INFO,
            "license": {"name": "Apache 2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic) for topic in all_topics},
        "operations": {name: operation for topic in all_topics for name, operation in _operations(topic)},
        "components": {
            "messages": {_message_name(topic): _message(topic, examples) for topic in all_topics},
            "schemas": _schemas(all_topics),
        },
    }


def flow(topic: Topic) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Who writes ``topic`` and who reads it: roles of this system, and parties outside it."""
    if topic.name in FLOW:
        return FLOW[topic.name]
    readers = FLOW[topic.name.removesuffix(".dlq")][1]
    return tuple(reader for reader in readers if reader not in OUTSIDE), ("operators",)


def _channel(topic: Topic) -> JsonSchema:
    writers, readers = flow(topic)
    count = "the tenant's partition count, the same for all such topics" if topic.per_session else "one partition"
    kept = "for ever" if topic.days == topics.FOREVER else f"{topic.days} days"
    binding: JsonSchema = {
        "topic": topic.name,
        "topicConfiguration": {
            "cleanup.policy": ["delete"],
            "retention.ms": topic.retention_ms,
            "max.message.bytes": MAX_MESSAGE_BYTES,
            "message.timestamp.type": "LogAppendTime",
        },
        **BINDING,
    }
    if not topic.per_session:
        binding["partitions"] = 1
    return {
        "address": topic.name,
        "title": topic.purpose[0].upper() + topic.purpose[1:],
        "description": f"Key: {KEYS[topic.key]}. Partitions: {count}. Kept {kept}. "
        f"Written by {', '.join(writers)}; read by {', '.join(readers)}." + MORE.get(topic.name, ""),
        "messages": {_message_name(topic): {"$ref": f"#/components/messages/{_message_name(topic)}"}},
        "bindings": {"kafka": binding},
    }


def _operations(topic: Topic) -> Iterable[tuple[str, JsonSchema]]:
    writers, readers = flow(topic)
    for action, parties in (("send", writers), ("receive", readers)):
        for role in parties:
            if role not in OUTSIDE:
                yield (
                    f"{role}.{action}.{topic.name}",
                    {
                        "action": action,
                        "channel": {"$ref": f"#/channels/{topic.name}"},
                        "summary": f"The role {role} {action}s {topic.purpose}.",
                        "messages": [{"$ref": f"#/channels/{topic.name}/messages/{_message_name(topic)}"}],
                    },
                )


def _message(topic: Topic, examples: Path) -> JsonSchema:
    model = topic.holds.__name__
    message: JsonSchema = {
        "name": topic.holds.TYPE,
        "title": model,
        "summary": topic.purpose[0].upper() + topic.purpose[1:] + ".",
        "contentType": content_type(topic),
        "headers": _headers(topic),
        "payload": _payload(topic, model),
        "bindings": {"kafka": {"key": {"type": "string", "description": KEYS[topic.key]}, **BINDING}},
    }
    if not topic.bulk:
        message["examples"] = [
            {"name": path.stem, "payload": json.loads(path.read_text("utf-8"))}
            for path in sorted((examples / _name(topic) / topic.holds.VERSION / "valid").glob("*.json"))
        ]
    return message


def _payload(topic: Topic, model: str) -> JsonSchema:
    reference = {"$ref": f"#/components/schemas/{model}"}
    if not topic.bulk:
        return reference
    return {
        "type": "string",
        "format": "binary",
        "maxLength": MAX_VALUE_BYTES,
        "description": SAFETENSORS_VALUE.format(model=model),
        "x-safetensors-manifest": reference,
    }


def _headers(topic: Topic) -> JsonSchema:
    """CloudEvents 1.0 in Kafka's binary mode: one header an attribute, values in UTF-8."""
    text: JsonSchema = {"type": "string", "minLength": 1, "maxLength": LONGEST_ATTRIBUTE}
    major = topic.holds.VERSION.split(".")[0]
    pattern = f"^{SCHEMA_PREFIX}{_name(topic).replace('.', '[.]')}:{major}[.][0-9]+$"
    required: JsonSchema = {
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_id": {**text, "description": "unique in the topic; the first record of an id wins"},
        "ce_source": {**text, "description": "who wrote the event"},
        "ce_type": {"type": "string", "const": topic.holds.TYPE},
        "ce_time": {**text, "format": "date-time", "description": "event time, RFC 3339 with a time zone"},
        "ce_subject": {**text, "description": "what the event is about"},
        "ce_dataschema": {"type": "string", "pattern": pattern, "description": "schema and minor version of the data"},
        "ce_tenant": {**text, "description": "whose event it is"},
    }
    optional: JsonSchema = {
        "content-type": {"type": "string", "const": content_type(topic)},
        "ce_causes": {"type": "string", "description": "topic/partition/offset of the inputs behind it, with commas"},
        "traceparent": {"type": "string", "description": "W3C Trace Context"},
    }
    return {"type": "object", "required": list(required), "properties": {**required, **optional}}


def _schemas(all_topics: Iterable[Topic]) -> JsonSchema:
    models = {topic.holds.__name__: topic.holds for topic in all_topics}
    _, definitions = models_json_schema(
        [(model, "validation") for model in models.values()],
        ref_template="#/components/schemas/{model}",
        schema_generator=PlainJsonSchema,
    )
    draft_07: JsonSchema = _as_draft_07(definitions["$defs"])
    return dict(sorted(draft_07.items()))


def _as_draft_07(schema: Any) -> Any:
    """``schema`` with tuples as draft-07 spells them."""
    if isinstance(schema, list):
        return [_as_draft_07(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {"items" if word == "prefixItems" else word: _as_draft_07(value) for word, value in schema.items()}


def _name(topic: Topic) -> str:
    return topic.holds.TYPE.rsplit(".v", 1)[0]


def _message_name(topic: Topic) -> str:
    return topic.holds.__name__

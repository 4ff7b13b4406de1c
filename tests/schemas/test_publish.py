"""The published documents are valid, whole, true of the code and checked in."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from schemas import topics
from schemas.asyncapi import OUTSIDE, flow
from schemas.compatibility import resolve
from schemas.envelope import REQUIRED, Envelope
from schemas.publish import PUBLISHED, asyncapi, export, json_schemas
from schemas.topics import MAX_MESSAGE_BYTES, Topic
from streams.roles import ROLES, Role

COMMAND = "python -m schemas.publish schemas/published"

SCHEMAS, DOCUMENT = json_schemas(), asyncapi()


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [ref for value in node.values() for ref in references(value)]
    return [ref for value in node for ref in references(value)] if isinstance(node, list) else []


@pytest.mark.parametrize("urn", SCHEMAS)
def test_every_json_schema_is_valid_and_named_after_its_urn(urn: str) -> None:
    schema = SCHEMAS[urn]
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$id"] == urn
    assert all(resolve({"$ref": ref}, schema) for ref in references(schema))


def test_the_checked_in_documents_are_those_of_the_code(tmp_path: Path) -> None:
    written = {path.relative_to(tmp_path): path.read_text("utf-8") for path in export(tmp_path)}
    published = {path.relative_to(PUBLISHED): path.read_text("utf-8") for path in PUBLISHED.rglob("*.json")}
    differ = sorted(str(path) for path in written.keys() | published.keys() if written.get(path) != published.get(path))
    assert not differ, f"{differ} differ from the code; raise VERSION if a released schema changed, then run {COMMAND}"


def test_an_export_is_the_same_twice(tmp_path: Path) -> None:
    first, second = export(tmp_path / "a"), export(tmp_path / "b")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    for ref in references(DOCUMENT):
        assert ref.startswith("#/")
        assert resolve({"$ref": ref}, DOCUMENT) is not None


@pytest.mark.parametrize("topic", topics.ALL, ids=lambda topic: topic.name)
def test_every_topic_is_a_channel_with_its_kafka_settings(topic: Topic) -> None:
    channel = DOCUMENT["channels"][topic.name]
    binding = channel["bindings"]["kafka"]
    assert channel["address"] == binding["topic"] == topic.name
    assert binding["topicConfiguration"] == {
        "cleanup.policy": ["delete"],
        "retention.ms": topic.retention_ms,
        "max.message.bytes": MAX_MESSAGE_BYTES,
        "message.timestamp.type": "LogAppendTime",
    }
    assert binding.get("partitions") == (None if topic.per_session else 1)


@pytest.mark.parametrize("topic", topics.ALL, ids=lambda topic: topic.name)
def test_a_message_names_its_content_and_its_schema(topic: Topic) -> None:
    message = DOCUMENT["components"]["messages"][topic.holds.__name__]
    payload = message["payload"]
    if topic.bulk:
        assert message["contentType"] == "application/vnd.safetensors"
        payload = payload["x-safetensors-manifest"]
    else:
        assert message["contentType"] == "application/json"
        assert message["examples"]
    assert payload == {"$ref": f"#/components/schemas/{topic.holds.__name__}"}


@pytest.mark.parametrize("topic", topics.ALL, ids=lambda topic: topic.name)
def test_the_headers_that_we_write_fit_the_headers_that_we_publish(topic: Topic) -> None:
    schema = DOCUMENT["components"]["messages"][topic.holds.__name__]["headers"]
    content_type = "application/vnd.safetensors" if topic.bulk else "application/json"
    time = datetime(2026, 3, 2, tzinfo=UTC)
    envelope = Envelope("e-1", "app", topic.holds.TYPE, time, "s", topic.holds.VERSION, "oakfield", content_type)
    jsonschema.validate({name: value.decode() for name, value in envelope.headers()}, schema)
    assert tuple(schema["required"]) == REQUIRED


def test_every_operation_is_of_a_role_on_a_topic() -> None:
    for name, operation in DOCUMENT["operations"].items():
        role, action, topic = name.split(".", 2)
        assert operation["action"] == action
        assert action in ("send", "receive")
        assert role not in OUTSIDE
        assert operation["channel"] == {"$ref": f"#/channels/{topic}"}
        assert [ref["$ref"].startswith(f"#/channels/{topic}/messages/") for ref in operation["messages"]] == [True]


@pytest.mark.parametrize("topic", topics.ALL, ids=lambda topic: topic.name)
def test_every_topic_has_a_writer_and_a_reader(topic: Topic) -> None:
    writers, readers = flow(topic)
    assert writers
    assert readers


@pytest.mark.parametrize("role", ROLES.values(), ids=lambda role: role.name)
def test_the_document_says_what_the_roles_read_and_write(role: Role) -> None:
    for action, of_role in (("receive", set(role.inputs)), ("send", set(role.outputs))):
        told = {name.split(".", 2)[2] for name in DOCUMENT["operations"] if name.startswith(f"{role.name}.{action}.")}
        followed = {topics.DELTA.name, topics.CHECKPOINT.name, topics.RELEASE.name} if action == "receive" else set()
        assert told - followed == of_role


def test_a_draft_07_reader_understands_every_component() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft7Validator.check_schema(schema)

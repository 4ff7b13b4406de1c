"""The examples of every version of every schema are what their folder says."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from schemas import topics
from schemas.codec import decode_data, encode
from schemas.envelope import SCHEMA_PREFIX
from schemas.errors import UndecodableEvent
from schemas.event import Data
from schemas.publish import EXAMPLES, current, json_schemas, schema_name

MODELS: dict[str, type[Data]] = {schema_name(topic.holds): topic.holds for topic in topics.ALL}
SCHEMAS = json_schemas()
URNS = sorted(SCHEMAS)


def examples(kind: str) -> list[Path]:
    return sorted(EXAMPLES.glob(f"*/*/{kind}/*.json"))


def label(path: Path) -> str:
    return str(path.relative_to(EXAMPLES).with_suffix(""))


def folder(urn: str) -> Path:
    name, version = urn.removeprefix(SCHEMA_PREFIX).rsplit(":", 1)
    return EXAMPLES / name / version


def schema_of(path: Path) -> dict[str, object]:
    return SCHEMAS[f"{SCHEMA_PREFIX}{path.parents[2].name}:{path.parents[1].name}"]


@pytest.mark.parametrize("path", examples("valid"), ids=label)
def test_a_valid_example_decodes_and_is_written_as_it_was_read(path: Path) -> None:
    model = MODELS[path.parents[2].name]
    data = decode_data(model, path.read_bytes())
    assert json.loads(encode(data)) == json.loads(path.read_text("utf-8"))
    assert encode(decode_data(model, encode(data))) == encode(data)


@pytest.mark.parametrize("path", examples("invalid"), ids=label)
def test_an_invalid_example_is_refused(path: Path) -> None:
    if path.parents[1].name == MODELS[path.parents[2].name].VERSION:
        with pytest.raises(UndecodableEvent):
            decode_data(MODELS[path.parents[2].name], path.read_bytes())


@pytest.mark.parametrize("path", [*examples("valid"), *examples("invalid")], ids=label)
def test_the_published_schema_judges_an_example_as_its_folder_does(path: Path) -> None:
    validator = jsonschema.Draft202012Validator(schema_of(path))
    assert validator.is_valid(json.loads(path.read_text("utf-8"))) == (path.parent.name == "valid")


@pytest.mark.parametrize("urn", URNS)
def test_every_version_has_two_valid_and_three_invalid_examples(urn: str) -> None:
    assert len(list((folder(urn) / "valid").glob("*.json"))) >= 2
    assert len(list((folder(urn) / "invalid").glob("*.json"))) >= 3


def test_every_topic_and_the_dead_letters_have_a_schema() -> None:
    assert {topic.holds for topic in topics.ALL} == set(current().values())


def test_no_example_stands_where_no_schema_is() -> None:
    known = {folder(urn) / kind for urn in URNS for kind in ("valid", "invalid")}
    assert {path.parent for path in EXAMPLES.rglob("*") if path.is_file()} == known
    assert {path.suffix for path in EXAMPLES.rglob("*") if path.is_file()} == {".json"}

"""Which changes of a schema break those who relied on it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.compatibility import breaking_changes
from schemas.publish import json_schemas
from tests.schemas.event_strategies import values

SCHEMAS = json_schemas()


def record(required: tuple[str, ...] = (), **fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(required)}


TEXT, NUMBER, WHOLE, NULL = {"type": "string"}, {"type": "number"}, {"type": "integer"}, {"type": "null"}


@pytest.mark.parametrize("urn", SCHEMAS)
def test_a_schema_may_replace_itself(urn: str) -> None:
    assert breaking_changes(SCHEMAS[urn], SCHEMAS[urn]) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (record(a=TEXT), record(a=TEXT, b=TEXT)),
        (record(("a",), a=TEXT), record(a=TEXT)),
        (record(a=WHOLE), record(a=NUMBER)),
        (record(a=TEXT), record(a={"anyOf": [TEXT, NULL]})),
        (record(a={"enum": ["x"]}), record(a={"enum": ["x", "y"]})),
        (record(a={"const": "x"}), record(a={"enum": ["x", "y"]})),
        (record(a={"type": "string", "maxLength": 5}), record(a={"type": "string", "maxLength": 6})),
        (record(a={"type": "string", "pattern": "^a$"}), record(a=TEXT)),
        (record(a={"type": "array", "items": WHOLE}), record(a={"type": "array", "items": NUMBER})),
        (record(a=TEXT), record(a={"type": "string", "description": "said"})),
    ],
    ids=str,
)
def test_a_change_that_only_adds_breaks_nothing(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert breaking_changes(old, new) == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (record(a=TEXT), record(), ".a: removed"),
        (record(), record(("a",), a=TEXT), ".a: new required field"),
        (record(a=TEXT), record(("a",), a=TEXT), ".a: became required"),
        (record(a=NUMBER), record(a=WHOLE), ".a: type number became integer"),
        (record(a={}), record(a=TEXT), ".a: type any became string"),
        (record(a={"anyOf": [TEXT, NULL]}), record(a=TEXT), ".a: no longer accepts null"),
        (record(a={"enum": ["x", "y"]}), record(a={"const": "x"}), ".a: no longer accepts ['y']"),
        (record(a=TEXT), record(a={"type": "string", "enum": ["x"]}), ".a: any value became one of ['x']"),
        (record(a=TEXT), record(a={"type": "string", "maxLength": 5}), ".a: maxLength none became 5"),
        (record(a={"type": "number", "minimum": 0}), record(a={"type": "number", "minimum": 1}),
         ".a: minimum 0 became 1"),
        (record(a=TEXT), record(a={"type": "string", "pattern": "^a$"}), ".a: pattern none became ^a$"),
        (record(a={"type": "array", "items": TEXT}), record(a={"type": "array", "items": WHOLE}),
         ".a[]: type string became integer"),
        (record(a=record(b=TEXT)), record(a=record()), ".a.b: removed"),
        (record(), {**record(), "additionalProperties": False}, ".*: any value became none"),
        ({"type": "object", "additionalProperties": NUMBER}, {"type": "object", "additionalProperties": TEXT},
         ".*: type number became string"),
        ({"type": "array", "prefixItems": [TEXT, TEXT]}, {"type": "array", "prefixItems": [TEXT, WHOLE]},
         "[1]: type string became integer"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_change_that_breaks_is_told_with_its_place(old: dict[str, Any], new: dict[str, Any], told: str) -> None:
    assert breaking_changes(old, new) == [told]


def test_changes_behind_references_are_found() -> None:
    old = {**record(a={"$ref": "#/$defs/A"}), "$defs": {"A": record(b=TEXT)}}
    new = {**record(a={"$ref": "#/$defs/Renamed"}), "$defs": {"Renamed": record(b=WHOLE)}}
    assert breaking_changes(old, new) == [".a.b: type string became integer"]


def test_a_recursive_schema_is_compared_once() -> None:
    tree = {"$ref": "#/$defs/T", "$defs": {"T": record(left={"$ref": "#/$defs/T"}, value=NUMBER)}}
    other = {"$ref": "#/$defs/T", "$defs": {"T": record(left={"$ref": "#/$defs/T"}, value=WHOLE)}}
    assert breaking_changes(tree, tree) == []
    assert breaking_changes(tree, other) == [".value: type number became integer"]


def test_a_kind_that_left_a_union_is_told_by_its_name() -> None:
    schema = SCHEMAS["urn:currere:schema:edu.feedback:1.0"]
    judgement = schema["properties"]["judgement"]
    fewer = [member for member in judgement["oneOf"] if member != {"$ref": "#/$defs/Flag"}]
    new = {**schema, "properties": {**schema["properties"], "judgement": {**judgement, "oneOf": fewer}}}
    assert breaking_changes(schema, new) == [".judgement: no longer accepts Flag"]


def versions() -> list[tuple[str, str]]:
    """Each published schema and the next minor version of it."""
    by_number = sorted(
        SCHEMAS, key=lambda urn: (urn.rsplit(":", 1)[0], [int(n) for n in urn.rsplit(":", 1)[1].split(".")])
    )
    return [(old, new) for old, new in pairwise(by_number) if old.rsplit(".", 1)[0] == new.rsplit(".", 1)[0]]


def test_there_is_an_earlier_version_to_compare_with() -> None:
    assert ("urn:currere:schema:edu.interaction:1.0", "urn:currere:schema:edu.interaction:1.1") in versions()


@pytest.mark.parametrize(("old", "new"), versions())
def test_a_minor_version_breaks_nothing_that_was_published(old: str, new: str) -> None:
    assert breaking_changes(SCHEMAS[old], SCHEMAS[new]) == []


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_data_of_the_earlier_minor_version_is_valid_under_the_next(data: st.DataObject) -> None:
    sent = data.draw(values(SCHEMAS["urn:currere:schema:edu.interaction:1.0"]))
    jsonschema.validate(sent, SCHEMAS["urn:currere:schema:edu.interaction:1.1"])

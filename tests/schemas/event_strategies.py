"""Hypothesis strategies that follow the published schemas, so that a field added there is tested from that day."""

from __future__ import annotations

import string
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

from schemas.compatibility import JsonSchema, resolve
from schemas.envelope import Envelope, Origin

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
ANYTHING = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)
UNKNOWN = "later_"  # fields of a later minor version begin like this


def values(schema: JsonSchema, document: JsonSchema | None = None) -> st.SearchStrategy[Any]:
    """JSON values that ``schema`` allows, with fields that it does not know at every level."""
    document = document or schema
    schema = resolve(schema, document)
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if union := schema.get("anyOf") or schema.get("oneOf"):
        return st.one_of([values(member, document) for member in union])
    match schema.get("type"):
        case "object":
            return _objects(schema, document)
        case "array":
            return _arrays(schema, document)
        case "string":
            return _strings(schema)
        case "number":
            return _numbers(schema)
        case "integer":
            low = schema.get(
                "minimum", schema.get("exclusiveMinimum", -1) + 1 if "exclusiveMinimum" in schema else None
            )
            return st.integers(low, schema.get("maximum"))
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
    return ANYTHING


def _objects(schema: JsonSchema, document: JsonSchema) -> st.SearchStrategy[Any]:
    more = schema.get("additionalProperties")
    if isinstance(more, dict) or "properties" not in schema:
        inner = values(more, document) if isinstance(more, dict) else ANYTHING
        return st.dictionaries(st.text(max_size=6), inner, max_size=3)
    fields = {name: values(field, document) for name, field in schema["properties"].items()}
    required = {name: field for name, field in fields.items() if name in schema.get("required", ())}
    optional = {name: field for name, field in fields.items() if name not in required}
    unknown = st.dictionaries(
        st.sampled_from([UNKNOWN + letter for letter in string.ascii_lowercase]), ANYTHING, max_size=2
    )
    return st.builds(
        lambda known, later: {**known, **later}, st.fixed_dictionaries(required, optional=optional), unknown
    )


def _arrays(schema: JsonSchema, document: JsonSchema) -> st.SearchStrategy[Any]:
    if "prefixItems" in schema:
        return st.tuples(*[values(item, document) for item in schema["prefixItems"]]).map(list)
    return st.lists(values(schema.get("items", {}), document), max_size=min(3, schema.get("maxItems", 3)))


def _strings(schema: JsonSchema) -> st.SearchStrategy[str]:
    if pattern := schema.get("pattern"):
        return st.from_regex(pattern, fullmatch=True)
    return st.text(min_size=schema.get("minLength", 0), max_size=min(12, schema.get("maxLength", 12)))


def _numbers(schema: JsonSchema) -> st.SearchStrategy[float]:
    return st.floats(schema.get("minimum"), schema.get("maximum"), allow_nan=False, allow_infinity=False)


ATTRIBUTES = st.text(
    st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=40
)  # CloudEvents: no control characters, no surrogates
WORDS = st.text(string.ascii_lowercase, min_size=1, max_size=12)
ORIGINS = st.builds(
    Origin,
    st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=20),
    st.integers(0, 2**31 - 1),
    st.integers(0, 2**63 - 1),
)
TIMES = st.datetimes(
    datetime(2, 1, 1),  # noqa: DTZ001  # Hypothesis wants the bounds without a zone
    datetime(9998, 1, 1),  # noqa: DTZ001
    timezones=st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
).map(lambda time: time.replace(microsecond=time.microsecond // 1000 * 1000))


@st.composite
def envelopes(draw: st.DrawFn) -> Envelope:
    """Envelopes that an event may carry; times to the millisecond, in UTC."""
    return Envelope(
        id=draw(ATTRIBUTES),
        source=draw(ATTRIBUTES),
        type=f"edu.{draw(WORDS)}.v{draw(st.integers(1, 9))}",
        time=draw(TIMES).astimezone(UTC),
        subject=draw(ATTRIBUTES),
        schema_version=f"{draw(st.integers(0, 99))}.{draw(st.integers(0, 99))}",
        tenant=draw(ATTRIBUTES),
        content_type=draw(st.sampled_from(["application/json", "application/vnd.safetensors"])),
        traceparent=draw(st.none() | st.just("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")),
        causes=tuple(draw(st.lists(ORIGINS, max_size=3))),
    )

"""What one version of a JSON Schema no longer accepts or promises that another did."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

JsonSchema = dict[str, Any]

LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")


def breaking_changes(old: JsonSchema, new: JsonSchema) -> list[str]:
    """Every way in which ``new`` refuses data that ``old`` accepts, or no longer names a field that ``old`` names.

    Looked at: fields removed, fields newly required, types, constants, enumerations, bounds and patterns narrowed,
    unions that lost a member, closed objects; through ``$ref``, arrays and maps. Empty if ``new`` may replace ``old``
    under the same major version. Not looked at: whether a reader of ``old`` accepts what ``new`` allows beside it.
    """
    return list(_Comparison(old, new).of("", old, new, frozenset()))


@dataclass(frozen=True, slots=True)
class _Comparison:
    """The two documents, in which references are looked up."""

    old: JsonSchema
    new: JsonSchema

    def of(self, at: str, old: JsonSchema, new: JsonSchema, seen: frozenset[tuple[int, int]]) -> Iterator[str]:
        old, new = resolve(old, self.old), resolve(new, self.new)
        olds, news = _members(old, self.old), _members(new, self.new)
        if (met := (id(old), id(new))) in seen:  # a recursive schema: already being compared further up
            return
        seen |= {met}
        if len(olds) == len(news) == 1:
            yield from self._one(at, olds[0], news[0], seen)
            return
        for member in olds:
            if not any(not list(self._one(at, member, other, seen)) for other in news):
                yield f"{at or 'value'}: no longer accepts {_name(member)}"

    def _one(self, at: str, old: JsonSchema, new: JsonSchema, seen: frozenset[tuple[int, int]]) -> Iterator[str]:
        where = at or "value"
        yield from (f"{where}: {change}" for change in (*_narrowed_type(old, new), *_narrowed_values(old, new)))
        yield from (f"{where}: {change}" for change in _narrowed_bounds(old, new))
        yield from self._fields(at, old, new, seen)
        for keyword, step in (("items", "[]"), ("additionalProperties", ".*")):
            yield from self._inside(at + step, old.get(keyword, True), new.get(keyword, True), seen)
        for index, pair in enumerate(zip(old.get("prefixItems", ()), new.get("prefixItems", ()), strict=False)):
            yield from self.of(f"{at}[{index}]", *pair, seen)

    def _inside(
        self, at: str, old: JsonSchema | bool, new: JsonSchema | bool, seen: frozenset[tuple[int, int]]
    ) -> Iterator[str]:
        if isinstance(old, dict) and isinstance(new, dict):
            yield from self.of(at, old, new, seen)
        elif (new is False and old is not False) or (isinstance(new, dict) and new and old is True):
            yield f"{at}: any value became {_name(new) if new else 'none'}"

    def _fields(self, at: str, old: JsonSchema, new: JsonSchema, seen: frozenset[tuple[int, int]]) -> Iterator[str]:
        before, after = old.get("properties", {}), new.get("properties", {})
        for name in sorted(set(new.get("required", ())) - set(old.get("required", ()))):
            yield f"{at}.{name}: {'became required' if name in before else 'new required field'}"
        for name, field in before.items():
            if name not in after:
                yield f"{at}.{name}: removed"
            else:
                yield from self.of(f"{at}.{name}", field, after[name], seen)


def resolve(schema: JsonSchema, document: JsonSchema) -> JsonSchema:
    """``schema``, or what its local ``$ref`` points at in ``document``. Raises KeyError if it points at nothing."""
    while isinstance(ref := schema.get("$ref"), str):
        schema = document
        for step in ref.removeprefix("#/").split("/"):
            schema = schema[step.replace("~1", "/").replace("~0", "~")]
    return schema


def _members(schema: JsonSchema, document: JsonSchema) -> list[JsonSchema]:
    schema = resolve(schema, document)
    union = schema.get("anyOf") or schema.get("oneOf") or ()
    return [leaf for member in union for leaf in _members(member, document)] or [schema]


def _narrowed_type(old: JsonSchema, new: JsonSchema) -> Iterator[str]:
    before, after = old.get("type"), new.get("type")
    if after is not None and before != after and (before, after) != ("integer", "number"):
        yield f"type {before or 'any'} became {after}"


def _narrowed_values(old: JsonSchema, new: JsonSchema) -> Iterator[str]:
    before, after = _values(old), _values(new)
    if after is not None and before is None:
        yield f"any value became one of {after}"
    elif after is not None and before is not None and (lost := [value for value in before if value not in after]):
        yield f"no longer accepts {lost}"


def _narrowed_bounds(old: JsonSchema, new: JsonSchema) -> Iterator[str]:
    for keywords, sign in ((LOWER, 1.0), (UPPER, -1.0)):
        for keyword in keywords:
            before, after = old.get(keyword), new.get(keyword)
            if isinstance(after, int | float) and (not isinstance(before, int | float) or sign * after > sign * before):
                yield f"{keyword} {'none' if before is None else before} became {after}"
    if new.get("pattern") is not None and new.get("pattern") != old.get("pattern"):
        yield f"pattern {old.get('pattern') or 'none'} became {new['pattern']}"


def _values(schema: JsonSchema) -> list[object] | None:
    return [schema["const"]] if "const" in schema else schema.get("enum")


def _name(schema: JsonSchema | bool) -> str:
    named = schema if isinstance(schema, dict) else {}
    return str(named.get("title") or named.get("const") or named.get("type") or "a value")

"""The contract as documents: a JSON Schema for every version of every event, and one AsyncAPI document.

``python -m schemas.publish schemas/published`` writes them anew after a change to the models.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from schemas.asyncapi import PlainJsonSchema, document
from schemas.compatibility import JsonSchema, breaking_changes
from schemas.envelope import SCHEMA_PREFIX
from schemas.event import Data
from schemas.topics import ALL

__all__ = ["EXAMPLES", "PUBLISHED", "asyncapi", "breaking_changes", "current", "export", "json_schemas", "schema_name"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
PUBLISHED = Path(__file__).parent / "published"
EXAMPLES = Path(__file__).parent / "examples"


def schema_name(holds: type[Data]) -> str:
    """The name of the schema of ``holds`` without its version, as in ``edu.interaction``."""
    return holds.TYPE.rsplit(".v", 1)[0]


def current() -> dict[str, type[Data]]:
    """The model behind each schema that this code writes, by its URN."""
    return {f"{SCHEMA_PREFIX}{schema_name(topic.holds)}:{topic.holds.VERSION}": topic.holds for topic in ALL}


def json_schemas() -> dict[str, JsonSchema]:
    """JSON Schema (2020-12) by URN, of every version: today's from the models, earlier ones as they were published."""
    schemas = {urn: _json_schema(urn, holds) for urn, holds in current().items()}
    for path in sorted(PUBLISHED.glob("*/*.json")):
        earlier: JsonSchema = json.loads(path.read_text("utf-8"))
        schemas.setdefault(earlier["$id"], earlier)
    return dict(sorted(schemas.items()))


def asyncapi() -> JsonSchema:
    """The AsyncAPI 3.0 document of all topics, from which a subscriber can be written without reading this code."""
    return document(ALL, EXAMPLES)


def export(folder: Path) -> list[Path]:
    """Writes ``NAME/VERSION.json`` for every schema, and ``asyncapi.json``; the same contract gives the same bytes."""
    documents = {_path(urn): schema for urn, schema in json_schemas().items()} | {"asyncapi.json": asyncapi()}
    for path, content in documents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")
    return [folder / path for path in documents]


def _json_schema(urn: str, holds: type[Data]) -> JsonSchema:
    return {"$schema": DIALECT, "$id": urn, **holds.model_json_schema(schema_generator=PlainJsonSchema)}


def _path(urn: str) -> str:
    name, version = urn.removeprefix(SCHEMA_PREFIX).rsplit(":", 1)
    return f"{name}/{version}.json"


if __name__ == "__main__":
    export(Path(sys.argv[1]))

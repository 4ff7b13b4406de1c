"""A subscriber written from the published document alone ends with the bytes that the worker serves."""

from __future__ import annotations

import json

import jsonschema
import pytest

from learners.delta import delta_parts, no_changes
from learners.fold import fold
from learners.model import Model, served, served_digest
from learners.snapshot import snapshot
from schemas.codec import manifest
from schemas.publish import json_schemas
from tests.integration.subscriber import Subscriber, digest
from tests.learners.cases import begun, moves, ones, step_request


def folded(model: Model, until: int, max_bytes: int) -> tuple[Model, list[bytes]]:
    changes, a = no_changes(model.next_offset), model.next_offset
    for offset in range(a, until):
        request = step_request(moves(4 * offset, 4))
        model, report = fold(model, request, ones(request), f"request-{offset}", offset)
        changes = changes.and_then(report.touched)
    return model, delta_parts(model, changes, a, until, "main", max_bytes)


@pytest.mark.parametrize("max_bytes", [850_000, 12_000])
def test_a_subscriber_written_from_the_document_serves_what_the_worker_serves(max_bytes: int) -> None:
    model, _ = folded(begun(), 4, max_bytes)
    subscriber = Subscriber(snapshot(model))
    for until in (6, 9):
        model, parts = folded(model, until, max_bytes)
        assert all(subscriber.offer(part) for part in parts)
        assert f"{subscriber.lineage}:{subscriber.offset}" == served(model).version
        assert digest(subscriber.arrays) == served_digest(model)


def test_a_delta_s_manifest_is_the_published_one() -> None:

    _, parts = folded(begun(), 3, 12_000)
    for part in parts:
        jsonschema.validate(json.loads(manifest(part)), json_schemas()["urn:currere:schema:edu.delta:1.0"])

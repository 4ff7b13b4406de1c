"""Who has nothing but the published document reads predictions and serves the model that the worker serves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from town import empty_town

from schemas.publish import export
from streams.roles import ROLES

SCRIPT = Path(__file__).with_name("subscriber.py")
OURS = ("schemas", "state", "learners", "streams")
ALONE = (
    f"import runpy, sys; sys.modules.update(dict.fromkeys({OURS})); runpy.run_path(sys.argv.pop(1), None, '__main__')"
)


@pytest.mark.kafka
@pytest.mark.redis
def test_a_subscriber_that_knows_only_the_document_serves_the_newest_model(
    kafka: str, redis_url: str, tmp_path: Path
) -> None:
    export(tmp_path)
    with empty_town(kafka, redis_url, tmp_path / "blobs", snapshot_steps=500, batch=20, new_per_request=8) as here:
        here.start(*ROLES)
        here.play(100)
        published = here.settle()

        words = [tmp_path / "asyncapi.json", kafka, here.settings.tenant, here.settings.model]
        done = subprocess.run(
            [sys.executable, "-I", "-c", ALONE, SCRIPT, *words], capture_output=True, text=True, check=False, timeout=60
        )

    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)
    assert read["predictions"] == published.predictions
    assert (read["version"], read["digest"]) == (published.version, published.digest)
    assert read["deltas"] == published.deltas > 0, "it followed every delta from the first checkpoint on"

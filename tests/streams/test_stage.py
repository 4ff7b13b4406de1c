"""What one run is given of its own."""

from __future__ import annotations

from pathlib import Path

from streams.settings import Settings
from streams.stage import run_settings


def test_a_run_keeps_its_snapshots_under_the_path_that_others_would_write_out(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()

    found = run_settings(Settings(), tmp_path / "here" / ".." / "kept")

    assert found.blobs == f"file://{tmp_path.resolve()}/kept/blobs"

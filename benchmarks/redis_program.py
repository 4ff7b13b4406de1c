"""Which Redis the benchmarks start."""

from __future__ import annotations

import shutil
from pathlib import Path


def redis_program() -> Path | None:
    """The server on PATH, Redis before Valkey; None for the one that is embedded."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    return Path(found) if found else None

"""How a fresher model leaves: deltas, checkpoints, releases."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from schemas.event import Data


class Delta(Data):
    """The manifest of one part of a delta; its tensors are the values at ``b`` of all entries changed in [a, b).

    For each served array NAME: ``NAME.rows`` (int32 [k]) and ``NAME.values`` ([k, ...]) for row-sparse arrays,
    ``NAME`` alone for dense ones. Whoever stands at any offset in [a, b) may apply it; once all ``parts`` are applied
    the served state stands at ``b`` and its digest is ``digest``.
    """

    TYPE: ClassVar[str] = "edu.delta.v1"
    VERSION: ClassVar[str] = "1.0"

    model: str
    lineage: str
    version: str
    a: int = Field(ge=0)
    b: int = Field(ge=1)
    part: int = Field(ge=0)
    parts: int = Field(ge=1)
    digest: str


class Checkpoint(Data):
    """A whole snapshot by claim check: where it lies, how to know that it is whole, and what it is."""

    TYPE: ClassVar[str] = "edu.checkpoint.v1"
    VERSION: ClassVar[str] = "1.0"

    model: str
    lineage: str
    version: str
    next_offset: int = Field(ge=1)
    uri: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size: int = Field(gt=0)
    digest: str = Field(description="of the served state")
    trained_digest: str
    fingerprint: dict[str, str]
    settings: dict[str, object]
    metrics: dict[str, float] = {}


class Release(Data):
    """A decision about a channel: which lineage it names from now on, who decided, why, on what evidence."""

    TYPE: ClassVar[str] = "edu.release.v1"
    VERSION: ClassVar[str] = "1.0"

    model: str
    channel: str
    lineage: str
    decision: Literal["promote", "rollback", "freeze"]
    who: str
    why: str
    evidence: dict[str, float] = {}

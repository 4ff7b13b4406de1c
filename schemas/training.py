"""What the model is folded from: train requests, and the record of each step."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from schemas.event import Data, Part
from schemas.feedback import FlagName, LabelValue
from schemas.prediction import ExampleInput


class TrainExample(Part):
    """One example inside a request: all that a gradient step needs of it.

    ``id`` is the example's event id; ``feedback_ms`` is when the log received the feedback behind it.
    """

    id: str
    interaction: str
    feedback: str
    rater: str
    input: ExampleInput
    labels: dict[str, LabelValue]
    importance: float = 0.0
    delay_s: float = 0.0
    feedback_ms: int = 0
    replayed: int = Field(default=0, ge=0, description="how often it was replayed before")
    flags: tuple[FlagName, ...] = Field(default=(), description="what experts marked the same interaction with by then")


class TrainRequest(Data):
    """The manifest of a train request; sample weights (float32 ``weights.new``, ``weights.replayed``) are its tensors.

    ``genesis`` begins a lineage under ``settings``; ``step`` is one gradient step; ``reset`` goes back to the snapshot
    of ``version``; ``probe`` sets examples aside, beside earlier ones, that the model is asked now and then and never
    learns from. 1.1 added ``probe``, ``consolidate`` and the flags of an example.
    """

    TYPE: ClassVar[str] = "edu.train-request.v1"
    VERSION: ClassVar[str] = "1.1"

    kind: Literal["genesis", "step", "reset", "probe"]
    model: str
    seed: int
    reason: str
    new: tuple[TrainExample, ...] = ()
    replayed: tuple[TrainExample, ...] = ()
    settings: dict[str, object] | None = Field(default=None, description="of a genesis: settings and tasks")
    version: str | None = Field(default=None, description="of a reset: the good version")
    consolidate: bool = Field(default=False, description="of a step: afterwards hold on to what matters now (EWC)")


class TrainStep(Data):
    """What one request did to the model. ``version`` is the one after it. 1.1 added what guided it and how it did."""

    TYPE: ClassVar[str] = "edu.train-step.v1"
    VERSION: ClassVar[str] = "1.1"

    model: str
    lineage: str
    version: str
    request: str
    offset: int
    applied: bool = Field(description="false: a repeated or control request that changed nothing")
    losses: dict[str, float]
    norms: dict[str, float]
    rates: dict[str, float]
    new: tuple[str, ...]
    replayed: tuple[str, ...]
    guidance: dict[str, float] = Field(default={}, description="of each constraint its violation and multiplier")
    probe: dict[str, float] = Field(default={}, description="the scores on the frozen probe, if it was asked")
    alerts: tuple[str, ...] = Field(default=(), description="converged, early stop and the like, said once each")

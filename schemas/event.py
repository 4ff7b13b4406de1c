"""What every event's data has in common, and an event as a whole: envelope and data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from schemas.envelope import Envelope


class Data(BaseModel):
    """The data of an event.

    Unknown fields are kept, not dropped: a reader of minor version n passes on what n+1 added. NaN and infinity are
    refused. ``TYPE`` and ``VERSION`` say which published schema this class is.
    """

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False, strict=True, ser_json_inf_nan="null")

    TYPE: ClassVar[str]
    VERSION: ClassVar[str]


class Part(BaseModel):
    """A part of an event's data, under the same policy."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False, strict=True)


D = TypeVar("D", bound=Data, covariant=True)


@dataclass(frozen=True, slots=True)
class Event(Generic[D]):
    """An envelope and the data that it describes."""

    envelope: Envelope
    data: D

    @property
    def id(self) -> str:
        """The event's id, unique within its topic."""
        return self.envelope.id

"""Bytes <-> typed event, and every way it can fail."""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterable
from typing import TypeVar

from pydantic import ValidationError
from pydantic_core import from_json

from schemas.envelope import SAFETENSORS, Envelope, read_envelope
from schemas.errors import TooLarge, UndecodableEvent, UnknownVersion
from schemas.event import Data, Event, Part
from schemas.topics import MAX_VALUE_BYTES, Topic

D = TypeVar("D", bound=Data)

# All JSON that can hold a number that is not finite: the two constants, a three-digit exponent, two hundred digits.
# Looked for only where a value can begin: text and ids hold many a 2e123, and each would cost a second parse.
MAYBE_INFINITE = re.compile(rb"[:,\[]\s*-?(?:[0-9][0-9.]*[eE]\+?[0-9]{3}|[0-9]{200}|NaN|Infinity)")


def encode(data: Data | Part) -> bytes:
    """The JSON of ``data``; absent fields that have a default are left out."""
    return data.model_dump_json(exclude_defaults=True, by_alias=True).encode()


def decode(topic: Topic, headers: Iterable[tuple[str, bytes | None]] | None, value: bytes | None) -> Event[Data]:
    """The event that a record of ``topic`` holds; of a bulk topic the manifest, its tensors stay in ``value``.

    Raises:
        UndecodableEvent: headers, JSON or fields are wrong; the message names the first field that is.
        UnknownVersion: the event's type or major version is not the topic's.
        TooLarge: the value has more than ``MAX_VALUE_BYTES``.
    """
    envelope = read_envelope(headers or ())
    return Event(
        _checked(topic, envelope), decode_data(topic.holds, manifest(value) if topic.bulk else _present(value))
    )


def decode_data(holds: type[D], value: bytes) -> D:
    """The data that the JSON ``value`` holds. Raises UndecodableEvent."""
    try:
        data = holds.model_validate_json(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "value"
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise UndecodableEvent(f"{where}: {first['msg']}{more}") from error
    if MAYBE_INFINITE.search(value):
        _refuse_infinite(value)
    return data


def _refuse_infinite(value: bytes) -> None:
    """Raises UndecodableEvent where a field without a type of its own holds NaN or infinity; pydantic lets it pass."""

    def finite(text: str) -> float:
        if not math.isfinite(number := float(text)):
            raise UndecodableEvent(f"the value holds {text[:20]}, which is no finite number")
        return number

    json.loads(value, parse_constant=finite, parse_float=finite, parse_int=finite)


def _present(value: bytes | None) -> bytes:
    if value is None:
        raise UndecodableEvent("the value is null; events are never tombstones")
    if len(value) > MAX_VALUE_BYTES:
        raise TooLarge(f"the value has {len(value):,} bytes, at most {MAX_VALUE_BYTES:,} are read")
    return value


def _checked(topic: Topic, envelope: Envelope) -> Envelope:
    expected, found = topic.holds.TYPE, envelope.type
    if found != expected:
        if found.rsplit(".v", 1)[0] == expected.rsplit(".v", 1)[0]:
            raise UnknownVersion(f"type {found}, but {topic.name} holds {expected}")
        raise UndecodableEvent(f"type {found}, but {topic.name} holds {expected}")
    if envelope.schema_version.split(".")[0] != topic.holds.VERSION.split(".")[0]:
        raise UnknownVersion(f"schema version {envelope.schema_version}, this code reads {topic.holds.VERSION}")
    return envelope


def manifest(value: bytes | None) -> bytes:
    """The JSON manifest in the metadata of a safetensors value, read without loading a tensor.

    The format: eight bytes (little-endian length n), n bytes of JSON header, tensors; our manifest is the string under
    ``__metadata__.manifest``. Raises UndecodableEvent, TooLarge.
    """
    value = _present(value)
    try:
        (length,) = struct.unpack_from("<Q", value)
        if length > len(value) - 8:
            raise UndecodableEvent(f"safetensors header of {length} bytes in a value of {len(value)}")
        header = from_json(value[8 : 8 + length])  # unlike json.loads, it cannot run out of stack
        found: str = header["__metadata__"]["manifest"]
        return found.encode()
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UndecodableEvent(f"the value is no safetensors with a manifest: {error!r}") from error


def content_type(topic: Topic) -> str:
    """The ``content-type`` of the values of ``topic``."""
    return SAFETENSORS if topic.bulk else "application/json"

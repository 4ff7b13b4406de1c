"""What a batch is about to write and to publish, laid over what the store holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from schemas.envelope import Origin
from state.store import Delete, Put, Write
from streams.message import Message
from streams.processor import Output


@dataclass(slots=True, kw_only=True)
class Draft:
    """Stored ``values`` with this batch's writes over them, and its outputs.

    ``sent`` is what an earlier owner has published for inputs that are not decided here; what it holds is adopted.
    """

    values: Mapping[str, bytes]
    sent: Mapping[Origin, Sequence[Message]]
    now: float
    writes: dict[str, Write] = field(default_factory=dict)
    outputs: list[Output] = field(default_factory=list)
    adopted: list[Origin] = field(default_factory=list)

    def get(self, key: str) -> bytes | None:
        """The value of ``key`` as this batch has left it."""
        write = self.writes.get(key)
        if write is None:
            return self.values.get(key)
        return write.value if isinstance(write, Put) else None

    def put(self, key: str, value: bytes, due: float | None = None) -> None:
        """Write ``value``, to be looked at again at ``due``."""
        self.writes[key] = Put(key, value, due)

    def delete(self, key: str) -> None:
        """Forget ``key``."""
        self.writes[key] = Delete(key)

    def publish(self, output: Output) -> None:
        """Publish the outcome of an input, unless an earlier owner already has."""
        if output.causes and output.causes[0] in self.sent:
            self.adopted.append(output.causes[0])
        else:
            self.outputs.append(output)

"""Which examples are set aside for the frozen probe: a few of the first, by a hash that nobody chooses."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256

from pydantic_core import from_json, to_json

KEY = "probe"
CHANCE = 1 / 20  # so that 200 are found among some 4,000, of many lessons


@dataclass(slots=True)
class Aside:
    """Of at most ``size`` examples how many were set aside, and of which interactions.

    ``closed``: others found no room and may have been learned from, so that a place that is given back stays empty.
    """

    size: int
    count: int = 0
    interactions: dict[str, None] = field(default_factory=dict)
    closed: bool = False

    def wants(self, interaction: str) -> bool:
        """Whether an example of ``interaction`` is to be set aside: while there is room all of an interaction are."""
        if uniform(interaction) >= CHANCE:
            return False
        self.closed = self.closed or self.count >= self.size
        return not self.closed

    def holds(self, interaction: str) -> bool:
        """Whether ``interaction`` is in the probe, so that no label of it may be learned from."""
        return interaction in self.interactions

    def take(self, interaction: str) -> None:
        """An example of ``interaction`` is set aside."""
        self.count += 1
        self.interactions[interaction] = None

    def give_back(self) -> None:
        """An example that was set aside was taken back before it was published."""
        self.count = max(self.count - 1, 0)

    def to_bytes(self) -> bytes:
        """As JSON."""
        return to_json({"count": self.count, "interactions": list(self.interactions), "closed": self.closed})

    @classmethod
    def from_bytes(cls, value: bytes | None, size: int) -> Aside:
        """The inverse of ``to_bytes``; nothing is set aside yet where there is none. Raises ValueError, KeyError."""
        if value is None:
            return cls(size)
        found = from_json(value)
        return cls(size, found["count"], dict.fromkeys(found["interactions"]), found.get("closed", False))


def uniform(name: str) -> float:
    """A number in [0, 1) that is the same for the same name."""
    return int.from_bytes(sha256(f"aside/{name}".encode()).digest()[:7], "big") / 2**56

"""What can be seen of a system under load: memory of each role, lag, and what the session role leaves out."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException

from prometheus_client.parser import text_string_to_metric_families

from schemas import topics
from schemas.errors import BrokerError, StoreUnavailable
from schemas.training import TrainStep
from state.store import Store
from streams.engines.broker import Broker
from streams.published import last_event
from streams.settings import Settings
from streams.stage import rss_mb, standing
from streams.supervisor import Supervisor

EVERY_S = 1.0
TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Seen:
    """One look: seconds since the beginning, resident megabytes by role, events not yet taken by role, the highest
    level of shedding over the partitions, and predictions so far from which work was left out."""

    at_s: float
    rss_mb: Mapping[str, float]
    behind: Mapping[str, int]
    level: int
    shed: Mapping[str, float]

    @property
    def lag(self) -> int:
        """Events that nobody has taken, of all roles."""
        return sum(self.behind.values())


@dataclass
class Place:
    """A tenant whose roles run as processes of ``supervisor``."""

    settings: Settings
    broker: Broker
    store: Store
    supervisor: Supervisor

    def look(self, begun: float) -> Seen:
        """What is to be seen now. Raises BrokerError, StoreUnavailable."""
        children = self.supervisor.children
        level, shed = self._metrics(children["session"].port)
        return Seen(
            at_s=round(time.monotonic() - begun, 2),
            rss_mb={role: round(rss_mb([child.process.pid]), 1) for role, child in children.items()},
            behind=self.behind(),
            level=level,
            shed=shed,
        )

    def behind(self) -> Mapping[str, int]:
        """Events that each role has not taken yet. Raises BrokerError, StoreUnavailable."""
        step = last_event(self.broker, topics.TRAIN_STEP, self.settings.tenant, self.settings.model)
        folded = step.data.offset + 1 if step is not None and isinstance(step.data, TrainStep) else 0
        return standing(self, folded).behind

    def _metrics(self, port: int | None) -> tuple[int, dict[str, float]]:
        if port is None:
            return 0, {}
        connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
        try:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        except (OSError, HTTPException):  # it is busy, or starts again
            return 0, {}
        finally:
            connection.close()
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        levels = [int(sample.value) for sample in samples if sample.name == "currere_shedding_level"]
        shed = {s.labels["work"]: s.value for s in samples if s.name == "currere_shed_total"}
        return max(levels, default=0), shed


@dataclass
class Watch(threading.Thread):
    """Looks every second until ``stop``."""

    place: Place
    seen: list[Seen] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(name="watch")
        self._ended = threading.Event()
        self.begun = time.monotonic()
        self.start()

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        """Look."""
        while not self._ended.wait(EVERY_S):
            try:
                self.seen.append(self.place.look(self.begun))
            except (BrokerError, StoreUnavailable):  # under such a load an answer may be late: look again
                continue

    def wait_for_rest(self, patience_s: float) -> bool:
        """Return once nobody is behind, twice running; whether that came within ``patience_s``."""
        deadline, known = time.monotonic() + patience_s, len(self.seen)
        while time.monotonic() < deadline:
            new = self.seen[known:]
            if len(new) > 1 and new[-1].lag == new[-2].lag == 0:
                return True
            self._ended.wait(EVERY_S)
        return False

    def stop(self) -> None:
        """Look no more."""
        self._ended.set()
        self.join()

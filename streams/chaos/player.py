"""The classroom of a round: a simulated one, played in a thread while roles and servers come and go."""

from __future__ import annotations

import threading

from schemas.errors import BrokerError
from streams.engines.broker import Broker
from streams.play import Pace, Played, play
from streams.simulated import simulate


class Player(threading.Thread):
    """Plays a simulated classroom until it ends or is stopped; ``played`` says what the log acknowledged of it."""

    def __init__(self, broker: Broker, tenant: str, seed: int, events: int, per_s: float | None) -> None:
        super().__init__(name="player")
        self.broker, self.stopping = broker, threading.Event()
        self.played = Played()
        self.failure: BrokerError | None = None
        self._events = simulate(seed, events, tenant=tenant)
        self._pace = Pace(events_per_s=per_s)
        self.start()

    def run(self) -> None:
        """Play."""
        try:
            play(self._events, self.broker, self._pace, stop=self.stopping, on_progress=self._told)
        except BrokerError as error:
            self.failure = error

    def _told(self, played: Played) -> None:
        self.played = played

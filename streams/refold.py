"""Fold the recorded log again, from its genesis, undisturbed: the proof that a model is what its log says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from learners.fingerprint import fingerprint, fix_threads
from learners.fold import fold
from learners.model import Model, served_digest, trained_digest
from schemas import topics
from schemas.errors import BadEvent, ConfigurationError, CurrereError, ModelRefused
from schemas.model import Checkpoint, Delta
from streams.blobs import Blobs
from streams.engines.broker import Broker
from streams.published import last_event, newest_first, snapshot_of
from streams.requests import in_log

UNFOLDED = (BadEvent, ConfigurationError, ModelRefused)  # the worker passes over a request for which it sends a letter


class NotFound(CurrereError):
    """There is no such version, or no model at all."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a fold came to, beside what was published. ``trained`` is None where only a delta was published."""

    version: str
    requests: int
    served: str
    published: str
    trained: str
    published_trained: str | None
    fingerprint: dict[str, str]
    published_fingerprint: dict[str, str] | None

    @property
    def holds(self) -> bool:
        """Whether the fold gives the published digests, byte for byte."""
        return self.served == self.published and self.published_trained in (None, self.trained)


@dataclass(frozen=True, slots=True)
class Published:
    """What the topics say of one version. Of a delta the last two are unknown."""

    version: str
    next_offset: int
    digest: str
    trained_digest: str | None
    fingerprint: dict[str, str] | None


def refold(
    broker: Broker,
    blobs: Blobs,
    tenant: str,
    model: str,
    until: int,
    on_progress: Callable[[int, int], None] = lambda done, all: None,
) -> tuple[Model, int]:
    """The model that the train requests below offset ``until`` fold to, and how many these are.

    Requests that the worker sent to the dead letters are passed over as it passed over them. Raises NotFound when
    there is no genesis below ``until``.
    """
    snapshots = partial(snapshot_of, broker, blobs, tenant, model)
    found: Model | None = None
    count = 0
    for asked in in_log(broker, tenant, model, until, on_progress):
        count += 1
        try:
            found, _ = fold(found, asked.manifest, asked.weights, asked.id, asked.offset, snapshots)
        except UNFOLDED:
            continue
    if found is None:
        raise NotFound(f"no train request of {tenant}/{model} below offset {until}: nothing was folded yet")
    return found, count


def check(
    broker: Broker,
    blobs: Blobs,
    tenant: str,
    model: str,
    version: str,
    on_progress: Callable[[int, int], None] = lambda done, all: None,
) -> Checked:
    """Fold to ``version`` (``latest`` for the newest) and hold the result against what was published of it."""
    fix_threads()
    published = published_as(broker, tenant, model, version)
    found, count = refold(broker, blobs, tenant, model, published.next_offset, on_progress)
    return Checked(
        version=published.version,
        requests=count,
        served=served_digest(found),
        published=published.digest,
        trained=trained_digest(found),
        published_trained=published.trained_digest,
        fingerprint=fingerprint(),
        published_fingerprint=published.fingerprint,
    )


def published_as(broker: Broker, tenant: str, model: str, version: str) -> Published:
    """What was published as ``version``: its checkpoint, or else the delta that ends there; as ``latest`` whichever of
    the two goes further. Raises NotFound."""
    if version == "latest":
        found = [_of(e.data) for t in FOLLOWED if (e := last_event(broker, t, tenant, model)) is not None]
        if found:
            return max(found, key=lambda one: (one.next_offset, one.trained_digest is not None))
    for topic in FOLLOWED:
        for _, event in newest_first(broker, topic, tenant, model):
            if getattr(event.data, "version", None) == version:
                return _of(event.data)
    why = "was not published, has left retention, or is another tenant's (--tenant)"
    raise NotFound(f"{version} of {tenant}/{model} {why}; see `currere model list`")


def _of(data: object) -> Published:
    match data:
        case Checkpoint():
            return Published(data.version, data.next_offset, data.digest, data.trained_digest, data.fingerprint)
        case Delta():
            return Published(data.version, data.b, data.digest, None, None)
    raise TypeError(f"{type(data).__name__} says nothing of a version")


FOLLOWED = (topics.CHECKPOINT, topics.DELTA)

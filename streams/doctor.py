"""Look at everything that a running system needs, and say what is wrong and how to mend it."""

from __future__ import annotations

import hashlib
import sys
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import find_spec
from pathlib import Path

from confluent_kafka import libversion

from schemas.errors import BrokerError, CurrereError
from schemas.topics import ALL, CHECKPOINT
from state.survey import StoreFound, survey
from streams import advice
from streams.assembly import partitions_of
from streams.blobs import Blobs
from streams.checkpoints import history
from streams.checks import Check, of_broker_clock, of_cluster, of_node, of_state, of_topics
from streams.differences import differences
from streams.engines.broker import Broker
from streams.engines.kafka_broker import KafkaBroker
from streams.engines.kafka_survey import TopicFound, ends_of, newest_ms, survey_cluster, survey_topics
from streams.settings import Settings

OURS = ("schemas", "state", "learners", "streams")
NEEDED = ("confluent-kafka", "redis", "torch", "river", "obstore", "pydantic")
PROBE = b"currere doctor was here"
HOME = Path(__file__).resolve().parents[1]


def examine(settings: Settings, broker: KafkaBroker, clock: Callable[[], float]) -> Iterator[Check]:
    """Every check, as soon as it is made. Nothing is changed but a small blob, which is removed again."""
    yield from of_versions()
    yield of_names(packages_distributions(), _found_at)
    topics = yield from _of_kafka(settings, broker, clock)
    store = yield from _of_store(settings, clock)
    if store is not None and topics is not None:
        yield from _of_state(broker, store, topics)
    yield of_blobs(settings)
    if topics is not None and CHECKPOINT.name in topics:
        yield from of_newest_snapshot(settings, broker)


def of_versions() -> Iterator[Check]:
    """What runs here."""
    python = ".".join(map(str, sys.version_info[:3]))
    fits = sys.version_info >= (3, 11)
    yield Check("python", "ok" if fits else "fail", python, "" if fits else "use Python 3.11 or later")
    for name in NEEDED:
        try:
            yield Check(name, "ok", version(name))
        except PackageNotFoundError:
            yield Check(name, "fail", "not installed", "install currere with its extra `roles`")
    yield Check("librdkafka", "ok", libversion()[0])


def of_names(distributions: Mapping[str, Sequence[str]], found_at: Callable[[str], Path | None]) -> Check:
    """Whether another distribution brings a package of one of our names, which are plain words."""
    others = {name: sorted(set(distributions.get(name, ())) - {"currere"}) for name in OURS}
    if culprits := sorted({other for found in others.values() for other in found}):
        names = ", ".join(name for name in OURS if others[name])
        mend = f"uninstall {' '.join(culprits)}, or give currere an environment of its own"
        return Check("package names", "fail", f"{', '.join(culprits)} also brings {names}", mend)
    strange = {name: place for name in OURS if (place := found_at(name)) != HOME}
    if strange:
        name, place = next(iter(strange.items()))
        mend = "take that folder from PYTHONPATH, or run currere elsewhere"
        return Check("package names", "fail", f"{name} is imported from {place}, not from {HOME}", mend)
    return Check("package names", "ok", f"{', '.join(OURS)} are ours, in {HOME}")


def of_blobs(settings: Settings) -> Check:
    """Whether a small blob can be put, got and removed where snapshots lie."""
    path = f"{settings.tenant}/doctor-{uuid.uuid4().hex}"
    try:
        blobs = Blobs(settings.blobs)
        uri = blobs.put(path, PROBE)
        try:
            blobs.get(uri, len(PROBE), hashlib.sha256(PROBE).hexdigest())
        finally:
            blobs.delete(uri)
    except CurrereError as error:
        return Check("blobs", "fail", str(error), "give the roles a place to write, in the setting blobs")
    return Check("blobs", "ok", f"{settings.blobs} takes, gives and removes")


def of_newest_snapshot(settings: Settings, broker: Broker) -> Iterator[Check]:
    """Whether the newest snapshot that the log names lies where it says; nothing if it names none.

    A folder that is not mounted is made anew, takes and gives: only what should lie in it tells.
    """
    try:
        newest = next(history(broker, settings.tenant, settings.model), None)
        if newest is None:
            return
        found, blobs = newest.checkpoint, Blobs(settings.blobs)
        there = blobs.size(found.uri)
    except CurrereError as error:
        yield Check("newest snapshot", "fail", str(error), "see the check of kafka and blobs")
        return
    if not found.uri.startswith(f"{blobs.url}/"):
        elsewhere = f"{found.version} is at {found.uri}, which is not in {settings.blobs}"
        yield Check("newest snapshot", "warn", elsewhere, "name the worker's store in the setting blobs")
    elif there is None:
        lost = f"{found.version} is not at {found.uri}, where the log says"
        mend = "mount it, or name the worker's store in the setting blobs; else it folds from an older one, or anew"
        yield Check("newest snapshot", "warn", lost, mend)
    elif there != found.size:
        torn = f"{found.version} at {found.uri} has {there:,} bytes, and the log says {found.size:,}"
        yield Check("newest snapshot", "warn", torn, "the worker takes the one before; look at the disk below")
    else:
        yield Check("newest snapshot", "ok", f"{found.version} is at {found.uri}")


def _of_kafka(
    settings: Settings, broker: KafkaBroker, clock: Callable[[], float]
) -> Generator[Check, None, dict[str, TopicFound] | None]:
    """The checks of the broker; returns the topics found, None if it does not answer."""
    try:
        cluster, found = survey_cluster(broker), survey_topics(broker, ALL)
        newest = newest_ms(broker, _places(found))
    except BrokerError as error:
        yield Check("kafka", "fail", str(error), f"start it, or mend its address: {advice.KAFKA}")
        return None
    yield from of_cluster(settings, cluster)
    yield from of_topics(settings, found, differences(ALL, partitions_of(settings), found, settings.kafka))
    yield of_broker_clock(newest, clock())
    return found


def _of_store(settings: Settings, clock: Callable[[], float]) -> Generator[Check, None, StoreFound | None]:
    """The checks of the store; returns what it holds, None if it does not answer."""
    try:
        found = survey(settings.redis, settings.tenant, settings.redis_cluster, clock=clock)
    except CurrereError as error:
        yield Check("store", "fail", str(error), f"start it, or mend its address: {advice.STORE}")
        return None
    for node in found.nodes:
        yield from of_node(settings, node)
    return found


def _of_state(broker: KafkaBroker, store: StoreFound, topics: Mapping[str, TopicFound]) -> Iterator[Check]:
    held = {place.rpartition("/")[0] for offsets in store.shards.values() for place in offsets}
    counts = {name: topic.partitions for name, topic in topics.items()}
    try:
        ends = ends_of(broker, _places({name: topic for name, topic in topics.items() if name in held}))
    except BrokerError as error:
        yield Check("state offsets", "fail", str(error), "see the broker's log")
        return
    yield from of_state(store.shards, counts, ends)


def _places(topics: Mapping[str, TopicFound]) -> list[tuple[str, int]]:
    return [(topic.name, number) for topic in topics.values() for number in range(topic.partitions)]


def _found_at(package: str) -> Path | None:
    spec = find_spec(package)
    return Path(spec.origin).resolve().parents[1] if spec and spec.origin else None

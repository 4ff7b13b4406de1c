"""Rows about disks and bytes: full, away, corrupted, and everything lost but the backup."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
from safetensors.numpy import load, save

from schemas import codec, topics
from schemas.model import Checkpoint, Delta
from streams.audit import Audit
from streams.chaos.claims import checkpoints, count, metric, reasons, settled_but_for
from streams.chaos.corrupt import flip_in, flipped, tear, torn
from streams.chaos.crew import Crew
from streams.chaos.disk import RationedDisk
from streams.chaos.infra import APPEND_ONLY, admin, infra, infra_of, pause, rewrite
from streams.chaos.matrix import Row
from streams.chaos.stand import Stand
from streams.message import Message, Record
from streams.roles import ROLES

REFUSED = "currere_models_refused_total"
PLANTED = "planted-"
STEPS = 12  # of which at least one snapshot comes


def at_work(here: Stand) -> Crew:
    """All roles, with a few snapshots stored."""
    crew = here.start(*ROLES)
    here.play()
    here.wait_until(lambda: count(here, topics.CHECKPOINT) >= 2, "two snapshots are stored")
    return crew


def blobs_full(here: Stand) -> None:
    """No room for a snapshot."""
    disk = infra_of(here).blob_disk
    (disk.folder / here.settings.tenant).mkdir()
    here.blobs.symlink_to(disk.folder / here.settings.tenant)
    crew = at_work(here)
    if isinstance(disk, RationedDisk):
        disk.writers = [crew.pid("worker")]
    disk.fill()
    try:
        without_snapshots(here)
    finally:
        disk.free()
    snapshot_follows(here)


def blobs_away(here: Stand) -> None:
    """Nothing of the tenant's can be stored or had, while the worker is killed and started again."""
    crew, mine = at_work(here), here.blobs / here.settings.tenant
    away = mine.with_name("away")
    mine.rename(away)
    mine.touch()  # no folder, so that none is made anew
    try:
        crew.kill("worker")
        here.recovered("restart", "worker")
        without_snapshots(here)
    finally:
        mine.unlink()
        away.rename(mine)
    snapshot_follows(here)


def without_snapshots(here: Stand) -> None:
    """The worker folds on and its deltas leave, though no snapshot does. Raises DoesNotHold."""
    here.reach("worker", 2)  # a snapshot that was on its way has arrived
    before = count(here, topics.CHECKPOINT), count(here, topics.DELTA)
    here.reach("worker", STEPS)
    here.must(count(here, topics.CHECKPOINT) == before[0], "a snapshot was stored, so nothing was tried")
    here.must(count(here, topics.DELTA) > before[1], "no delta left while snapshots could not")


def snapshot_follows(here: Stand) -> None:
    """Now that it can be, one is stored. Raises DoesNotHold."""
    begun, before = time.monotonic(), count(here, topics.CHECKPOINT)
    here.wait_until(lambda: count(here, topics.CHECKPOINT) > before, "a snapshot follows")
    here.note("snapshot_after_s", time.monotonic() - begun)
    here.recovered("outage", *ROLES)


def store_full(here: Stand) -> None:
    """No room for Redis' append-only file, which holds the outbox; when there is, it is rewritten, and Redis dies.

    Redis 7.0.15 cuts half a command off at the wrong place if it had rewritten its file before its disk was full: that
    file does not load.
    """
    servers, crew = infra_of(here), at_work(here)
    rewrite(here)
    if isinstance(servers.store_disk, RationedDisk):
        servers.store_disk.writers = [servers.redis_server.pid]
    servers.store_disk.fill()
    try:
        for role in ("session", "curate"):
            here.wait_until(lambda role=role: "make room" in reasons(crew, role), f"{role} says so at /healthz")  # type: ignore[misc]  # bound now
    finally:
        servers.store_disk.free()
    here.recovered("outage", *ROLES)
    rewrite(here)
    servers.redis_server.kill()
    servers.redis_server.start()
    here.recovered("outage", *ROLES)


def snapshots_corrupted(here: Stand) -> Audit:
    """One bit of the last snapshot is another, the one before is torn, and whoever reads them is started again."""
    crew = at_work(here)
    here.reach("worker", STEPS)
    for role in ("worker", "session"):
        crew.kill(role, signal.SIGSTOP)
    newest = checkpoints(here)
    for role in ("worker", "session"):
        crew.kill(role)
    flip_in(path_of(newest[-1]), here.random)
    tear(path_of(newest[-2]), here.random)
    here.recovered("restart", "worker", "session")
    for role in ("worker", "session"):
        refused = metric(crew, role, REFUSED)
        here.must(refused >= 2, f"{role} refused {refused:.0f} snapshots, and two were corrupted")
    here.reach("worker", STEPS)
    settled_but_for(here, ())
    found = here.audit(fold=True)
    told = {(one.kind, one.where) for one in found.findings}
    wanted = {("blob", one.version) for one in newest[-2:]}  # unless the worker came by again, and stored it anew
    here.must(told <= wanted, f"the audit was to find {wanted}, and finds {told}")
    return replace(found, faults=0, findings=())


def path_of(found: Checkpoint) -> Path:
    """Where a snapshot lies."""
    return Path(found.uri.removeprefix("file://"))


def deltas_corrupted(here: Stand) -> Audit:
    """Where the next delta is expected comes one with another bit, and one that is torn."""
    crew = at_work(here)
    here.stop_playing()
    last = [here.records(topics.DELTA)[-1]]

    def refused(corrupt: Callable[[bytes, Random], bytes]) -> bool:
        """Whether a corruption of the last delta is; if it is not, another delta has come before it."""
        found = planted(here, crew, last[-1], corrupt)
        last.extend(record for record in here.records(topics.DELTA)[-5:] if not planted_here(record))
        return found

    here.wait_until(lambda: refused(forged), "session refuses a forged delta")
    here.wait_until(lambda: refused(torn_and_forged), "session refuses a torn delta")
    here.play()
    here.recovered("outage", *ROLES)
    here.reach("worker", STEPS)
    found = settled_but_for(here, {"unreadable", "digest"})
    return replace(found, faults=0, findings=())


def planted(here: Stand, crew: Crew, last: Record, corrupt: Callable[[bytes, Random], bytes]) -> bool:
    """Publish a corruption of ``last`` as the worker would; whether session refuses it within a second."""
    before, id_ = metric(crew, "session", REFUSED), f"{PLANTED}{here.random.random()}".encode()
    headers = tuple((key, id_ if key == "ce_id" else held or b"") for key, held in last.headers)
    value = corrupt(last.value or b"", here.random)
    producer = here.broker.producer()
    message = Message(topics.DELTA.name, last.origin.partition, last.key or b"", value, headers)
    producer.send(message, lambda offset, error: None)
    here.must(producer.flush(10.0) == 0, "the log takes the corrupted delta")
    for _ in range(10):
        pause(0.1)
        if metric(crew, "session", REFUSED) > before:
            return True
    return False


def planted_here(record: Record) -> bool:
    """Whether it was no worker who wrote this."""
    return (record.header("ce_id") or "").startswith(PLANTED)


def forged(value: bytes, random: Random) -> bytes:
    """A delta that goes on where ``value`` ends, with its tensors, one bit of them another, under its digest."""
    before, tensors = codec.decode_data(Delta, codec.manifest(value)), load(value)
    name = random.choice([name for name in sorted(tensors) if not name.endswith(".rows")])  # a number of the model
    array = tensors[name]
    tensors[name] = np.frombuffer(flipped(array.tobytes(), random), array.dtype).reshape(array.shape)
    b = before.b + 1
    after = before.model_copy(update={"a": before.b, "b": b, "version": f"{before.lineage}:{b}"})
    return save(tensors, metadata={"manifest": codec.encode(after).decode()})


def torn_and_forged(value: bytes, random: Random) -> bytes:
    """The beginning of such a delta."""
    return torn(forged(value, random), random)


def restored(here: Stand) -> None:
    """Redis is copied at work and the rest later; then all is lost, and put on an empty machine from the copies."""
    from deploy.redis.server import RedisServer

    servers, crew, backup = infra_of(here), at_work(here), here.folder / "backup"
    former = servers.redis_server
    with admin(former.port) as server:
        server.config_set("auto-aof-rewrite-percentage", 0)  # a file that is exchanged meanwhile would be missing
        rewrite(here)
        shutil.copytree(former.folder / APPEND_ONLY, backup / "redis" / APPEND_ONLY)
        server.config_set("auto-aof-rewrite-percentage", 100)
    here.reach("session", here.random.randint(20, 80))
    here.stop_playing()
    for role in ROLES:
        crew.kill(role)
    crew.stop()
    servers.broker.stop()
    shutil.copytree(servers.broker.log.parent / "log", backup / "kafka" / "log")
    shutil.copytree(here.blobs, backup / "blobs")

    former.kill()
    for lost in (former.folder, servers.broker.log.parent, here.blobs):
        shutil.rmtree(lost)
    begun = time.monotonic()
    shutil.copytree(backup / "blobs", here.blobs)
    machine = former.folder.with_name(f"machine-{here.settings.tenant}")
    shutil.copytree(backup / "redis", machine)
    servers.redis_server = RedisServer(machine)
    servers.redis_server.start()
    with admin(servers.redis_server.port) as server:
        here.must(server.dbsize(), "the copy of Redis holds nothing, so that all was adopted from the log")
    servers.to_redis.switch(servers.redis_server.port)
    shutil.move(backup / "kafka", servers.broker.log.parent)
    servers.own_broker = servers.broker_in(servers.broker.log.parent)
    servers.broker.start()
    here.note("restore_s", time.monotonic() - begun)
    at_s = time.time()
    here.play()
    here.start(*ROLES, instance="second")
    here.recovered("outage", *ROLES, at_s=at_s)
    here.reach("worker", STEPS)


ROWS = (
    Row("blobs-full", "no room for a snapshot (disk full), for two snapshots' time",
        "deltas leave and are served meanwhile, and a snapshot follows", blobs_full, on=infra),
    Row("blobs-away", "the blob store is away, while the worker is killed and started again",
        "the worker folds from the log, deltas leave, and a snapshot follows", blobs_away, on=infra),
    Row("store-full", "no room for Redis' append-only file, so for the outbox; then it is rewritten, and Redis killed",
        "commits are refused whole, each role says so, and goes on when there is room", store_full, on=infra),
    Row("snapshots-corrupted", "a bit flipped in the last snapshot, the one before torn; worker and session killed",
        "both refuse both, begin at an older one, and serve nothing that was not published", snapshots_corrupted,
        on=infra),
    Row("deltas-corrupted", "where the next delta is expected come one with a bit flipped and one torn",
        "both are refused, the last good model serves, the next delta is taken; the audit finds nothing else",
        deltas_corrupted, on=infra),
    Row("restored", "Redis is copied at work, log and blobs when it has stopped; all is lost and put on empty disks",
        "roles adopt what is newer in the log than in Redis, and go on", restored, on=infra),
)  # fmt: skip

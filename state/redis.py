"""The store in Redis, Valkey or Redis Cluster: each method is one script call, which the server runs as a whole.

The server must keep what it acknowledged: ``appendonly yes``, and ``appendfsync always`` or ``everysec``.

A token is firm when ``take`` returns, where the server can say so: ``WAITAOF`` (Redis 7.2, Valkey) waits for the disk,
``WAIT`` for replicas. Redis before 7.2 cannot say what is on its disk. There ``appendfsync always`` makes every answer
firm; with ``everysec`` a token survives the death of the server process but may be lost with the machine's power in the
seconds after ``take``, and then an owner that was replaced within those seconds is not refused. A server that refuses
``INFO``, ``WAIT`` or ``WAITAOF`` (access rules, some managed offers) is reported as unavailable.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, cast

import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.crc import key_slot
from redis.exceptions import NoScriptError, RedisClusterException, RedisError
from redis.retry import Retry

from schemas.errors import ConfigurationError, Refused, StoreUnavailable
from state import scripts
from state.keys import COMMITS, KNOWN, OFFSET, shard_keys
from state.scripts import Argument, Script
from state.store import Commit, Offsets, Shard, Taken, Values

HINTS = (
    (redis.exceptions.AuthenticationError, "give user and password in the store's URL"),
    (redis.exceptions.NoPermissionError, "allow EVAL, EVALSHA, INFO, EXISTS, WAIT, WAITAOF and the scripts' commands"),
    (redis.exceptions.OutOfMemoryError, "raise the server's maxmemory or forget older state"),
    (redis.exceptions.ReadOnlyError, "the address names a replica; name the primary"),
    (redis.exceptions.ClusterDownError, "a slot has no primary; mend the cluster"),
    (redis.exceptions.BusyLoadingError, "the server is loading its data; wait"),
    (redis.exceptions.TimeoutError, "the server is slow or cut off; see its latency and the network"),
    (redis.exceptions.ConnectionError, "start the server or mend the address"),
)

FULL_DISK = "make room on the server's disk, then rewrite its file: docs/operators.md, \"Redis' disk was full\""


class _Server(Protocol):
    """What of redis-py's clients is used here, with types."""

    def execute_command(self, *arguments: Any) -> Any: ...


class RedisStore:
    """A ``Store`` on a Redis-compatible server. Safe to share between threads; nothing is ever retried inside."""

    def __init__(self, client: redis.Redis | RedisCluster, address: str, replicas: int, timeout_s: float) -> None:
        self._client = client
        self._server: _Server = client
        self._address = address
        self._replicas = replicas
        self._wait_ms = int(timeout_s * 400)  # WAITAOF and WAIT together stay below the client's own timeout
        self._seen: dict[Shard, tuple[str, int]] = {}  # token and commits as this object's last change left them

    @classmethod
    def connect(
        cls,
        url: str,
        cluster: bool = False,
        replicas: int = 0,
        timeout_s: float = 5.0,
        options: Mapping[str, Any] | None = None,
    ) -> RedisStore:
        """A store at ``url`` (``redis://``, ``rediss://``, ``unix://``); it connects when it is first used.

        ``replicas`` is how many replicas must have a token before ``take`` returns; ``timeout_s`` bounds each answer;
        ``options`` go to redis-py as they are, for TLS and the like. With ``cluster`` the URL names any of the nodes,
        and the first connection is made here.

        Raises:
            ConfigurationError: ``url`` is no such URL.
            StoreUnavailable: no node of the cluster answers.
        """
        settings: dict[str, Any] = {
            "socket_timeout": timeout_s,
            "socket_connect_timeout": timeout_s,
            "health_check_interval": 15,
            **(options or {}),
        }
        address = without_secrets(url)
        open_client = RedisCluster.from_url if cluster else redis.Redis.from_url
        try:
            with _explained(address):
                client = open_client(url, retry=Retry(NoBackoff(), 0), **settings)
        except ValueError as error:
            raise ConfigurationError(f"the store's URL {address}: {error}") from error
        return cls(client, address, replicas, timeout_s)

    def take(self, shard: Shard, token: str) -> Taken:
        """See ``Store.take``.

        Raises:
            ConfigurationError: the server may evict keys to make room.
            StoreUnavailable: also when disk or replicas do not confirm the token in time.
        """
        meta, _, _, outbox = shard_keys(shard)
        with _explained(self._address):
            node = self._node_of(meta)
            aof = _writes_aof(cast(Mapping[str, Any], node.info()))
            with node.pipeline(transaction=False) as pipe:  # WAIT and WAITAOF speak of the same connection's writes
                queue: _Server = pipe
                queue.execute_command("EVAL", scripts.TAKE.text, 2, meta, outbox, token)
                queue.execute_command("WAIT", self._replicas, self._wait_ms)
                if aof:
                    queue.execute_command("WAITAOF", 1, 0, self._wait_ms)
                (fields, records), replicas, *disks = pipe.execute()
        if replicas < self._replicas:
            raise self._not_firm(f"{replicas} of {self._replicas} replicas have it; start the others")
        if disks and disks[0][0] < 1:
            raise self._not_firm("it is not on disk; see appendfsync and the disk")
        texts = {name.decode(): value.decode() for name, value in _pairs(fields)}
        self._seen[shard] = token, int(texts.get(COMMITS, 0))
        return Taken(_offsets(OFFSET, texts), tuple(records), _offsets(KNOWN, texts))

    def read(
        self,
        shard: Shard,
        token: str,
        offsets: Offsets,
        keys: Sequence[str],
        due_before: float | None = None,
        due_limit: int = 0,
    ) -> Values:
        """See ``Store.read``."""
        asked = scripts.read_arguments(keys, due_before, due_limit)
        found, due, due_values = self._run(scripts.READ, shard, token, offsets, asked)
        names = tuple(key.decode() for key in due)
        values = dict(zip((*keys, *names), (*found, *due_values), strict=True))
        return Values({key: value for key, value in values.items() if value is not None}, names)

    def read_all(self, shard: Shard, token: str, offsets: Offsets) -> dict[str, bytes]:
        """See ``Store.read_all``. It reads pages; that each finds the same commits makes them one moment's."""
        found: dict[str, bytes] = {}
        cursor, commits = b"0", self._commits(shard, token)
        while True:
            arguments = scripts.fence_arguments(token, commits, offsets)
            count, cursor, page = self._call(scripts.SCAN, shard, [*arguments, cursor, scripts.SCAN_COUNT])
            commits = int(count)
            found.update((key.decode(), value) for key, value in _pairs(page))
            if cursor == b"0":
                return found

    def commit(self, shard: Shard, token: str, began_at: Offsets, commit: Commit) -> None:
        """See ``Store.commit``."""
        (commits,) = self._run(scripts.COMMIT, shard, token, began_at, scripts.commit_arguments(commit))
        self._seen[shard] = token, commits

    def offsets(self, shard: Shard) -> Offsets:
        """See ``Store.offsets``."""
        with _explained(self._address):
            fields = self._server.execute_command("HGETALL", shard_keys(shard)[0])
        return _offsets(OFFSET, {name.decode(): value.decode() for name, value in fields.items()})

    def count(self, shard: Shard) -> int:
        """See ``Store.count``."""
        with _explained(self._address):
            return int(self._server.execute_command("HLEN", shard_keys(shard)[1]))

    def ping(self) -> None:
        """See ``Store.ping``."""
        with _explained(self._address):
            self._client.ping()

    def close(self) -> None:
        """See ``Store.close``."""
        self._client.close()

    def _commits(self, shard: Shard, token: str) -> int | None:
        seen_token, commits = self._seen.get(shard, (None, None))
        return commits if seen_token == token else None

    def _run(
        self, script: Script, shard: Shard, token: str, offsets: Offsets, arguments: Sequence[Argument]
    ) -> list[Any]:
        fence = scripts.fence_arguments(token, self._commits(shard, token), offsets)
        return self._call(script, shard, [*fence, *arguments])

    def _call(self, script: Script, shard: Shard, arguments: Sequence[Argument]) -> list[Any]:
        keys = shard_keys(shard)
        with _explained(self._address):
            try:
                answer = self._server.execute_command("EVALSHA", script.sha, len(keys), *keys, *arguments)
            except NoScriptError:  # so it did not run; EVAL runs it and lets the server remember it
                answer = self._server.execute_command("EVAL", script.text, len(keys), *keys, *arguments)
        verdict, *rest = cast(list[Any], answer)
        if verdict == b"refused":
            raise Refused(f"{shard} at {self._address}: {rest[0].decode()}; take a new token if it is still assigned")
        return rest

    def _node_of(self, key: str) -> redis.Redis:
        if isinstance(self._client, redis.Redis):
            return self._client
        self._server.execute_command("EXISTS", key)  # a redirection teaches the client where a moved slot is now
        node = self._client.nodes_manager.get_node_from_slot(key_slot(key.encode()))
        return self._client.get_redis_connection(node)

    def _not_firm(self, why: str) -> StoreUnavailable:
        return StoreUnavailable(
            f"store at {self._address}: the token was not made firm within {self._wait_ms} ms: {why}"
        )


@contextmanager
def _explained(address: str) -> Iterator[None]:
    try:
        yield
    except (RedisError, RedisClusterException) as error:
        known = next((hint for kind, hint in HINTS if isinstance(error, kind)), "see the server's log")
        what = FULL_DISK if "MISCONF" in str(error) and "AOF" in str(error) else known
        raise StoreUnavailable(f"store at {address}: {error}; {what}") from error


def without_secrets(url: str) -> str:
    """What may be shown of a store's ``url``: no user, no password. Raises ConfigurationError: it is no such URL."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("redis", "rediss", "unix"):
        raise ConfigurationError("the store's URL begins with redis://, rediss:// or unix://")
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"


def _writes_aof(info: Mapping[str, Any]) -> bool:
    """Whether the server has an append-only file and can tell what of it is on disk. Raises ConfigurationError."""
    if info.get("maxmemory") and str(info.get("maxmemory_policy")).startswith("allkeys"):
        raise ConfigurationError("the store's server evicts keys when it is full; set maxmemory-policy noeviction")
    version = tuple(int(part) for part in str(info["redis_version"]).split(".")[:2])
    return bool(info.get("aof_enabled")) and version >= (7, 2)


def _pairs(flat: Sequence[bytes]) -> Iterable[tuple[bytes, bytes]]:
    return zip(flat[::2], flat[1::2], strict=True)


def _offsets(prefix: str, fields: Mapping[str, str]) -> dict[str, int]:
    return {name[len(prefix) :]: int(value) for name, value in fields.items() if name.startswith(prefix)}

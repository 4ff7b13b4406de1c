"""Every key in Redis, once.

    currere:{TENANT:ROLE:PARTITION}:meta     hash: token, commits, o:TOPIC/PARTITION, k:TOPIC/PARTITION
    currere:{TENANT:ROLE:PARTITION}:values   hash: key -> value
    currere:{TENANT:ROLE:PARTITION}:due      sorted set: key by epoch seconds
    currere:{TENANT:ROLE:PARTITION}:outbox   list: encoded outputs, oldest first

The braces are the hash tag: all keys of a shard lie in one slot, so one script may change them on Redis Cluster. An
access rule for one tenant is ``~currere:{TENANT:*``.
"""

from __future__ import annotations

from state.store import Shard

TOKEN = "token"
COMMITS = "commits"
OFFSET = "o:"
KNOWN = "k:"


def shard_keys(shard: Shard) -> tuple[str, str, str, str]:
    """The keys of ``shard``: meta, values, due, outbox."""
    base = f"currere:{{{shard.tenant}:{shard.role}:{shard.partition}}}"
    return f"{base}:meta", f"{base}:values", f"{base}:due", f"{base}:outbox"

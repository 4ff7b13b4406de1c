"""What only a cluster does: slots move, nodes go."""

from __future__ import annotations

from contextlib import closing

import redis
from redis.cluster import RedisCluster
from redis.crc import key_slot

from state.keys import shard_keys
from state.redis import RedisStore
from state.store import Commit, Shard


def move(slot: int, cluster: RedisCluster) -> None:
    """Give the empty ``slot`` to a node that does not have it."""
    owner = cluster.nodes_manager.get_node_from_slot(slot)
    heir = next(node for node in cluster.get_primaries() if node.name != owner.name)
    with closing(redis.Redis(heir.host, heir.port)) as client:
        name = client.execute_command("CLUSTER MYID").decode()
    for node in (heir, owner):
        with closing(redis.Redis(node.host, node.port)) as client:
            client.execute_command("CLUSTER SETSLOT", slot, "NODE", name)


def test_a_shard_whose_slot_has_moved_is_found_where_it_is(cluster_url: str, shard: Shard) -> None:
    slot = key_slot(shard_keys(shard)[0].encode())
    with closing(RedisStore.connect(cluster_url, cluster=True)) as store:
        assert store.offsets(shard) == {}
        with closing(RedisCluster.from_url(cluster_url)) as cluster:
            move(slot, cluster)
        store.take(shard, "me")
        store.commit(shard, "me", {}, Commit({"in/7": 5}))
        assert store.offsets(shard) == {"in/7": 5}

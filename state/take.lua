-- KEYS: meta, outbox of one shard. ARGV: token. Answers all fields of meta and the outbox.
redis.call('HSET', KEYS[1], 'token', ARGV[1])
return {redis.call('HGETALL', KEYS[1]), redis.call('LRANGE', KEYS[2], 0, -1)}

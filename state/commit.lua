-- ARGV after the fence: trim; the lengths of six lists; the lists, end to end:
-- meta (field, value), values without a due (key, value), values with one (key, value), their dues (time, key),
-- keys to delete, records for the outbox.
local trim = tonumber(ARGV[at])
local fields, plain, timed, dues, deletes, records = unpack(ARGV, at + 1, at + 6)
take_arguments(7)

-- An error after the first write would leave half a commit, so every key proves its type before it.
local any_due = redis.call('ZCARD', DUE) > 0
redis.call('HLEN', VALUES)
if redis.call('LLEN', OUTBOX) < trim then
  return {'refused', 'its outbox is shorter than what the caller has sent of it'}
end

local function apply(command, key, first, last)
  for i = first, last, CHUNK do
    redis.call(command, key, unpack(ARGV, i, math.min(i + CHUNK - 1, last)))
  end
end

apply('HSET', META, take_arguments(tonumber(fields)))
local commits = redis.call('HINCRBY', META, 'commits', 1)

local first, last = take_arguments(tonumber(plain))
if any_due then
  local keys = {}
  for i = first, last, 2 do
    keys[#keys + 1] = ARGV[i]
    if #keys == CHUNK or i + 1 == last then
      redis.call('ZREM', DUE, unpack(keys))
      keys = {}
    end
  end
end
apply('HSET', VALUES, first, last)
apply('HSET', VALUES, take_arguments(tonumber(timed)))
apply('ZADD', DUE, take_arguments(tonumber(dues)))

first, last = take_arguments(tonumber(deletes))
apply('HDEL', VALUES, first, last)
if any_due then
  apply('ZREM', DUE, first, last)
end

if trim > 0 then
  redis.call('LTRIM', OUTBOX, trim, -1)
end
apply('RPUSH', OUTBOX, take_arguments(tonumber(records)))
return {'ok', commits}

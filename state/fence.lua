-- KEYS: meta, values, due, outbox of one shard.
-- ARGV: token, commits ('' if the caller does not know), n, then n times "topic/partition" and offset ('-1': absent).
local META, VALUES, DUE, OUTBOX = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local CHUNK = 7000 -- Lua unpacks at most about 8,000 values; even, so that pairs stay together

local at = 4 -- the next argument
local function take_arguments(count)
  at = at + count
  return at - count, at - 1
end

local function refusal()
  local first, last = take_arguments(2 * tonumber(ARGV[3]))
  local fields = {'token', 'commits'}
  for i = first, last, 2 do
    fields[#fields + 1] = 'o:' .. ARGV[i]
  end
  local found = redis.call('HMGET', META, unpack(fields))
  if found[1] ~= ARGV[1] then
    return {'refused', found[1] and 'another owner has taken it' or 'nobody has taken it'}
  end
  for i = first, last, 2 do
    local stored = found[3 + (i - first) / 2] or '-1'
    if stored ~= ARGV[i + 1] then
      return {'refused', ARGV[i] .. ' is stored at ' .. stored .. ', the caller is at ' .. ARGV[i + 1]}
    end
  end
  if ARGV[2] ~= '' and ARGV[2] ~= (found[2] or '0') then
    return {'refused', (found[2] or '0') .. ' commits are stored, the caller saw ' .. ARGV[2]}
  end
  return nil
end

local refused = refusal()
if refused then
  return refused
end

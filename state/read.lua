-- ARGV after the fence: latest due ('' for none), limit, number of keys, keys.
-- Answers the values of the keys, the keys that are due, and their values.
local before, limit, count = unpack(ARGV, at, at + 2)
take_arguments(3)

local function values(keys, first, last)
  if last - first < CHUNK then
    return first <= last and redis.call('HMGET', VALUES, unpack(keys, first, last)) or {}
  end
  local all = {}
  for i = first, last, CHUNK do
    for _, value in ipairs(redis.call('HMGET', VALUES, unpack(keys, i, math.min(i + CHUNK - 1, last)))) do
      all[#all + 1] = value
    end
  end
  return all
end

local due = {}
if before ~= '' then
  due = redis.call('ZRANGEBYSCORE', DUE, '-inf', before, 'LIMIT', 0, limit)
end
return {'ok', values(ARGV, take_arguments(tonumber(count))), due, values(due, 1, #due)}

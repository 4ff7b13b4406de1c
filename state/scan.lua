-- ARGV after the fence: cursor, how many entries to look at. Answers commits, next cursor, keys and values.
local page = redis.call('HSCAN', VALUES, ARGV[at], 'COUNT', ARGV[at + 1])
return {'ok', redis.call('HGET', META, 'commits') or '0', page[1], page[2]}

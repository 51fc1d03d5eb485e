-- Take from a rate limit by the generic cell rate algorithm; answer whether it was granted and the wait in seconds.
-- KEYS due. ARGV cost, limit, window in microseconds.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local cost, limit, window = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local due = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now) + cost * window / limit
if due - now > window + 1 then
  return {0, tostring(math.min(due - now - window, window) / 1000000)}
end
redis.call('SET', KEYS[1], string.format('%.3f', due), 'PX', math.ceil((due - now) / 1000) + 1)
return {1, '0'}

-- Answer an area's version, whether what follows is all there is, and keys with their values (nothing: removed).
-- KEYS values, versions, expiries, meta. ARGV version since.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local version = tonumber(redis.call('HGET', KEYS[4], 'version') or 0)
for _, over in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', string.format('%.0f', now))) do
  version = math.max(version + 1, now)
  redis.call('HDEL', KEYS[1], over)
  redis.call('ZADD', KEYS[2], string.format('%.0f', version), over)
  redis.call('ZREM', KEYS[3], over)
  redis.call('HSET', KEYS[4], 'version', string.format('%.0f', version))
end
local since = tonumber(ARGV[1])
if since < math.max(1, tonumber(redis.call('HGET', KEYS[4], 'floor') or 0)) or since > version then
  return {version, 1, redis.call('HGETALL', KEYS[1])}
end
local changed = {}
for _, key in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[1], '+inf')) do
  changed[#changed + 1] = key
  changed[#changed + 1] = redis.call('HGET', KEYS[1], key)
end
return {version, 0, changed}

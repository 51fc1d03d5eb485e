-- Write or remove one document of an area; answer the area's new version, or nothing when `expect` is not met.
-- KEYS values, versions, expiries, meta. ARGV key, present, value, lifetime in ms or '', expected version or '', area, channel.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local key, present, value, lifetime, expect, area, channel = unpack(ARGV)
local ends = redis.call('ZSCORE', KEYS[3], key)
local exists = redis.call('HEXISTS', KEYS[1], key) == 1 and not (ends and tonumber(ends) <= now)
if expect ~= '' and tonumber(exists and redis.call('ZSCORE', KEYS[2], key) or 0) ~= tonumber(expect) then
  return false
end
-- Versions are microseconds, so that they also grow past those of a store that lost its data.
local last = tonumber(redis.call('HGET', KEYS[4], 'version') or 0)
local version = math.max(last + 1, now)
local text = string.format('%.0f', version)
if last == 0 then redis.call('HSET', KEYS[4], 'floor', text) end
redis.call('HSET', KEYS[4], 'version', text)
redis.call('ZADD', KEYS[2], text, key)
redis.call('ZREM', KEYS[3], key)
if present == '1' then
  redis.call('HSET', KEYS[1], key, value)
  if lifetime ~= '' then redis.call('ZADD', KEYS[3], string.format('%.0f', now + lifetime * 1000), key) end
else
  redis.call('HDEL', KEYS[1], key)
  if redis.call('ZCARD', KEYS[2]) - redis.call('HLEN', KEYS[1]) > 1000 then
    for _, gone in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
      if redis.call('HEXISTS', KEYS[1], gone) == 0 then redis.call('ZREM', KEYS[2], gone) end
    end
    redis.call('HSET', KEYS[4], 'floor', text)
  end
end
redis.call('PUBLISH', channel, area)
return version

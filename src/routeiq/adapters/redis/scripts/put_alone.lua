-- Write or remove a document that has a Redis key of its own; answer its version, or nothing when `expect` is not met.
-- KEYS document. ARGV present, value, lifetime in ms or '', expected version or ''.
local clock = redis.call('TIME')
local last = tonumber(redis.call('HGET', KEYS[1], 'version') or 0)
if ARGV[4] ~= '' and last ~= tonumber(ARGV[4]) then return false end
local version = math.max(last + 1, clock[1] * 1000000 + clock[2])
redis.call('DEL', KEYS[1])
if ARGV[1] == '1' then
  redis.call('HSET', KEYS[1], 'value', ARGV[2], 'version', string.format('%.0f', version))
  if ARGV[3] ~= '' then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
end
return version

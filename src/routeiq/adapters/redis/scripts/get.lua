-- Answer one document of an area and its version, or nothing when there is none or its time is over.
-- KEYS values, versions, expiries. ARGV key.
local clock = redis.call('TIME')
local ends = redis.call('ZSCORE', KEYS[3], ARGV[1])
local value = redis.call('HGET', KEYS[1], ARGV[1])
if not value or (ends and tonumber(ends) <= clock[1] * 1000000 + clock[2]) then return false end
return {value, redis.call('ZSCORE', KEYS[2], ARGV[1])}

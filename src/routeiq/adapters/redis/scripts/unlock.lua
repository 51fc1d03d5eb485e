-- Give a lock back when it is still held by this holder.
-- KEYS lock. ARGV holder.
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1

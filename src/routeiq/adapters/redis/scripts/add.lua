-- Add to counters unless the token was seen; answer all fields of the hash.
-- KEYS sums, token. ARGV the token's lifetime in ms, the sums' lifetime in ms or '', then field, amount, ...
if redis.call('SET', KEYS[2], 1, 'NX', 'PX', ARGV[1]) then
  for i = 3, #ARGV, 2 do redis.call('HINCRBYFLOAT', KEYS[1], ARGV[i], ARGV[i + 1]) end
  if ARGV[2] ~= '' then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
end
return redis.call('HGETALL', KEYS[1])

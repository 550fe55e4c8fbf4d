-- Prolong a fill lock, if it is still ours.
-- KEYS[1]  the lock
-- ARGV[1]  our token
-- ARGV[2]  milliseconds from now
-- Returns 1, or 0 when the lock is lost.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])

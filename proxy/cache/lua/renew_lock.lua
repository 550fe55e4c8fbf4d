-- Extend a fill lock, if it is still ours.
-- KEYS[1]  the lock
-- ARGV[1]  our token
-- ARGV[2]  its new lifetime in milliseconds
-- Returns 1, or 0 if the lock was lost.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])

-- Let go of a fill lock, if it is still ours.
-- KEYS[1]  the lock
-- ARGV[1]  our token
-- ARGV[2]  what to leave in its place, or '' for nothing
-- ARGV[3]  for how many milliseconds to leave it
-- Returns 1, or 0 when the lock was lost.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
-- A server that is full refuses SET but not DEL: better no word than a lock that nobody holds.
if ARGV[2] == '' or redis.pcall('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])['err'] then
  redis.call('DEL', KEYS[1])
end
return 1

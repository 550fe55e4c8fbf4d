-- Release a fill lock, if it is still ours.
-- KEYS[1]  the lock
-- ARGV[1]  our token
-- ARGV[2]  the value to leave in its place, or '' for none
-- ARGV[3]  how many milliseconds to leave it
-- Returns 1, or 0 if the lock was lost.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
-- A full server refuses SET but not DEL. Then leave no value: a lock that nobody holds would stop everybody.
if ARGV[2] == '' or redis.pcall('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])['err'] then
  redis.call('DEL', KEYS[1])
end
return 1

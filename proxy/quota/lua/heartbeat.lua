-- Say that this process lives; tell how many do, and the origin's time.
-- KEYS[1]  what the origin's clock is ahead of this server's, in seconds
-- KEYS[2]  the processes, by when they were last heard of (milliseconds of this server's clock)
-- ARGV[1]  this process
-- ARGV[2]  after so many milliseconds of silence a process is gone
-- Returns the count, and the origin's time in seconds since the epoch or '' where it is not known.
-- A server that takes no writes still tells what it knows.
local time = redis.call('TIME')
local now, silence = time[1] * 1000 + math.floor(time[2] / 1000), tonumber(ARGV[2])
redis.pcall('ZADD', KEYS[2], now, ARGV[1])
redis.pcall('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - silence)
redis.pcall('PEXPIRE', KEYS[2], silence)
local origin_time = ''
local ahead = tonumber(redis.call('GET', KEYS[1]) or '')
if ahead then
  origin_time = string.format('%.6f', time[1] + time[2] / 1000000 + ahead)
end
return {redis.call('ZCARD', KEYS[2]), origin_time}

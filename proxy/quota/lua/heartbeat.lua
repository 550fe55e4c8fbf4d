-- Record that this process is alive. Return how many are, and the origin's time.
-- KEYS[1]  the offset of the origin's clock from this server's, in seconds
-- KEYS[2]  the processes, by the time of their last heartbeat (milliseconds of this server's clock)
-- ARGV[1]  this process
-- ARGV[2]  a process counts as gone after so many milliseconds without a heartbeat
-- Returns the count, the origin's time in seconds since the epoch or '' if it is unknown, and the error of the first
-- write or '' if it was done. Writes use pcall: a server that refuses writes still returns the rest.
local time = redis.call('TIME')
local now, max_silence = time[1] * 1000 + math.floor(time[2] / 1000), tonumber(ARGV[2])
-- The first write of a script decides on a full server: after one that frees or prolongs, others pass.
local written = redis.pcall('ZADD', KEYS[2], now, ARGV[1])
redis.pcall('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - max_silence)
redis.pcall('PEXPIRE', KEYS[2], max_silence)
local origin_time = ''
local offset = tonumber(redis.call('GET', KEYS[1]) or '')
if offset then
  origin_time = string.format('%.6f', time[1] + time[2] / 1000000 + offset)
end
local refusal = ''
if type(written) == 'table' and written['err'] then
  refusal = written['err']
end
return {redis.call('ZCARD', KEYS[2]), origin_time, refusal}

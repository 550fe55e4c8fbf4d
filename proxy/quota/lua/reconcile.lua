-- Take answered weight off `pending`, and follow the origin's own count upwards. Also releases a reservation that
-- was certainly not sent: then no counter has a header, and ok is 0.
--
-- KEYS[1]      block: a hash of reason, until, strikes (see block.lua)
-- KEYS[2]      clock: what the origin's clock is ahead of this server's, in seconds
-- KEYS[3..]    counters, each once: a hash of used, pending
-- ARGV[1]      when the request was reserved, in seconds since the epoch by the caller
-- ARGV[2]      1 if the answer was good: it ends a block (and its strikes) that was over when it was reserved
-- ARGV[3]      the origin's time now, in seconds since the epoch; empty: the caller is not sure of it
-- ARGV[4]      for how many seconds that is remembered
-- then for each counter:
--   weight     what to take off pending
--   header     the origin's used weight; -1 where it told none
--   floor      as in reserve.lua
--   ttl        milliseconds to the counter's expiry
--
-- Returns used, pending, raised of each counter, where raised is what the header added to used. A counter that is not
-- there, and of which no header speaks, stays away.

local FIELDS = 4

if ARGV[2] == '1' then
  local block_end = redis.call('HGET', KEYS[1], 'until')
  if block_end and tonumber(block_end) <= tonumber(ARGV[1]) then
    redis.call('DEL', KEYS[1])
  end
end

if ARGV[3] ~= '' then
  local time = redis.call('TIME')
  local ahead = tonumber(ARGV[3]) - (time[1] + time[2] / 1000000)
  redis.call('SET', KEYS[2], string.format('%.6f', ahead), 'EX', ARGV[4])
end

local result = {}
for i = 1, #KEYS - 2 do
  local at = 4 + (i - 1) * FIELDS
  local header = tonumber(ARGV[at + 2])
  local stored = redis.call('HMGET', KEYS[i + 2], 'used', 'pending')
  local used = tonumber(stored[1] or '0')
  if stored[1] or header >= 0 then
    used = math.max(used, tonumber(ARGV[at + 3]))
  end
  local pending = math.max(0, tonumber(stored[2] or '0') - tonumber(ARGV[at + 1]))
  local raised = 0
  if header >= 0 then
    raised = math.max(0, header + pending - used)
    used = used + raised
  end
  if stored[1] or used > 0 then
    redis.call('HSET', KEYS[i + 2], 'used', used, 'pending', pending)
    redis.call('PEXPIRE', KEYS[i + 2], ARGV[at + 4])
  end
  result[#result + 1] = used
  result[#result + 1] = pending
  result[#result + 1] = raised
end
return result

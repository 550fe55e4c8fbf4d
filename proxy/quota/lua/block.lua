-- Block sending after one more refusal of the origin. The same rule as next_block() of proxy/core/quota/block.py.
--
-- KEYS[1]      block: a hash of reason, until (seconds since the epoch), strikes (blocks in a row before this one). It
--              expires ARGV[9] seconds after the block's end: the expiry counts the seconds left for every replica
-- KEYS[2]      leases: a hash of birth and number (see sync.lua)
-- ARGV[1]      now, in seconds since the epoch by the caller's clock
-- ARGV[2]      reason
-- ARGV[3]      until; if empty or not later than now, the penalty decides
-- ARGV[4]      earliest end of a block for which the origin gave no Retry-After
-- ARGV[5]      the penalty in seconds, doubled with each strike
-- ARGV[6]      the largest number of doublings
-- ARGV[7]      the longest penalty, in seconds
-- ARGV[8]      the longest block, in seconds
-- ARGV[9]      how many seconds after its end a block still raises the strikes of the next
-- ARGV[10]     if `until` and the expiry differ by more seconds, the clock that wrote `until` is not the caller's
-- ARGV[11]     the channel on which the block is pushed, in the form of sync.lua
-- ARGV[12]     the command that pushes
--
-- Returns {reason, until, strikes, written} of the block that now holds, where until is by the caller's clock, and
-- written by its writer's. A stored block that lasts longer is left as it is: whoever holds it knows it by `written`.

local now = tonumber(ARGV[1])
local reason = ARGV[2]
local block_end = tonumber(ARGV[3])
local strike_memory = tonumber(ARGV[9])

-- The end of the stored block by the caller's clock; nil if there is none.
local function end_by_caller(stored_until)
  local at = tonumber(stored_until or '')
  local expiry = redis.call('PTTL', KEYS[1])
  if at and expiry >= 0 then
    local counted = now + expiry / 1000 - strike_memory
    if math.abs(counted - at) > tonumber(ARGV[10]) then
      return counted
    end
  end
  return at
end

local stored = redis.call('HMGET', KEYS[1], 'reason', 'until', 'strikes')
local stored_end = end_by_caller(stored[2])
if stored_end and stored_end + strike_memory <= now then
  stored_end = nil
end
local is_active = stored_end and stored_end > now

local strikes = 0
if stored_end then
  strikes = tonumber(stored[3] or '0') + (is_active and 0 or 1)
end
if not block_end or block_end <= now then
  local penalty = tonumber(ARGV[5]) * 2 ^ math.min(strikes, tonumber(ARGV[6]))
  block_end = math.max(tonumber(ARGV[4]), now + math.min(penalty, tonumber(ARGV[7])))
end
local longest_end = now + tonumber(ARGV[8])
if is_active and stored_end >= block_end and stored_end <= longest_end then
  return {stored[1], string.format('%.3f', stored_end), tostring(strikes), stored[2]}
end
if is_active and stored_end >= block_end then
  block_end = stored_end
  reason = stored[1]
end
block_end = math.min(block_end, longest_end)
block_end = string.format('%.3f', math.ceil(block_end * 1000 - 0.01) / 1000)

redis.call('HSET', KEYS[1], 'reason', reason, 'until', block_end, 'strikes', strikes)
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', (block_end - now + strike_memory) * 1000))

-- Without a birth nobody has leases: all read the block in each reservation. Nor may a push that fails lose it.
local birth = redis.call('HGET', KEYS[2], 'birth')
if birth then
  local time = redis.call('TIME')
  local number = redis.call('HINCRBY', KEYS[2], 'number', 1)
  redis.pcall(ARGV[12], ARGV[11], string.format(
    '%.0f %s%06d %s %s %s %s %s',
    number, time[1], time[2], birth, reason, block_end, strikes, redis.call('PTTL', KEYS[1])
  ))
end
return {reason, block_end, tostring(strikes), block_end}

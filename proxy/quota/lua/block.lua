-- Send nothing for a while: one more refusal of the origin. The same rule as next_block() of proxy/core/quota/block.py.
--
-- KEYS[1]      block: a hash of reason, until (seconds since the epoch), strikes (blocks in a row before this one)
-- ARGV[1]      now, in seconds since the epoch by the caller
-- ARGV[2]      reason
-- ARGV[3]      until; empty, or not later than now: for as long as the penalty says
-- ARGV[4]      before this no block ends whose end the origin did not tell
-- ARGV[5]      the penalty: seconds, doubled with each strike
-- ARGV[6]      the most doublings
-- ARGV[7]      the longest penalty, in seconds
-- ARGV[8]      the longest block, in seconds
-- ARGV[9]      for how many seconds after its end a block is remembered for its strikes
--
-- Returns {reason, until, strikes} of the block that holds now.

local now = tonumber(ARGV[1])
local reason = ARGV[2]
local block_end = tonumber(ARGV[3])
local remember = tonumber(ARGV[9])

local stored = redis.call('HMGET', KEYS[1], 'reason', 'until', 'strikes')
local known_end = tonumber(stored[2] or '')
if known_end and known_end + remember <= now then
  known_end = nil
end
local holds = known_end and known_end > now

local strikes = 0
if known_end then
  strikes = tonumber(stored[3] or '0') + (holds and 0 or 1)
end
if not block_end or block_end <= now then
  local penalty = tonumber(ARGV[5]) * 2 ^ math.min(strikes, tonumber(ARGV[6]))
  block_end = math.max(tonumber(ARGV[4]), now + math.min(penalty, tonumber(ARGV[7])))
end
if holds and known_end >= block_end then
  block_end = known_end
  reason = stored[1]
end
block_end = math.min(block_end, now + tonumber(ARGV[8]))
block_end = string.format('%.3f', math.ceil(block_end * 1000 - 0.01) / 1000)

redis.call('HSET', KEYS[1], 'reason', reason, 'until', block_end, 'strikes', strikes)
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', (block_end - now + remember) * 1000))
return {reason, block_end, tostring(strikes)}

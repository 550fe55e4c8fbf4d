-- Read the block that all replicas share, by the caller's clock. The same reading as in block.lua.
--
-- KEYS[1]      block: a hash of reason, until, strikes (see block.lua)
-- ARGV[1]      now, in seconds since the epoch by the caller's clock
-- ARGV[2]      how many seconds the hash outlives the block
-- ARGV[3]      if `until` and the expiry differ by more seconds, the clock that wrote `until` is not the caller's
--
-- Returns {reason, until, strikes, written}, where until may be past and written is the end as its writer wrote it; {}
-- if there is no block.

local stored = redis.call('HMGET', KEYS[1], 'reason', 'until', 'strikes')
local block_end = tonumber(stored[2] or '')
if not stored[1] or not block_end then
  return {}
end
local expiry = redis.call('PTTL', KEYS[1])
if expiry >= 0 then
  local counted = ARGV[1] + expiry / 1000 - ARGV[2]
  if math.abs(counted - block_end) > tonumber(ARGV[3]) then
    block_end = counted
  end
end
return {stored[1], string.format('%.3f', block_end), stored[3] or '0', stored[2]}

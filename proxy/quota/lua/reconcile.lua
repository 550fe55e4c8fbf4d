-- Subtract answered weight from `pending`, and raise `used` to the origin's count. Also releases a reservation that
-- was certainly not sent: then no window has a header, and ok is 0.
--
-- KEYS[1]      block: a hash of reason, until, strikes (see block.lua)
-- KEYS[2]      clock: the offset of the origin's clock from this server's, in seconds
-- KEYS[3..]    windows, each once: a hash of used, pending, refundable (see reserve.lua)
-- ARGV[1]      when the request was reserved, in seconds since the epoch by the caller's clock
-- ARGV[2]      1 if the answer was good: it ends a block, with its strikes, that was over at ARGV[1] and is over now (the
--              clock may have been moved in between), and what is refundable is taken from used
-- ARGV[3]      the origin's time now, in seconds since the epoch; empty if the caller must not teach it
-- ARGV[4]      how many seconds to keep the offset
-- ARGV[5]      now, in seconds since the epoch by the caller's clock
-- ARGV[6]      how many seconds the block's hash outlives the block
-- ARGV[7]      if `until` and that expiry differ by more seconds, the clock that wrote `until` is not the caller's
-- then for each window:
--   weight     what to subtract from pending
--   refundable what to subtract from refundable
--   header     the used weight that the origin reported; -1 for none
--   floor      as in reserve.lua
--   ttl        milliseconds until the window's key expires
--
-- Returns used, pending, refundable, raised, leased, untold (see sync.lua) of each window, where raised is what the header
-- added to used. A window that does not exist is created only if a header reports usage. No more is refunded than the window has refundable: a server
-- that lost the reservation refunds nothing.

local FIELDS = 5

if ARGV[2] == '1' then
  local block_end = tonumber(redis.call('HGET', KEYS[1], 'until') or '')
  local expiry = redis.call('PTTL', KEYS[1])
  if block_end and expiry >= 0 then
    local counted = ARGV[5] + expiry / 1000 - ARGV[6]
    if math.abs(counted - block_end) > tonumber(ARGV[7]) then
      block_end = counted
    end
  end
  if block_end and block_end <= math.min(tonumber(ARGV[1]), tonumber(ARGV[5])) then
    redis.call('DEL', KEYS[1])
  end
end

if ARGV[3] ~= '' then
  local time = redis.call('TIME')
  local offset = tonumber(ARGV[3]) - (time[1] + time[2] / 1000000)
  redis.call('SET', KEYS[2], string.format('%.6f', offset), 'EX', ARGV[4])
end

local result = {}
for i = 1, #KEYS - 2 do
  local at = 7 + (i - 1) * FIELDS
  local header = tonumber(ARGV[at + 3])
  local stored = redis.call('HMGET', KEYS[i + 2], 'used', 'pending', 'refundable', 'leased', 'told', 'untold')
  local used = tonumber(stored[1] or '0')
  if stored[1] or header >= 0 then
    used = math.max(used, tonumber(ARGV[at + 4]))
  end
  local pending = math.max(0, tonumber(stored[2] or '0') - tonumber(ARGV[at + 1]))
  local refundable = tonumber(stored[3] or '0')
  local settled = math.min(math.max(0, refundable - tonumber(stored[4] or '0')), tonumber(ARGV[at + 2]))
  refundable = refundable - settled
  if ARGV[2] == '1' then
    used = used - settled
  end
  local raised = 0
  if header >= 0 then
    raised = math.max(0, header + pending - used)
    used = used + raised
  end
  if stored[1] or used > 0 then
    redis.call('HSET', KEYS[i + 2], 'used', used, 'pending', pending)
    if settled > 0 then
      redis.call('HSET', KEYS[i + 2], 'refundable', refundable)
    end
    if stored[4] then
      local told = tonumber(stored[5] or '-1') - (ARGV[2] == '1' and settled or 0)
      redis.call('HSET', KEYS[i + 2], 'told', math.max(told, header))
    end
    redis.call('PEXPIRE', KEYS[i + 2], ARGV[at + 5])
  end
  result[#result + 1] = used
  result[#result + 1] = pending
  result[#result + 1] = refundable
  result[#result + 1] = raised
  result[#result + 1] = tonumber(stored[4] or '0')
  result[#result + 1] = tonumber(stored[6] or '0')
end
return result

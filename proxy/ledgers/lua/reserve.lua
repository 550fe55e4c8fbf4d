-- Charge one request in every counter it may be counted in, or change nothing and say why.
--
-- KEYS[1]      block: a hash of reason, until, strikes (see block.lua)
-- KEYS[2..]    counters, the one that ends last at the end: each a hash of used, pending
-- ARGV[1]      now, in seconds since the epoch by the caller
-- then for each counter:
--   weight     what the request costs in it
--   budget     what `used` may reach
--   floor      what this server once told the caller: if `used` is lower now, the server has forgotten
--   ttl        milliseconds to the counter's expiry
--
-- Returns {'blocked', reason, until, strikes}, or {'refused', n} with the last counter that is in the way (1 is
-- KEYS[2]) or {'reserved', 0}; the last two followed by used, pending of each counter.

local FIELDS = 4
local now = tonumber(ARGV[1])

local block = redis.call('HMGET', KEYS[1], 'reason', 'until', 'strikes')
if block[1] and tonumber(block[2] or '0') > now then
  return {'blocked', block[1], block[2], block[3] or '0'}
end

local counters = {}
local in_the_way = 0
for i = 1, #KEYS - 1 do
  local at = 1 + (i - 1) * FIELDS
  local stored = redis.call('HMGET', KEYS[i + 1], 'used', 'pending')
  local counter = {
    weight = tonumber(ARGV[at + 1]),
    used = math.max(tonumber(stored[1] or '0'), tonumber(ARGV[at + 3])),
    pending = tonumber(stored[2] or '0'),
    ttl = ARGV[at + 4],
  }
  if counter.used + counter.weight > tonumber(ARGV[at + 2]) then
    in_the_way = i
  end
  counters[i] = counter
end

local admitted = in_the_way == 0
local result = {admitted and 'reserved' or 'refused', in_the_way}
for i, counter in ipairs(counters) do
  if admitted then
    counter.used = counter.used + counter.weight
    counter.pending = counter.pending + counter.weight
    redis.call('HSET', KEYS[i + 1], 'used', counter.used, 'pending', counter.pending)
    redis.call('PEXPIRE', KEYS[i + 1], counter.ttl)
  end
  result[#result + 1] = counter.used
  result[#result + 1] = counter.pending
end
return result

-- Charge one request in every counter it may be counted in, or change nothing and say why.
--
-- KEYS[1]      block: a hash of reason, until, strikes (see block.lua)
-- KEYS[2]      clock: what the origin's clock is ahead of this server's (see reconcile.lua)
-- KEYS[3..]    counters, the one that ends last at the end: each a hash of used, pending, and of what each client used:
--              client:<name>; those that come when `clients` has reached the most there may be are client:other
-- ARGV[1]      now, in seconds since the epoch by the caller
-- ARGV[2]      client:<name> of who asks; empty for nobody
-- ARGV[3]      how many clients are told apart
-- ARGV[4]      1 if the caller is not sure of `now`
-- then for each counter:
--   weight     what the request costs in it
--   budget     what `used` may reach
--   share      what this client may take of it by a request that ends in its second half
--   floor      what this server once told the caller: if `used` is lower now, the server has forgotten
--   own_floor  what the caller knows that this client used
--   ttl        milliseconds to the counter's expiry
--
-- Returns {'clock', the origin's time} if the caller is not sure of it, this server knows it, and nothing else was done;
-- {'blocked', reason, until, strikes}; or {'budget' or 'client-share', n} with what is in the way in the last
-- counter where something is (1 is KEYS[3]), or {'reserved', 0}, followed by used, pending of each counter and what
-- counts against the client in it. The same rule as reserve() of proxy/core/quota/budget.py and obstacle() of client_share.py.

local FIELDS = 6
local OTHER = 'client:other'
local now = tonumber(ARGV[1])
local client = ARGV[2]
local most_clients = tonumber(ARGV[3])

if ARGV[4] == '1' then
  local ahead = redis.call('GET', KEYS[2])
  if ahead then
    local time = redis.call('TIME')
    return {'clock', string.format('%.6f', time[1] + time[2] / 1000000 + ahead)}
  end
end

-- The field in which the client counts, what it has used, and whether the field is new.
local function place(stored, own_floor)
  if stored[4] then
    return client, math.max(tonumber(stored[4]), own_floor), false
  end
  if tonumber(stored[3] or '0') < most_clients then
    return client, own_floor, true
  end
  return OTHER, tonumber(stored[5] or '0'), false
end

local block = redis.call('HMGET', KEYS[1], 'reason', 'until', 'strikes')
if block[1] and tonumber(block[2] or '0') > now then
  return {'blocked', block[1], block[2], block[3] or '0'}
end

local counters = {}
local outcome, in_the_way = 'reserved', 0
for i = 1, #KEYS - 2 do
  local at = 4 + (i - 1) * FIELDS
  local budget = tonumber(ARGV[at + 2])
  local stored = redis.call('HMGET', KEYS[i + 2], 'used', 'pending', 'clients', client, OTHER)
  local counter = {
    weight = tonumber(ARGV[at + 1]),
    used = math.max(tonumber(stored[1] or '0'), tonumber(ARGV[at + 4])),
    pending = tonumber(stored[2] or '0'),
    own = 0,
    ttl = ARGV[at + 6],
  }
  if client ~= '' then
    counter.field, counter.own, counter.is_new = place(stored, tonumber(ARGV[at + 5]))
  end
  if counter.used + counter.weight > budget then
    outcome, in_the_way = 'budget', i
  elseif
    client ~= ''
    and 2 * (counter.used + counter.weight) > budget
    and counter.own + counter.weight > tonumber(ARGV[at + 3])
  then
    outcome, in_the_way = 'client-share', i
  end
  counters[i] = counter
end

local result = {outcome, in_the_way}
for i, counter in ipairs(counters) do
  if in_the_way == 0 then
    counter.used = counter.used + counter.weight
    counter.pending = counter.pending + counter.weight
    redis.call('HSET', KEYS[i + 2], 'used', counter.used, 'pending', counter.pending)
    if counter.field then
      counter.own = counter.own + counter.weight
      redis.call('HSET', KEYS[i + 2], counter.field, counter.own)
    end
    if counter.is_new then
      redis.call('HINCRBY', KEYS[i + 2], 'clients', 1)
    end
    redis.call('PEXPIRE', KEYS[i + 2], counter.ttl)
  end
  result[#result + 1] = counter.used
  result[#result + 1] = counter.pending
  result[#result + 1] = counter.own
end
return result

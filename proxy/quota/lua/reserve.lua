-- Charge one request in every window in which the origin may count it, or change nothing and say why.
--
-- KEYS[1]      block: a hash of reason, until, strikes (see block.lua)
-- KEYS[2]      clock: the offset of the origin's clock from this server's, in seconds (see reconcile.lua)
-- KEYS[3..]    windows, ordered by their end: each a hash of used, pending, refundable (the part of used that the
--              origin takes back if the requests succeed), clients (how many have a field), and client:<name> for what
--              each client used; once `clients` reaches ARGV[3], new ones count as client:other
-- ARGV[1]      now, in seconds since the epoch by the caller's clock
-- ARGV[2]      client:<name> of the client; empty for none
-- ARGV[3]      how many clients are counted separately
-- ARGV[4]      1 if the client gave no name: it is held to its share only if another client was charged in the window
-- ARGV[5]      1 if the caller's clock is not synchronized
-- ARGV[6]      how many seconds the block's hash outlives the block
-- ARGV[7]      if `until` and that expiry differ by more seconds, the clock that wrote `until` is not the caller's
-- ARGV[8]      1 if there may be leases (see sync.lua): a window that has lost data then becomes exact, and takes a part of
--              what is left as used, once
-- then for each window:
--   weight     what the request costs in it
--   budget     what `used` may reach
--   share      what `client:<name>` may reach by a request that reaches into the second half of the budget; what is
--              leased and certainly not spent does not count for that
--   floor      the highest used less refundable that this server returned to the caller. It never falls: a lower
--              `used` means that data was lost
--   own_floor  the last usage of this client that the caller got
--   others     how many other clients were charged, as far as the caller knows
--   refundable the part of weight that the origin takes back if the request succeeds
--   ttl        milliseconds until the window's key expires
--
-- Returns one of
--   {'clock', the origin's time}: the caller is not synchronized and this server has the offset; nothing is charged
--   {'blocked', reason, until, strikes, written}, where until is by the caller's clock, and written by its writer's
--   {'budget' or 'client-share', n, ...}: refused; n is the last window whose limit would be passed (1 is KEYS[3])
--   {'reserved', 0, ...}
-- where ... is used, pending, refundable, what is charged to the client, how many clients were charged, the part of
-- used that is leased and the part of that which may be spent, for each window. The same rule as reserve() of proxy/core/quota/budget.py and exceeded_limit() of client_share.py.

local FIELDS = 8
local PARTS = 4
local OTHER = 'client:other'
local now = tonumber(ARGV[1])
local client = ARGV[2]
local max_clients = tonumber(ARGV[3])

if ARGV[5] == '1' then
  local offset = redis.call('GET', KEYS[2])
  if offset then
    local time = redis.call('TIME')
    return {'clock', string.format('%.6f', time[1] + time[2] / 1000000 + offset)}
  end
end

-- The field in which the client is counted, its value, and whether the field is new.
local function client_field(stored, own_floor)
  if stored[4] then
    return client, math.max(tonumber(stored[4]), own_floor), false
  end
  if tonumber(stored[3] or '0') < max_clients then
    return client, own_floor, true
  end
  return OTHER, tonumber(stored[5] or '0'), false
end

-- The end of the block by the caller's clock: by its expiry where the clocks contradict each other (see block.lua).
local function end_by_caller(stored_until)
  local at = tonumber(stored_until or '0')
  local expiry = redis.call('PTTL', KEYS[1])
  if expiry >= 0 then
    local counted = now + expiry / 1000 - tonumber(ARGV[6])
    if math.abs(counted - at) > tonumber(ARGV[7]) then
      return counted
    end
  end
  return at
end

local block = redis.call('HMGET', KEYS[1], 'reason', 'until', 'strikes')
if block[1] then
  local block_end = end_by_caller(block[2])
  if block_end > now then
    return {'blocked', block[1], string.format('%.3f', block_end), block[3] or '0', block[2] or ''}
  end
end

local windows = {}
local outcome, exceeded = 'reserved', 0
for i = 1, #KEYS - 2 do
  local at = 8 + (i - 1) * FIELDS
  local budget = tonumber(ARGV[at + 2])
  local stored = redis.call(
    'HMGET', KEYS[i + 2], 'used', 'pending', 'clients', client, OTHER, 'refundable', 'leased', 'exact', 'untold'
  )
  local window = {
    weight = tonumber(ARGV[at + 1]),
    used = math.max(tonumber(stored[1] or '0'), tonumber(ARGV[at + 4])),
    pending = tonumber(stored[2] or '0'),
    refundable = tonumber(stored[6] or '0'),
    leased = tonumber(stored[7] or '0'),
    untold = tonumber(stored[9] or '0'),
    client_used = 0,
    clients = tonumber(stored[3] or '0'),
    refund = tonumber(ARGV[at + 7]),
    ttl = ARGV[at + 8],
  }
  local kept = tonumber(stored[1] or '0') - window.refundable
  if ARGV[8] == '1' and kept < tonumber(ARGV[at + 4]) and stored[8] ~= '2' then
    window.used = window.used + math.ceil(math.max(0, budget - window.used) / PARTS)
    window.is_lost = true
  end
  local others = math.max(window.clients - (stored[4] and 1 or 0), tonumber(ARGV[at + 6]))
  if client ~= '' then
    window.field, window.client_used, window.is_new = client_field(stored, tonumber(ARGV[at + 5]))
  end
  if window.used + window.weight > budget then
    outcome, exceeded = 'budget', i
  elseif
    client ~= ''
    and (ARGV[4] ~= '1' or others > 0)
    and 2 * (window.used - window.leased + window.untold + window.weight) > budget
    and window.client_used + window.weight > tonumber(ARGV[at + 3])
  then
    outcome, exceeded = 'client-share', i
  end
  windows[i] = window
end

local result = {outcome, exceeded}
for i, window in ipairs(windows) do
  if exceeded == 0 then
    window.used = window.used + window.weight
    window.pending = window.pending + window.weight
    redis.call('HSET', KEYS[i + 2], 'used', window.used, 'pending', window.pending)
    if window.is_lost then
      redis.call('HSET', KEYS[i + 2], 'exact', '2')
    end
    if window.refund > 0 then
      window.refundable = redis.call('HINCRBY', KEYS[i + 2], 'refundable', window.refund)
    end
    if window.field then
      window.client_used = window.client_used + window.weight
      redis.call('HSET', KEYS[i + 2], window.field, window.client_used)
    end
    if window.is_new then
      window.clients = redis.call('HINCRBY', KEYS[i + 2], 'clients', 1)
    end
    redis.call('PEXPIRE', KEYS[i + 2], window.ttl)
  end
  result[#result + 1] = window.used
  result[#result + 1] = window.pending
  result[#result + 1] = window.refundable
  result[#result + 1] = window.client_used
  result[#result + 1] = window.clients
  result[#result + 1] = window.leased
  result[#result + 1] = window.untold
end
return result

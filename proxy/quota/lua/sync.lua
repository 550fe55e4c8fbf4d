-- Take what a process tells of its leases, give it the next grant, and push the state to all processes.
-- The same rule as LeaseStore.call() of proxy/core/quota/lease_store.py.
--
-- KEYS[1]      block: a hash of reason, until, strikes (see block.lua)
-- KEYS[2]      clock: the offset of the origin's clock from this server's, in seconds
-- KEYS[3]      leases: a hash of birth (names this data), born (this server's time in seconds), number (of the last push)
-- KEYS[4..]    windows: each a hash as in reserve.lua, and
--                leased: the part of used, and of refundable, that is granted and not known to be spent
--                untold: the part of leased that may be spent already: who spends more of it tells that
--                told: the most that a header told, without what the origin took back: no return brings used below it
--                exact: 1 if nothing is granted until the window is over; 2 if data was lost: then nothing at all
--                lease:<process>: taken, returned, spent of one process, the number of its clients' use, its part of untold
-- ARGV[1]      the channel
-- ARGV[2]      words, one space apart:
--    1  now, in seconds since the epoch by the caller's clock
--    2  process: a random name
--    3  number of the clients' use: one that this server has is not counted again
--    4  a grant is at most one in so many parts of what is left
--    5  the birth that the caller knows; '-' for none
--    6  a name that was never used, if a birth must be made
--    7  1 if the caller suspects that data was lost
--    8  the origin's time now; '-' if the caller must not teach it
--    9  when the last good answer's request was reserved; '-' for none: it ends a block that was over then, and is now
--   10  1 to push the state; it is pushed as well when a window becomes exact
--   11  so many seconds after its birth this server grants nothing
--   12  how many seconds to keep the offset
--   13  how many seconds the block's hash outlives the block
--   14  if `until` and that expiry differ by more seconds, the clock that wrote `until` is not the caller's
--   15  how many clients are counted separately
--   16  the command that pushes
--   17  how many milliseconds to keep KEYS[3]
--   then for each window:
--   budget, ceiling, want, half, over, taken, returned, spent, known, header, held, floor, seen, pending, refunded, kept:
--   as in WindowCall of proxy/core/quota/lease_calls.py
--   ttl        milliseconds until the window's key expires
--   clients    how many clients spent something
-- ARGV[3..]    the clients, window by window, each as its field and what it spent
--
-- Returns {state, error of the push or '', then for each window taken, what a header added to used, and how much the
-- process may spend before it tells}, where state is what is pushed: words, one space apart: number, this server's time in microseconds, birth, the block's reason, until,
-- strikes and milliseconds until its hash expires ('-' for none), and for each window its key after the domain, used,
-- pending, refundable, leased, untold and exact.

local PARTS, MARGIN, LARGE_FLEET, LAST_WEIGHT = 4, 1.25, 4, 3
local OTHER = 'client:other'
local word = {}
for one in string.gmatch(ARGV[2], '[^ ]+') do
  word[#word + 1] = one
end
local now = tonumber(word[1])
local record_field = 'lease:' .. word[2]
local number = tonumber(word[3])
local max_clients = tonumber(word[15])
local pushes = word[10] == '1'
local time = redis.call('TIME')
local server = tonumber(time[1]) + tonumber(time[2]) / 1000000

local function end_block()
  local block_end = tonumber(redis.call('HGET', KEYS[1], 'until') or '')
  local expiry = redis.call('PTTL', KEYS[1])
  if block_end and expiry >= 0 then
    local counted = now + expiry / 1000 - word[13]
    if math.abs(counted - block_end) > tonumber(word[14]) then
      block_end = counted
    end
  end
  if block_end and block_end <= math.min(tonumber(word[9]), now) then
    redis.call('DEL', KEYS[1])
  end
end

local function count_clients(key, at, count)
  local clients = tonumber(redis.call('HGET', key, 'clients') or '0')
  for i = 1, count do
    local client, weight = ARGV[at + 2 * i - 1], ARGV[at + 2 * i]
    if not redis.call('HGET', key, client) then
      if clients < max_clients then
        clients = redis.call('HINCRBY', key, 'clients', 1)
      else
        client = OTHER
      end
    end
    redis.call('HINCRBY', key, client, weight)
  end
end

if word[8] ~= '-' then
  redis.call('SET', KEYS[2], string.format('%.6f', tonumber(word[8]) - server), 'EX', word[12])
end
if word[9] ~= '-' then
  end_block()
end

local stored = redis.call('HMGET', KEYS[3], 'birth', 'born')
local birth, born = stored[1], tonumber(stored[2] or '')
if not birth or not born then
  birth, born = word[6], server
  redis.call('HSET', KEYS[3], 'birth', birth, 'born', string.format('%.6f', born))
  pushes = true
end
redis.call('PEXPIRE', KEYS[3], word[17])
local is_other = word[5] ~= '-' and word[5] ~= birth
local grants = server >= born + tonumber(word[11])

local words, result = {}, {}
local at, client_at = 17, 2
for i = 4, #KEYS do
  local key = KEYS[i]
  local budget, ceiling, want, half = tonumber(word[at + 1]), tonumber(word[at + 2]), tonumber(word[at + 3]), tonumber(word[at + 4])
  local is_over = word[at + 5] == '1'
  local taken, returned, spent = tonumber(word[at + 6]), tonumber(word[at + 7]), tonumber(word[at + 8])
  local known = tonumber(word[at + 9])
  local header, held, floor, seen = tonumber(word[at + 10]), tonumber(word[at + 11]), tonumber(word[at + 12]), tonumber(word[at + 13])
  local window = redis.call('HMGET', key, 'used', 'pending', 'refundable', 'leased', 'exact', record_field, 'told', 'untold')
  local used, pending = tonumber(window[1] or '0'), tonumber(window[2] or '0')
  local refundable, leased = tonumber(window[3] or '0'), tonumber(window[4] or '0')
  local exact = tonumber(window[5] or '0')
  local was_exact, told = exact, tonumber(window[7] or '-1')
  local has_record = window[6]
  local r_taken, r_returned, r_spent, r_number, r_untold = 0, 0, 0, 0, 0
  if has_record then
    local a, b, c, d, e = string.match(window[6], '^(%d+) (%d+) (%d+) (%d+) (%d+)$')
    r_taken, r_returned, r_spent, r_number, r_untold = tonumber(a), tonumber(b), tonumber(c), tonumber(d), tonumber(e)
  end
  local r_held = math.max(0, r_taken - r_returned - r_spent)
  local untold_by_others = math.max(0, tonumber(window[8] or '0') - r_untold)
  if spent > r_spent then
    r_untold = 0
  end

  local gone = 0
  local is_lost = ((word[7] == '1' or is_other) and seen > 0)
    or (known >= 0 and not has_record)
    or (has_record and (r_taken < taken or r_returned < known))
    or used - refundable < floor
  if is_lost then
    used = math.max(used, floor, seen)
    if exact < 2 then
      used = used + math.ceil(math.max(0, budget - used) / PARTS)
    end
    exact = 2
    gone = r_held
    r_taken, r_returned, r_spent = taken, math.max(returned, taken - spent), spent
  else
    local more_spent, more_returned = math.max(0, spent - r_spent), math.max(0, returned - r_returned)
    local from_lease = math.min(more_spent, r_held)
    more_returned = math.min(more_returned, r_held - from_lease)
    -- After a loss, what is returned may be missing already in what others saw before it.
    local less = exact < 2 and more_returned or 0
    used = math.max(used + more_spent - from_lease - less, told)
    gone = from_lease + more_returned
    r_returned, r_spent = math.max(r_returned, returned), math.max(r_spent, spent)
  end
  gone = math.min(gone, leased)
  leased, refundable = leased - gone, math.max(0, refundable - gone)

  local orders = math.max(0, refundable - leased)
  local refunded = math.min(orders, tonumber(word[at + 15]))
  used, told = used - refunded, told - refunded
  refundable = refundable - math.min(orders, refunded + tonumber(word[at + 16]))
  pending = math.max(0, pending - tonumber(word[at + 14]))

  local raised = 0
  if header >= 0 then
    raised = math.max(0, header + pending + held - used)
    used, told = used + raised, math.max(told, header)
  end
  local holds = math.max(0, r_taken - r_returned - r_spent)
  local most_spent = used - leased + untold_by_others
  r_untold = math.min(r_untold, holds)
  if ceiling > 0 and exact == 0 and (used >= ceiling or (half > 0 and most_spent + r_untold >= half)) then
    exact = 1
  end
  local is_leased = exact == 0 or (is_over and exact == 1)
  if want > 0 and is_leased and not is_lost and grants then
    local part = math.floor((budget - used + leased) / tonumber(word[4]))
    local most = math.min(part, math.floor(MARGIN * part) - holds, ceiling - used)
    local grant = math.min(want, math.max(0, most))
    used, refundable, leased, r_taken = used + grant, refundable + grant, leased + grant, r_taken + grant
    holds = holds + grant
  end
  if ceiling > 0 and is_leased then
    local allowed = holds
    if half > 0 and exact == 0 then
      local left = (half - 1 - most_spent) * PARTS
      local part = math.max(left / word[4], 2 * left / (word[4] + LARGE_FLEET * PARTS))
      allowed = math.min(holds, math.floor(part) - LAST_WEIGHT)
    end
    r_untold = math.max(r_untold, allowed)
  end
  local untold = math.min(untold_by_others + r_untold, leased)
  pushes = pushes or exact ~= was_exact

  local clients = tonumber(word[at + 18])
  local has_record_now = has_record or r_taken > 0 or r_returned > 0 or r_spent > 0
  if window[1] or used > 0 or has_record_now or clients > 0 then
    local count_now = clients > 0 and number > r_number
    redis.call('HSET', key, 'used', used, 'pending', pending)
    if refundable > 0 or window[3] then
      redis.call('HSET', key, 'refundable', refundable, 'leased', leased, 'untold', untold)
    end
    if exact ~= was_exact then
      redis.call('HSET', key, 'exact', exact)
    end
    if told >= 0 then
      redis.call('HSET', key, 'told', told)
    end
    if has_record_now or count_now then
      local r_now = math.max(number, r_number)
      local record = string.format('%.0f %.0f %.0f %.0f %.0f', r_taken, r_returned, r_spent, r_now, r_untold)
      if record ~= window[6] then
        redis.call('HSET', key, record_field, record)
      end
    end
    if count_now then
      count_clients(key, client_at, clients)
    end
    redis.call('PEXPIRE', key, word[at + 17])
  end

  words[#words + 1] = string.sub(key, #KEYS[3] - 6 + 1)
  words[#words + 1] = string.format('%.0f %.0f %.0f %.0f %.0f %d', used, pending, refundable, leased, untold, exact)
  result[#result + 1] = r_taken
  result[#result + 1] = raised
  result[#result + 1] = r_untold
  at, client_at = at + 18, client_at + 2 * clients
end

local pushed = 0
if pushes then
  pushed = redis.call('HINCRBY', KEYS[3], 'number', 1)
else
  pushed = redis.call('HGET', KEYS[3], 'number') or '0'
end
local block = redis.call('HMGET', KEYS[1], 'reason', 'until', 'strikes')
local state = string.format('%s %s%06d %s ', pushed, time[1], time[2], birth)
if block[1] and block[2] then
  state = state .. table.concat({block[1], block[2], block[3] or '0', redis.call('PTTL', KEYS[1])}, ' ')
else
  state = state .. '- - - -'
end
if #words > 0 then
  state = state .. ' ' .. table.concat(words, ' ')
end
local refusal = ''
if pushes and ARGV[1] ~= '' then
  local answer = redis.pcall(word[16], ARGV[1], state)
  if type(answer) == 'table' and answer['err'] then
    refusal = answer['err']
  end
end
table.insert(result, 1, refusal)
table.insert(result, 1, state)
return result

-- Add what one process counted on its own while this server was away. Safe to run twice and out of order: the
-- process sends totals, not differences, and its own number of each state.
--
-- KEYS[1..]    counters: each a hash of used, pending, and for each process that was ever on its own
--              <process>:state, <process>:used, <process>:pending: what was absorbed of it so far
-- ARGV[1]      process: a random name
-- ARGV[2]      state: a number that grows with each change of the totals
-- then for each counter:
--   used       all the weight this process ever charged on its own in this counter
--   pending    the part of it that has not been answered
--   header     the most the origin told this process meanwhile; -1 where it told none
--   floor      as in reserve.lua
--   ttl        milliseconds to the counter's expiry
--
-- Returns used, pending of each counter.

local FIELDS = 5
local process = ARGV[1]
local state = tonumber(ARGV[2])

local result = {}
for i, key in ipairs(KEYS) do
  local at = 2 + (i - 1) * FIELDS
  local total_used, total_pending = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local stored = redis.call(
    'HMGET', key, 'used', 'pending', process .. ':state', process .. ':used', process .. ':pending'
  )
  local used = math.max(tonumber(stored[1] or '0'), tonumber(ARGV[at + 4]))
  local pending = tonumber(stored[2] or '0')
  if state > tonumber(stored[3] or '0') then
    used = used + total_used - tonumber(stored[4] or '0')
    pending = math.max(0, pending + total_pending - tonumber(stored[5] or '0'))
    redis.call(
      'HSET', key, process .. ':state', state, process .. ':used', total_used, process .. ':pending', total_pending
    )
  end
  local header = tonumber(ARGV[at + 3])
  if header >= 0 then
    used = math.max(used, header + pending)
  end
  redis.call('HSET', key, 'used', used, 'pending', pending)
  redis.call('PEXPIRE', key, ARGV[at + 5])
  result[#result + 1] = used
  result[#result + 1] = pending
end
return result

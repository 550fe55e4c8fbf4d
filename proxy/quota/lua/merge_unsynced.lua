-- Add what one process counted while this server was away. Safe to run twice and out of order, because the process
-- sends totals, not differences, and numbers its states.
--
-- KEYS[1..]    windows: each a hash of used, pending, refundable (see reserve.lua), and for each process that ever counted alone
--              <process>:state, <process>:used, <process>:pending: the part of its totals that is already merged
-- ARGV[1]      process: a random name
-- ARGV[2]      state: a number that grows with each change of the totals
-- then for each window:
--   used       all the weight that this process charged alone in this window
--   pending    the part of it that is not answered yet
--   header     the largest used weight that the origin reported to this process meanwhile; -1 for none
--   floor      as in reserve.lua
--   ttl        milliseconds until the window's key expires
--
-- Returns used, pending, refundable, leased, untold (see sync.lua) of each window.

local FIELDS = 5
local process = ARGV[1]
local state = tonumber(ARGV[2])

local result = {}
for i, key in ipairs(KEYS) do
  local at = 2 + (i - 1) * FIELDS
  local total_used, total_pending = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local stored = redis.call(
    'HMGET', key, 'used', 'pending', process .. ':state', process .. ':used', process .. ':pending', 'refundable', 'leased',
    'untold'
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
  result[#result + 1] = tonumber(stored[6] or '0')
  result[#result + 1] = tonumber(stored[7] or '0')
  result[#result + 1] = tonumber(stored[8] or '0')
end
return result

-- Store a document together with its changes, if they are the changes to what is stored.
--
-- KEYS[1]    the entry: a hash, see proxy/cache/entry_codec.py. Its field `feed` is the id of the last change that had been
--            told when it was stored: the entry of another version of the gateway has none
-- KEYS[2]    the stream of its changes. The ids are `epoch-number`, numbers without gaps. `epoch-0` is no change: it marks
--            the start, and its field `document` says whether there was a document then
-- ARGV[1]    the version of the document that the changes begin at; empty: there was none
-- ARGV[2]    the version of this document
-- ARGV[3]    the expiry of the entry, in milliseconds
-- ARGV[4]    a random word, by which readers know again what they have read
-- ARGV[5]    now, in milliseconds: the epoch that begins now if the changes cannot be continued
-- ARGV[6]    how many changes are kept at most
-- ARGV[7]    how many bytes of changes are kept at most
-- ARGV[8]    how many milliseconds changes are kept at most, and the stream at least
-- ARGV[9]    how many arguments follow that are fields of the entry: name, value, name, value, …
-- ARGV[..]   the fields, then the changes: event, data, event, data, …
--
-- Returns {1, the number of changes that were told}. Returns {0, version} and stores nothing if another document is
-- stored than the one that the changes begin at: the caller compares with that one.

local now = ARGV[5]

local function last_id()
  local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
  return last and last[1], last
end

local function value_of(item, name)
  for place = 1, #item[2], 2 do
    if item[2][place] == name then
      return item[2][place + 1]
    end
  end
end

local function start(epoch, token)
  redis.call('DEL', KEYS[2])
  redis.call('XADD', KEYS[2], epoch .. '-0', 'event', 'start', 'document', '1', 'time', now, 'total', '0', 'token', token)
  return epoch .. '-0'
end

local stored = redis.pcall('HMGET', KEYS[1], 'etag', 'feed')
if stored['err'] then
  stored = {false, false}
end
local version = stored[1] and string.match(stored[1], '^[^.]*')
local last, item = last_id()
local first_change = 10 + tonumber(ARGV[9])
local last_change = #ARGV

if last and not version and value_of(item, 'event') == 'start' and value_of(item, 'document') == '0' then
  last = start(string.match(last, '^%d+'), value_of(item, 'token'))
  last_change = 0
elseif not (last and version and stored[2] == last) then
  local epoch = now
  if last and tonumber(string.match(last, '^%d+')) >= tonumber(now) then
    epoch = string.format('%.0f', tonumber(string.match(last, '^%d+')) + 1)
  end
  last = start(epoch, ARGV[4])
  last_change = 0
elseif version == ARGV[2] then
  last_change = 0
elseif version ~= ARGV[1] then
  return {0, version}
end

local told = 0
if last_change >= first_change then
  local epoch, number = string.match(last, '^(%d+)-(%d+)$')
  local total = tonumber(value_of(item, 'total') or '0')
  for place = first_change, last_change, 2 do
    told = told + 1
    total = total + #ARGV[place + 1] + 256
    last = epoch .. '-' .. string.format('%.0f', tonumber(number) + told)
    redis.call('XADD', KEYS[2], last, 'event', ARGV[place], 'data', ARGV[place + 1], 'time', now,
      'total', string.format('%.0f', total), 'token', ARGV[4])
  end
end

-- Forget what is beyond the bounds, but never the last: it keeps the numbering.
local length = redis.call('XLEN', KEYS[2])
local _, newest = last_id()
local most = tonumber(value_of(newest, 'total')) - tonumber(ARGV[7])
local done = false
while length > 1 and not done do
  local dropped = {}
  for _, each in ipairs(redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 100)) do
    local is_beyond = length > tonumber(ARGV[6]) or tonumber(value_of(each, 'total')) < most
      or tonumber(value_of(each, 'time')) < tonumber(now) - tonumber(ARGV[8])
    if length <= 1 or not is_beyond then
      done = true
      break
    end
    dropped[#dropped + 1] = each[1]
    length = length - 1
  end
  if #dropped > 0 then
    redis.call('XDEL', KEYS[2], unpack(dropped))
  end
end
redis.call('PEXPIRE', KEYS[2], string.format('%.0f', math.max(tonumber(ARGV[3]), tonumber(ARGV[8]))))

redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'feed', last, unpack(ARGV, 10, 9 + tonumber(ARGV[9])))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {1, told}

-- Read the changes after the one that the caller has read last.
--
-- KEYS[1]    the entry, KEYS[2] the stream of its changes: see store_document.lua
-- ARGV[1]    the id of the change that was read last; empty: none
-- ARGV[2]    its token
-- ARGV[3]    how many changes to return at most
-- ARGV[4]    a random word: the token of a stream that begins now
-- ARGV[5]    now, in milliseconds
-- ARGV[6]    the expiry of a stream that begins now, in milliseconds
--
-- Returns {1, items} if the stream goes on from there, else {0, items} with the first that are kept. An item is
-- {id, {name, value, …}}. There is always a stream then: readers need an id before the first change.

if redis.call('EXISTS', KEYS[2]) == 0 then
  local entry = redis.pcall('HMGET', KEYS[1], 'etag')
  local has_document = not entry['err'] and entry[1]
  local id = ARGV[5] .. '-0'
  redis.call('XADD', KEYS[2], id, 'event', 'start', 'document', has_document and '1' or '0', 'time', ARGV[5],
    'total', '0', 'token', ARGV[4])
  redis.call('PEXPIRE', KEYS[2], ARGV[6])
  if has_document then
    redis.call('HSET', KEYS[1], 'feed', id)
  end
end

if ARGV[1] ~= '' then
  local known = redis.call('XRANGE', KEYS[2], ARGV[1], ARGV[1])[1]
  if known then
    local fields = known[2]
    for place = 1, #fields, 2 do
      if fields[place] == 'token' and fields[place + 1] == ARGV[2] then
        local epoch, number = string.match(ARGV[1], '^(%d+)-(%d+)$')
        local after = epoch .. '-' .. string.format('%.0f', tonumber(number) + 1)
        return {1, redis.call('XRANGE', KEYS[2], after, '+', 'COUNT', ARGV[3])}
      end
    end
  end
end
return {0, redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', ARGV[3])}
